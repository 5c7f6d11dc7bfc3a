"""Put sums of usage together to the figures of charts and lists.

Pure, and run on a thread: a month of many functions is a hundred thousand additions, which
would keep invocations waiting on the event loop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from lambdabox.domain.metrics import DAY, HOUR, MINUTE
from lambdabox.domain.prices import price
from lambdabox.domain.summaries import Summary
from lambdabox.repositories.rollups import Rollup, SeriesKey
from lambdabox.repositories.usage import SeriesSum
from lambdabox.telemetry.retention import MINUTES_KEPT_SECONDS

MAX_PERIODS = 3_000

Counted = Sequence[tuple[int, Summary]]
"""When it began, in seconds since the epoch, and what was counted."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` until before `until`, in steps of so many seconds: whole minutes.

    Seconds since the epoch. `since` is moved back to where a step begins.
    """

    since: int
    until: int
    seconds: int

    def __post_init__(self) -> None:
        if self.seconds < MINUTE or self.seconds % MINUTE:
            raise ValueError(f"a step is a number of whole minutes, not {self.seconds} seconds")
        if self.until <= self.since:
            raise ValueError("the period ends before it begins")
        if (self.until - self.since) / self.seconds > MAX_PERIODS:
            raise ValueError(f"the period has more than {MAX_PERIODS} steps")
        object.__setattr__(self, "since", self.since // self.seconds * self.seconds)

    @property
    def starts(self) -> range:
        return range(self.since, self.until, self.seconds)

    def start_of(self, moment: int) -> int:
        return moment // self.seconds * self.seconds

    def width(self, now: float) -> int:
        """Return of which width the sums are that this is answered from."""
        if self.seconds % DAY == 0:
            return DAY
        is_old = self.since < now - MINUTES_KEPT_SECONDS
        return HOUR if is_old or self.seconds % HOUR == 0 else MINUTE


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened in one step. Durations and `start` are of those that began in it."""

    start: int
    invocations: int = 0
    errors: int = 0
    """Timeouts included."""
    timeouts: int = 0
    throttles: int = 0
    cold_starts: int = 0
    init_average_ms: float = 0.0
    init_max_ms: float = 0.0
    duration_average_ms: float = 0.0
    duration_min_ms: float = 0.0
    duration_max_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    concurrency: int = 0
    """The most at once."""
    memory_mib: int = 0
    """The most that was configured."""
    memory_used_mib: int = 0
    """The most that was used."""
    memory_used_average_mib: float = 0.0
    billed_ms: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class FunctionFigures:
    function_name: str
    total: Figures
    steps: list[Figures]


@dataclass(slots=True)
class Activity:
    """What a function did, in short: counts by step, and the durations of all of them."""

    invocations: list[int]
    errors: list[int]
    durations: Summary


@dataclass(slots=True)
class Step:
    """Figures as they are added up."""

    rollup: Rollup
    cost: Decimal = Decimal(0)
    memory_mib: int = 0
    throttles: int = 0
    concurrency: int = 0

    @classmethod
    def empty(cls) -> "Step":
        return cls(Rollup())

    def add(self, series: SeriesKey, rollup: Rollup) -> None:
        """Count in a sum that is nobody else's."""
        if self.rollup.invocations:
            self.rollup.merge(rollup)
        else:
            self.rollup = rollup
        self.cost += cost_of(series, rollup)
        self.memory_mib = max(self.memory_mib, series.memory_mib)


def over_time(
    period: Period, sums: Iterable[SeriesSum], throttles: Counted, concurrency: Counted
) -> list[Figures]:
    """Return the figures of each step, empty ones included."""
    steps = _steps(period)
    for found in sums:
        step = steps.get(period.start_of(found.start))
        if step is not None:
            step.add(found.series, found.rollup)
    for start, values in throttles:
        if (step := steps.get(period.start_of(start))) is not None:
            step.throttles += round(values.total)
    for start, values in concurrency:
        if (step := steps.get(period.start_of(start))) is not None:
            step.concurrency = max(step.concurrency, round(values.maximum))
    return [_figures(start, step) for start, step in steps.items()]


