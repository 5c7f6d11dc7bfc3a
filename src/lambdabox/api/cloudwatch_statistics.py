"""Statistics of metrics as CloudWatch gives them, and the operations that need no expressions."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lambdabox.api.paging import read_marker, write_marker
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.metrics import HOUR, MINUTE, Metric
from lambdabox.domain.summaries import Summary
from lambdabox.ports import Clock
from lambdabox.telemetry.metric_queries import Listed, MetricQueries, Steps
from lambdabox.telemetry.retention import MINUTES_KEPT_SECONDS

MAX_STATISTICS = 1_440
PAGE = 500
RECENT_SECONDS = 3 * HOUR
MAX_PERIOD = 86_400 * 365

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")


def statistic(values: Summary, name: str) -> float:
    """Return a statistic by CloudWatch's name of it. Raises InvalidParameterValueException."""
    match name:
        case "SampleCount":
            return float(values.count)
        case "Sum":
            return values.total
        case "Average":
            return values.average
        case "Minimum":
            return values.minimum
        case "Maximum":
            return values.maximum
    percentile = _PERCENTILE.fullmatch(name)
    if percentile is None:
        raise InvalidParameterValueException(
            f"The value {name[:50]} for parameter Stat is not supported. There are SampleCount, "
            "Average, Sum, Minimum, Maximum and percentiles such as p99."
        )
    return values.percentile(float(percentile[1]))


def metric_of(scope: Scope, namespace: str, name: str, dimensions: Sequence[Any]) -> Metric:
    pairs = tuple(sorted((each["Name"], each["Value"]) for each in dimensions))
    return Metric(scope.account, scope.region, namespace, name, pairs)


def steps_of(start: datetime, end: datetime, period: int, now: float) -> Steps:
    """Return the steps of a request. Raises InvalidParameterValueException.

    As on AWS they begin with the minute that the request's start is in, with the hour where
    there are no minutes any more.
    """
    if period % MINUTE and period not in (1, 5, 10, 20, 30):
        raise InvalidParameterValueException(
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60."
        )
    if period > MAX_PERIOD:
        raise InvalidParameterValueException(f"The parameter Period must not exceed {MAX_PERIOD}.")
    since, until = int(start.timestamp()), int(end.timestamp())
    if until <= since:
        raise InvalidParameterValueException(
            "The parameter StartTime must be less than the parameter EndTime."
        )
    unit = HOUR if since < now - MINUTES_KEPT_SECONDS else MINUTE
    return Steps(since // unit * unit, until, max(period, MINUTE))


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class MetricStatistics:
    """GetMetricStatistics."""

    def __init__(self, queries: MetricQueries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock

    async def is_own(self, scope: Scope, params: Mapping[str, Any]) -> bool:
        return await self._queries.is_known(scope, params["Namespace"], params["MetricName"])

    async def answer(self, scope: Scope, params: Mapping[str, Any]) -> Mapping[str, Any]:
        simple = params.get("Statistics", [])
        extended = params.get("ExtendedStatistics", [])
        if not simple and not extended:
            raise InvalidParameterValueException(
                "Must specify either Statistics or ExtendedStatistics"
            )
        steps = steps_of(
            params["StartTime"], params["EndTime"], params["Period"], self._clock.now()
        )
        if steps.count > MAX_STATISTICS:
            raise InvalidParameterValueException(
                f"You have requested up to {steps.count:,} datapoints, which exceeds the limit of "
                f"{MAX_STATISTICS:,}. You may reduce the datapoints requested by increasing "
                "Period, or decreasing the time range."
            )
        await self._queries.flush()
        namespace, name = params["Namespace"], params["MetricName"]
        metric = metric_of(scope, namespace, name, params.get("Dimensions", []))
        unit = await self._queries.unit(metric)
        found = await self._queries.values(metric, steps)
        if params.get("Unit", unit) != unit:
            found = []
        return {
            "Label": name,
            "Datapoints": [
                _datapoint(start, values, unit, simple, extended) for start, values in found
            ],
        }


class ListMetrics:
    def __init__(self, queries: MetricQueries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock

    async def own(self, scope: Scope, params: Mapping[str, Any]) -> list[Listed]:
        """Return the metrics that are kept here and meant by the request."""
        await self._queries.flush()
        after = 0.0
        if params.get("RecentlyActive"):
            after = self._clock.now() - RECENT_SECONDS
        found = await self._queries.list(scope, params.get("Namespace"))
        return [
            each
            for each in found
            if params.get("MetricName") in (None, each.name)
            and each.last >= after
            and _has(each, params.get("Dimensions", []))
        ]

    async def answer(self, scope: Scope, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """A page of them. Raises InvalidParameterValueException for a token that is not ours."""
        place = read_marker(params.get("NextToken"), int)
        start = place[0] if place else 0
        found = await self.own(scope, params)
        more = {}
        if start + PAGE < len(found):
            more = {"NextToken": write_marker(start + PAGE)}
        return {"Metrics": described(found[start : start + PAGE]), **more}


def described(found: Sequence[Listed]) -> list[dict[str, Any]]:
    return [
        {
            "Namespace": each.namespace,
            "MetricName": each.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in each.dimensions],
        }
        for each in found
    ]


def _has(metric: Listed, filters: Sequence[Mapping[str, str]]) -> bool:
    dimensions = dict(metric.dimensions)
    return all(
        each["Name"] in dimensions and each.get("Value") in (None, dimensions[each["Name"]])
        for each in filters
    )


def _datapoint(
    start: int, values: Summary, unit: str, simple: Sequence[str], extended: Sequence[str]
) -> dict[str, Any]:
    point: dict[str, Any] = {"Timestamp": moment(start), "Unit": unit}
    point |= {name: statistic(values, name) for name in simple}
    if extended:
        point["ExtendedStatistics"] = {name: statistic(values, name) for name in extended}
    return point
