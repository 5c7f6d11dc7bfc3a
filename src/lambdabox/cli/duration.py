"""A span of time as people type it: `90s`, `10m`, `1h30m`, `2d`."""

import re
from datetime import timedelta

from lambdabox.cli.output import CommandError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(r"(\d+)([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Return the span. Raises CommandError with the form expected."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise CommandError(f"{text!r} is not a duration; write 90s, 10m, 1h30m or 2d")
    try:
        return sum(
            (timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta()
        )
    except OverflowError as exc:
        raise CommandError(f"{text!r} is longer than time itself; write 2d or so") from exc
