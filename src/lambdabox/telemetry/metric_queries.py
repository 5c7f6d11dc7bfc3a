"""Answer questions about metrics: which there are, and their values over time.

Metrics of invocations are read from the sums of usage, the platform's others and those of
functions from the points that are kept of them. To who asks they are all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdabox.domain.arn import Scope
from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.metrics import (
    DAY,
    HOUR,
    LAMBDA_NAMESPACE,
    MINUTE,
    PLATFORM_NAMESPACE,
    Dimensions,
    Metric,
)
from lambdabox.domain.summaries import Summary, bucket_of
from lambdabox.ports import Clock, Database
from lambdabox.repositories.metric_points import MetricReader
from lambdabox.repositories.rollups import SeriesKey
from lambdabox.repositories.usage import Choice, SeriesSum, UsageReader
from lambdabox.telemetry.retention import MINUTES_KEPT_SECONDS
from lambdabox.telemetry.usage_queries import Flush


@dataclass(frozen=True, slots=True)
class Listed:
    """A metric that has values, and when it last had."""

    namespace: str
    name: str
    dimensions: Dimensions
    last: float


@dataclass(frozen=True, slots=True)
class Steps:
    """From `since` until before `until` by `seconds`; all seconds since the epoch."""

    since: int
    until: int
    seconds: int

    @property
    def count(self) -> int:
        return max(-(-(self.until - self.since) // self.seconds), 0)

    def start_of(self, moment: int) -> int:
        return self.since + (moment - self.since) // self.seconds * self.seconds


def _ones(count: int, out_of: int) -> Summary:
    """What values of 0 and 1 add up to: each invocation is one of them."""
    buckets = {bucket_of(1.0): count, bucket_of(0.0): out_of - count}
    present = {bucket: number for bucket, number in buckets.items() if number}
    minimum = 1.0 if count == out_of else 0.0
    return Summary(out_of, float(count), minimum, 1.0 if count else 0.0, present)


def _provisioned(item: SeriesSum) -> Summary:
    is_meant = item.series.initialization == InitializationType.PROVISIONED
    count = item.rollup.invocations if is_meant else 0
    return _ones(count, count) if count else Summary()


_OF_USAGE: Mapping[str, tuple[str, Callable[[SeriesSum], Summary]]] = {
    "Invocations": ("Count", lambda each: _ones(each.rollup.invocations, each.rollup.invocations)),
    "Errors": ("Count", lambda each: _ones(each.rollup.errors, each.rollup.invocations)),
    "Duration": ("Milliseconds", lambda each: each.rollup.durations),
    "ProvisionedConcurrencyInvocations": ("Count", _provisioned),
}


class MetricQueries:
    def __init__(self, journal: Database, flush: Flush, clock: Clock) -> None:
        self._usage = UsageReader(journal)
        self._metrics = MetricReader(journal)
        self._clock = clock
        self.flush = flush

    @staticmethod
    def is_platform(namespace: str | None) -> bool:
        """Whether nobody else can have metrics of that namespace."""
        return namespace in (LAMBDA_NAMESPACE, PLATFORM_NAMESPACE)

    async def is_known(self, scope: Scope, namespace: str, name: str) -> bool:
        """Whether such a metric is kept here: the platform's always, others if there is one."""
        if self.is_platform(namespace):
            return True
        await self.flush()  # it may have been printed for the first time a moment ago
        return await self._metrics.has_name(scope, namespace, name)

    async def unit(self, metric: Metric) -> str:
        if metric.namespace == LAMBDA_NAMESPACE and metric.name in _OF_USAGE:
            return _OF_USAGE[metric.name][0]
        series = await self._metrics.find(metric)
        return series.unit if series is not None else "None"

    async def values(self, metric: Metric, steps: Steps) -> list[tuple[int, Summary]]:
        """Return the values of each step that has some, by when it begins."""
        width = self._width(steps)
        found: dict[int, Summary] = {}
        for start, values in await self._parts(metric, steps, width):
            if values.count and start >= steps.since:
                found.setdefault(steps.start_of(start), Summary()).merge(values)
        return sorted(found.items(), key=lambda item: item[0])

    async def list(self, scope: Scope, namespace: str | None = None) -> list[Listed]:
        """Return every metric of the account, or of one namespace."""
        listed = [
            Listed(each.metric.namespace, each.metric.name, each.metric.dimensions, each.last)
            for each in await self._metrics.series(scope, namespace=namespace)
        ]
        if namespace in (None, LAMBDA_NAMESPACE):
            listed += _listed_usage(await self._usage.all_time(Choice(scope)))
        return listed

    def _width(self, steps: Steps) -> int:
        """Return the width of sums that steps are put together from."""
        if steps.seconds % DAY == 0 and steps.since % DAY == 0:
            return DAY
        is_old = steps.since < self._clock.now() - MINUTES_KEPT_SECONDS
        is_hours = steps.seconds % HOUR == 0 and steps.since % HOUR == 0
        return HOUR if is_old or is_hours else MINUTE

    async def _parts(
        self, metric: Metric, steps: Steps, width: int
    ) -> Sequence[tuple[int, Summary]]:
        if metric.namespace == LAMBDA_NAMESPACE and metric.name in _OF_USAGE:
            choice = _choice(metric)
            if choice is None:
                return []
            _, summarize = _OF_USAGE[metric.name]
            sums = await self._usage.sums(
                choice, seconds=width, since=steps.since, until=steps.until
            )
            return [(item.start, summarize(item)) for item in sums]
        series = await self._metrics.find(metric)
        if series is None:
            return []
        points = await self._metrics.points(
            [series.id], seconds=width, since=steps.since, until=steps.until
        )
        return [(point.start, point.values) for point in points]


def _choice(metric: Metric) -> Choice | None:
    """Return which invocations have these dimensions, None if none can."""
    named: dict[str, Any] = dict(metric.dimensions)
    resource = named.pop("Resource", None)
    function_name = named.pop("FunctionName", None)
    version = named.pop("ExecutedVersion", None)
    if named or (function_name is None and (resource or version)):
        return None
    qualifier = None
    if resource is not None:
        name, _, qualifier = resource.partition(":")
        if name != function_name:
            return None
    return Choice(metric.scope, function_name, version, qualifier)


def _listed_usage(sums: Sequence[SeriesSum]) -> list[Listed]:
    last: dict[tuple[str, Dimensions], float] = {}
    for item in sums:
        for name in _OF_USAGE:
            if name == "ProvisionedConcurrencyInvocations" and not _provisioned(item).count:
                continue
            for dimensions in _dimensions(item.series):
                place = name, dimensions
                last[place] = max(last.get(place, 0.0), item.rollup.last_ms / 1000)
    return [
        Listed(LAMBDA_NAMESPACE, name, dimensions, moment)
        for (name, dimensions), moment in sorted(last.items())
    ]


def _dimensions(series: SeriesKey) -> list[Dimensions]:
    function = ("FunctionName", series.function_name)
    qualified = f"{series.function_name}:{series.qualifier}"
    resource = ("Resource", qualified if series.qualifier else series.function_name)
    found: list[Dimensions] = [(), (function,), (function, resource)]
    if series.qualifier not in ("", series.version):
        found.append((("ExecutedVersion", series.version), function, resource))
    return found
