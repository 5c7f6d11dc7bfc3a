"""The figures behind charts and lists: what functions did, when, how long and at what price.

Read from the sums that the journal keeps, by the minute for two weeks, by the hour and the day
for a year. What is still in memory is written first, so that an invocation shows as soon as its
caller has the answer.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.metrics import (
    CONCURRENT_EXECUTIONS,
    DAY,
    HOUR,
    MINUTE,
    THROTTLES,
    Measured,
    of_account,
    of_function,
)
from lambdabox.domain.prices import price
from lambdabox.domain.summaries import Summary
from lambdabox.ports import Clock, Database
from lambdabox.repositories.metric_points import MetricReader
from lambdabox.repositories.rollups import Rollup, SeriesKey
from lambdabox.repositories.usage import Choice, SeriesSum, UsageReader
from lambdabox.repositories.usage_records import Attempt, RecordQuery, UsageRecord, UsageRecords
from lambdabox.telemetry.retention import MINUTES_KEPT_SECONDS

MAX_PERIODS = 3_000

Flush = Callable[[], Awaitable[None]]


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
class _Step:
    """Figures as they are added up."""

    rollup: Rollup
    cost: Decimal = Decimal(0)
    memory_mib: int = 0
    throttles: int = 0
    concurrency: int = 0

    @classmethod
    def empty(cls) -> "_Step":
        return cls(Rollup())

    def add(self, series: SeriesKey, rollup: Rollup) -> None:
        """Count in a sum that is nobody else's."""
        if self.rollup.invocations:
            self.rollup.merge(rollup)
        else:
            self.rollup = rollup
        self.cost += cost_of(series, rollup)
        self.memory_mib = max(self.memory_mib, series.memory_mib)