def by_function(
    period: Period, sums: Iterable[SeriesSum], throttles: Iterable[tuple[str, int, Summary]]
) -> dict[str, FunctionFigures]:
    """Return each function with a sum or a throttle in the period."""
    functions: dict[str, dict[int, Step]] = {}
    for found in sums:
        step = _step(functions, period, found.series.function_name, found.start)
        if step is not None:
            step.add(found.series, found.rollup)
    for name, start, values in throttles:
        step = _step(functions, period, name, start)
        if step is not None:
            step.throttles += round(values.total)
    return {name: _of_function(name, period, steps) for name, steps in functions.items()}


def activity(period: Period, sums: Iterable[SeriesSum]) -> dict[str, Activity]:
    """Return each function with a sum in the period."""
    functions: dict[str, Activity] = {}
    for found in sums:
        step = (found.start - period.since) // period.seconds
        if not 0 <= step < len(period.starts):
            continue
        known = functions.get(found.series.function_name)
        if known is None:
            none = [0] * len(period.starts)
            known = functions[found.series.function_name] = Activity(none, none.copy(), Summary())
        known.invocations[step] += found.rollup.invocations
        known.errors[step] += found.rollup.errors
        known.durations.merge(found.rollup.durations)
    return functions


def total(
    period: Period, sums: Iterable[SeriesSum], throttles: Counted, concurrency: Counted
) -> Figures:
    """Return the figures of a whole period."""
    whole = Step.empty()
    for found in sums:
        whole.add(found.series, found.rollup)
    whole.throttles = sum(round(values.total) for _, values in throttles)
    whole.concurrency = max((round(values.maximum) for _, values in concurrency), default=0)
    return _figures(period.since, whole)


def _steps(period: Period) -> dict[int, Step]:
    return {start: Step.empty() for start in period.starts}


def _step(
    functions: dict[str, dict[int, Step]], period: Period, name: str, moment: int
) -> Step | None:
    steps = functions.get(name)
    if steps is None:
        steps = functions[name] = _steps(period)
    return steps.get(period.start_of(moment))


def cost_of(series: SeriesKey, rollup: Rollup) -> Decimal:
    """What these invocations would cost on AWS, in US dollars, not rounded."""
    return price(
        series.architecture,
        series.memory_mib,
        series.ephemeral_storage_mib,
        rollup.invocations,
        rollup.billed_ms,
        restores=rollup.restores,
        initialization=series.initialization,
    )


def _of_function(name: str, period: Period, steps: dict[int, Step]) -> FunctionFigures:
    total = Step.empty()
    for step in steps.values():
        total.rollup.merge(step.rollup)
        total.cost += step.cost
        total.memory_mib = max(total.memory_mib, step.memory_mib)
        total.throttles += step.throttles
    figures = [_figures(start, step) for start, step in steps.items()]
    return FunctionFigures(name, _figures(period.since, total), figures)


def _figures(start: int, step: Step) -> Figures:
    rollup, durations = step.rollup, step.rollup.durations
    if not rollup.invocations:
        return Figures(start, throttles=step.throttles, concurrency=step.concurrency)
    p50, p95, p99 = durations.percentiles((50, 95, 99))
    return Figures(
        start=start,
        invocations=rollup.invocations,
        errors=rollup.errors,
        timeouts=rollup.timeouts,
        throttles=step.throttles,
        cold_starts=rollup.cold_starts,
        init_average_ms=rollup.init_ms / rollup.cold_starts if rollup.cold_starts else 0.0,
        init_max_ms=rollup.init_max_ms,
        duration_average_ms=durations.average,
        duration_min_ms=durations.minimum,
        duration_max_ms=durations.maximum,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        concurrency=step.concurrency,
        memory_mib=step.memory_mib,
        memory_used_mib=rollup.memory_max_mib,
        memory_used_average_mib=rollup.memory_sum_mib / rollup.invocations,
        billed_ms=rollup.billed_ms,
        cost_usd=step.cost,
    )
