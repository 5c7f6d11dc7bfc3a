"""Events and results as text: what is typed is checked, and what ran is laid out to be read."""

import json

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.telemetry.payloads import Payloads

MAX_SHOWN = 200_000
"""Of a result: beyond that a page is of no use."""


def checked_event(text: str) -> str:
    """Return an event that is JSON. Raises InvalidParameterValueException for another."""
    try:
        json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidParameterValueException(f"The event is not JSON: {exc}.") from None
    return text


def shown(payload: bytes) -> str:
    """Return a payload as text, laid out if it is JSON of a size to look at."""
    if len(payload) > MAX_SHOWN:
        return payload[:MAX_SHOWN].decode(errors="replace") + "\n…"
    try:
        # Not orjson, which changes numbers that are larger than the machine's.
        text = json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")
    return text.encode(errors="replace").decode()  # half a surrogate pair is no text


def is_whole(kept: Payloads) -> bool:
    """Whether all of an event is kept, and can be shown, so that it can be sent once more."""
    return kept.event_bytes <= min(len(kept.event), MAX_SHOWN)
