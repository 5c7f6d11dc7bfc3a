"""Find the memory size at which a function is best: what to run next, and what came of it.

Pure, so that the command line and the console measure and choose alike: whoever runs the
invocations, one after the other, asks a tally where, and tells it what their REPORT says.
What counts is what AWS bills by, of warm invocations; the first at each size starts cold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lambdabox.domain.prices import price
from lambdabox.domain.reports import Report

SIZES = (128, 256, 512, 1024, 1769)
"""What is tried unless something else is asked for: from the least to one whole processor."""

MIN_MIB, MAX_MIB = 128, 10_240
MAX_SIZES = 20
MAX_INVOCATIONS = 1_000


class Goal(StrEnum):
    COST = "cost"
    SPEED = "speed"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class Plan:
    sizes: Sequence[int]
    invocations: int = 10
    """Warm ones, at each size."""
    goal: Goal = Goal.BALANCED

    @property
    def total(self) -> int:
        return len(self.sizes) * (self.invocations + 1)


@dataclass(frozen=True, slots=True)
class Measured:
    """A function at one memory size. `cost` is of a million invocations, in US dollars."""

    memory_mib: int
    duration_ms: float
    slowest_ms: float
    init_ms: float | None
    used_mib: int
    cost: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A size at which the function failed, or could not be measured."""

    memory_mib: int
    reason: str


class Tally:
    """What is known of a function that is being measured as planned."""

    def __init__(self, plan: Plan, *, architecture: str, storage_mib: int) -> None:
        self.plan = plan
        self.measured: list[Measured] = []
        self.failed: list[Failed] = []
        self.done = 0
        """How many of the plan's invocations need not be waited for any more."""
        self._architecture = architecture
        self._storage_mib = storage_mib
        self._left = list(plan.sizes)
        self._reports: list[Report] = []

    @property
    def size(self) -> int | None:
        """Where to run next; None if all is known."""
        return self._left[0] if self._left else None

    def ran(self, report: Report) -> None:
        self._reports.append(report)
        self.done += 1
        if len(self._reports) > self.plan.invocations:
            self.measured.append(self._measure(self._left.pop(0)))
            self._reports = []

    def fail(self, reason: str) -> None:
        """Leave the rest of this size out."""
        self.failed.append(Failed(self._left.pop(0), reason))
        self.done += self.plan.invocations + 1 - len(self._reports)
        self._reports = []

    @property
    def best(self) -> Measured | None:
        return choose(self.measured, self.plan.goal) if self.measured else None

    def _measure(self, memory_mib: int) -> Measured:
        cold, warm = self._reports[0], self._reports[1:]
        billed = sum(report.billed_ms for report in warm)
        paid = price(self._architecture, memory_mib, self._storage_mib, len(warm), billed)
        return Measured(
            memory_mib=memory_mib,
            duration_ms=round(sum(report.duration_ms for report in warm) / len(warm), 2),
            slowest_ms=max(report.duration_ms for report in warm),
            init_ms=cold.init_ms,
            used_mib=max(report.used_mib for report in self._reports),
            cost=float(paid * 1_000_000 / len(warm)),
        )


def parse_sizes(text: str) -> list[int]:
    """Return sizes in ascending order. Raises ValueError, which says what they should be."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(_is_size(part) for part in parts):
        raise ValueError(
            f"give sizes from {MIN_MIB} to {MAX_MIB} MiB, as in {','.join(map(str, SIZES))}"
        )
    sizes = sorted({int(part) for part in parts})
    if len(sizes) > MAX_SIZES:
        raise ValueError(f"give at most {MAX_SIZES} sizes at once, not {len(sizes)}")
    return sizes


def choose(found: Sequence[Measured], goal: Goal) -> Measured:
    """Return the best: between equals, the one that is better at what was not asked for."""
    dearest = max(each.cost for each in found)
    slowest = max(each.duration_ms for each in found) or 1.0
    match goal:
        case Goal.COST:
            return min(found, key=lambda each: (each.cost, each.duration_ms))
        case Goal.SPEED:
            return min(found, key=lambda each: (each.duration_ms, each.cost))
        case Goal.BALANCED:
            return min(found, key=lambda each: each.cost / dearest + each.duration_ms / slowest)


def _is_size(text: str) -> bool:
    return (
        text.isascii() and text.isdecimal() and len(text) <= 5 and MIN_MIB <= int(text) <= MAX_MIB
    )
