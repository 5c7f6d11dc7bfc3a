"""A small chart in a table's cell: bars by the hour, the failed part in another colour."""

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 24
_STEP = 4
_BAR = 3


@dataclass(frozen=True, slots=True)
class Sparkline:
    width: int
    height: int
    good: str
    """Paths as SVG writes them: of what went well, of errors below it, and of empty hours."""
    bad: str
    empty: str
    total: int
    errors: int
    hours: int

    @property
    def label(self) -> str:
        """What it shows, for those who cannot see it."""
        return f"{self.total} invocations, {self.errors} errors in {self.hours} hours"


def sparkline(invocations: Sequence[int], errors: Sequence[int]) -> Sparkline:
    highest = max(invocations, default=0) or 1

    def height_of(count: int) -> float:
        # What happened at all is to be seen, however little it was beside the rest.
        return round(max(2.0, HEIGHT * count / highest), 1) if count else 0.0

    good, bad, empty = [], [], []
    for at, (count, failed) in enumerate(zip(invocations, errors, strict=True)):
        top = height_of(count)
        below = min(top, height_of(failed))
        good.append(_bar(at, HEIGHT - top, top - below))
        bad.append(_bar(at, HEIGHT - below, below))
        empty.append(_bar(at, HEIGHT - 1, 0 if count else 1))
    return Sparkline(
        width=_STEP * len(invocations),
        height=HEIGHT,
        good="".join(good),
        bad="".join(bad),
        empty="".join(empty),
        total=sum(invocations),
        errors=sum(errors),
        hours=len(invocations),
    )


def _bar(at: int, y: float, height: float) -> str:
    return f"M{at * _STEP} {y:g}h{_BAR}v{height:g}h-{_BAR}z" if height else ""