class UsageQueries:
    def __init__(self, journal: Database, flush: Flush, clock: Clock) -> None:
        self._usage = UsageReader(journal)
        self._records = UsageRecords(journal)
        self._metrics = MetricReader(journal)
        self._flush = flush
        self._clock = clock

    async def over_time(
        self,
        scope: Scope,
        period: Period,
        *,
        function_name: str | None = None,
        version: str | None = None,
        qualifier: str | None = None,
    ) -> list[Figures]:
        """Return the figures of each step, empty ones included; of all functions without a name.

        Throttles and concurrency are known of a function or of a version, not of an alias.
        """
        await self._flush()
        choice = Choice(scope, function_name, version, qualifier)
        steps = {start: _Step.empty() for start in period.starts}
        for found in await self._sums(choice, period):
            step = steps.get(period.start_of(found.start))
            if step is not None:
                step.add(found.series, found.rollup)
        await self._measure(scope, function_name, version or qualifier, period, steps)
        return [_figures(start, step) for start, step in steps.items()]

    async def by_function(self, scope: Scope, period: Period) -> dict[str, FunctionFigures]:
        """Return each function that ran in the period, its sum and its steps."""
        await self._flush()
        functions: dict[str, dict[int, _Step]] = {}
        for found in await self._sums(Choice(scope), period):
            steps = functions.get(found.series.function_name)
            if steps is None:
                steps = functions[found.series.function_name] = {
                    start: _Step.empty() for start in period.starts
                }
            step = steps.get(period.start_of(found.start))
            if step is not None:
                step.add(found.series, found.rollup)
        await self._count_throttles(scope, period, functions)
        return {name: _of_function(name, period, steps) for name, steps in functions.items()}

    async def total(
        self, scope: Scope, period: Period, *, function_name: str | None = None
    ) -> Figures:
        """Return the figures of a whole period."""
        await self._flush()
        step = _Step.empty()
        for found in await self._sums(Choice(scope, function_name), period):
            step.add(found.series, found.rollup)
        steps = {start: _Step.empty() for start in period.starts}
        await self._measure(scope, function_name, None, period, steps)
        step.throttles = sum(part.throttles for part in steps.values())
        step.concurrency = max((part.concurrency for part in steps.values()), default=0)
        return _figures(period.since, step)

    async def last_invocations(self, scope: Scope) -> dict[str, float]:
        """Return when each function was last invoked, in seconds since the epoch."""
        await self._flush()
        last = await self._usage.last_invocations(scope)
        return {name: milliseconds / 1000 for name, milliseconds in last.items()}

    async def recent(
        self, query: RecordQuery, *, limit: int = 50, before: tuple[int, int] | None = None
    ) -> list[UsageRecord]:
        """Return the latest invocations; those before the (started_ms, id) of another, if given."""
        await self._flush()
        return await self._records.recent(query, limit=limit, before=before)

    async def invocation(self, scope: Scope, request_id: str) -> list[Attempt]:
        """Return every attempt at an invocation, with its log lines."""
        await self._flush()
        return await self._records.attempts(scope, request_id)

    async def _sums(self, choice: Choice, period: Period) -> list[SeriesSum]:
        width = period.width(self._clock.now())
        since = period.since // width * width
        return await self._usage.sums(choice, seconds=width, since=since, until=period.until)

    async def _measure(
        self,
        scope: Scope,
        function_name: str | None,
        resource: str | None,
        period: Period,
        steps: dict[int, _Step],
    ) -> None:
        """Add what is counted apart from invocations."""
        for start, values in await self._points(scope, THROTTLES, function_name, resource, period):
            if start in steps:
                steps[start].throttles += round(values.total)
        for start, values in await self._points(
            scope, CONCURRENT_EXECUTIONS, function_name, resource, period
        ):
            if start in steps:
                steps[start].concurrency = max(steps[start].concurrency, round(values.maximum))

    async def _points(
        self,
        scope: Scope,
        measured: Measured,
        function_name: str | None,
        resource: str | None,
        period: Period,
    ) -> Iterable[tuple[int, Summary]]:
        metric = of_account(scope, measured)
        if function_name is not None:
            key = FunctionKey(scope.account, scope.region, function_name)
            named = f"{function_name}:{resource}" if resource else None
            metric = of_function(key, measured, named)
        series = await self._metrics.find(metric)
        if series is None:
            return []
        width = period.width(self._clock.now())
        since = period.since // width * width
        points = await self._metrics.points(
            [series.id], seconds=width, since=since, until=period.until
        )
        return [(period.start_of(point.start), point.values) for point in points]

    async def _count_throttles(
        self, scope: Scope, period: Period, functions: dict[str, dict[int, _Step]]
    ) -> None:
        """Also of functions that did nothing but be throttled."""
        namespace = of_account(scope, THROTTLES).namespace
        names: dict[int, str] = {}
        for series in await self._metrics.series(scope, namespace=namespace, name=THROTTLES.name):
            if len(series.metric.dimensions) == 1 and series.last >= period.since // HOUR * HOUR:
                names[series.id] = series.metric.dimensions[0][1]
        if not names:
            return
        width = period.width(self._clock.now())
        since = period.since // width * width
        for point in await self._metrics.points(
            names, seconds=width, since=since, until=period.until
        ):
            steps = functions.setdefault(
                names[point.series_id], {start: _Step.empty() for start in period.starts}
            )
            step = steps.get(period.start_of(point.start))
            if step is not None:
                step.throttles += round(point.values.total)


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


def _of_function(name: str, period: Period, steps: dict[int, _Step]) -> FunctionFigures:
    total = _Step.empty()
    for step in steps.values():
        total.rollup.merge(step.rollup)
        total.cost += step.cost
        total.memory_mib = max(total.memory_mib, step.memory_mib)
        total.throttles += step.throttles
    figures = [_figures(start, step) for start, step in steps.items()]
    return FunctionFigures(name, _figures(period.since, total), figures)


def _figures(start: int, step: _Step) -> Figures:
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
