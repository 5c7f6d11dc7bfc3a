"""A small chart in a table's cell: bars by the hour, the failed part in another colour."""

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 24
_STEP = 4
_BAR = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle, `bad` of whose height, from the bottom, stands for errors."""

    x: int
    height: float
    bad: float


@dataclass(frozen=True, slots=True)
class Sparkline:
    width: int
    height: int
    bar_width: int
    bars: tuple[Bar, ...]
    total: int
    errors: int

    @property
    def label(self) -> str:
        """What it shows, for those who cannot see it."""
        return f"{self.total} invocations, {self.errors} errors in {len(self.bars)} hours"


def sparkline(invocations: Sequence[int], errors: Sequence[int]) -> Sparkline:
    highest = max(invocations, default=0) or 1

    def height_of(count: int) -> float:
        # What happened at all is to be seen, however little it was beside the rest.
        return round(max(2.0, HEIGHT * count / highest), 1) if count else 0.0

    return Sparkline(
        width=_STEP * len(invocations),
        height=HEIGHT,
        bar_width=_BAR,
        bars=tuple(
            Bar(at * _STEP, height_of(count), min(height_of(count), height_of(bad)))
            for at, (count, bad) in enumerate(zip(invocations, errors, strict=True))
        ),
        total=sum(invocations),
        errors=sum(errors),
    )
