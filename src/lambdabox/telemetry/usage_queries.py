"""The figures behind charts and lists: what functions did, when, how long and at what price.

Read from the sums that the journal keeps, by the minute for two weeks, by the hour and the day
for a year. What is still in memory is written first, so that an invocation shows as soon as its
caller has the answer.
"""

from collections.abc import Awaitable, Callable, Collection

import anyio.to_thread

from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.metrics import (
    CONCURRENT_EXECUTIONS,
    HOUR,
    THROTTLES,
    Measured,
    of_account,
    of_function,
)
from lambdabox.domain.summaries import Summary
from lambdabox.ports import Clock, Database
from lambdabox.repositories.metric_points import MetricReader
from lambdabox.repositories.usage import Choice, SeriesSum, UsageReader
from lambdabox.repositories.usage_records import Attempt, RecordQuery, UsageRecord, UsageRecords
from lambdabox.telemetry.figures import (
    Activity,
    Counted,
    Figures,
    FunctionFigures,
    Period,
    activity,
    by_function,
    over_time,
    total,
)

Flush = Callable[[], Awaitable[None]]


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
        sums = await self._sums(choice, period)
        place = scope, function_name, version or qualifier, period
        throttles = await self._points(THROTTLES, *place)
        concurrency = await self._points(CONCURRENT_EXECUTIONS, *place)
        return await anyio.to_thread.run_sync(over_time, period, sums, throttles, concurrency)

    async def by_function(self, scope: Scope, period: Period) -> dict[str, FunctionFigures]:
        """Return each function that ran or was throttled in the period: its sum and its steps."""
        await self._flush()
        sums = await self._sums(Choice(scope), period)
        throttles = await self._throttles(scope, period)
        return await anyio.to_thread.run_sync(by_function, period, sums, throttles)

    async def total(
        self, scope: Scope, period: Period, *, function_name: str | None = None
    ) -> Figures:
        """Return the figures of a whole period."""
        await self._flush()
        sums = await self._sums(Choice(scope, function_name), period)
        place = scope, function_name, None, period
        throttles = await self._points(THROTTLES, *place)
        concurrency = await self._points(CONCURRENT_EXECUTIONS, *place)
        return await anyio.to_thread.run_sync(total, period, sums, throttles, concurrency)

    async def activity(
        self, scope: Scope, period: Period, function_names: Collection[str]
    ) -> dict[str, Activity]:
        """Return what these functions did, those that ran: little, and so of many at once."""
        await self._flush()
        sums = await self._sums(Choice(scope, function_names=function_names), period)
        return await anyio.to_thread.run_sync(activity, period, sums)

    async def last_invocations(
        self, scope: Scope, function_names: Collection[str] | None = None
    ) -> dict[str, float]:
        """Return when each function was last invoked, in seconds since the epoch."""
        await self._flush()
        last = await self._usage.last_invocations(Choice(scope, function_names=function_names))
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

    async def _points(
        self,
        measured: Measured,
        scope: Scope,
        function_name: str | None,
        resource: str | None,
        period: Period,
    ) -> Counted:
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
        return [(point.start, point.values) for point in points]

    async def _throttles(self, scope: Scope, period: Period) -> list[tuple[str, int, Summary]]:
        """Return when which functions were throttled, and how often."""
        namespace = of_account(scope, THROTTLES).namespace
        names = {
            series.id: series.metric.dimensions[0][1]
            for series in await self._metrics.series(
                scope, namespace=namespace, name=THROTTLES.name
            )
            if len(series.metric.dimensions) == 1 and series.last >= period.since // HOUR * HOUR
        }
        width = period.width(self._clock.now())
        since = period.since // width * width
        points = await self._metrics.points(names, seconds=width, since=since, until=period.until)
        return [(names[point.series_id], point.start, point.values) for point in points]
