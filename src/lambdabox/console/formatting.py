"""Quantities as people read them."""

from datetime import UTC, datetime
from decimal import Decimal

NOTHING = "\u2013"
"""A dash, for what there is no value of."""

_SIZES = ("bytes", "KB", "MB", "GB")


def size(count: float) -> str:
    """`512 bytes`, `1.2 KB`, `48 MB`: units of 1024."""
    unit = 0
    while count >= 1024 and unit < len(_SIZES) - 1:
        count /= 1024
        unit += 1
    return f"{count:.1f} {_SIZES[unit]}" if unit and count < 10 else f"{count:.0f} {_SIZES[unit]}"


def duration(milliseconds: float | None) -> str:
    """`0.8 ms`, `120 ms`, `1.25 s`, `2 min 5 s`; a dash for none."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def ago(seconds: float | None) -> str:
    """How long ago, in one unit; a dash for never."""
    if seconds is None:
        return NOTHING
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now" if seconds < 5 else f"{int(seconds)} s ago"


def count(number: int) -> str:
    """Digits in groups of three, apart by narrow spaces."""
    return f"{number:,}".replace(",", "\u202f")


def usd(amount: Decimal) -> str:
    """Cents from a dollar on, more digits below."""
    if amount == 0:
        return "$0"
    if amount >= 1:
        return f"${amount:,.2f}"
    if amount >= Decimal("0.0001"):
        return f"${amount:.4f}"
    return "< $0.0001"


def moment(seconds: float) -> str:
    """`2026-11-23 06:00:00 UTC`"""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
