"""GetMetricData: many metrics at once, with expressions over them, a page at a time."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lambdabox.api.cloudwatch_statistics import metric_of, moment, statistic, steps_of
from lambdabox.api.paging import read_marker, write_marker
from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.metric_math import (
    BadExpressionError,
    Operands,
    Series,
    evaluate,
    identifiers,
)
from lambdabox.ports import Clock
from lambdabox.telemetry.metric_queries import MetricQueries, Steps

MAX_QUERIES = 500
MAX_DATAPOINTS = 100_800

log = logging.getLogger(__name__)

Query = Mapping[str, Any]


@dataclass(slots=True)
class _Answers:
    """What is known so far, by the queries' ids."""

    series: dict[str, Series] = field(default_factory=dict)
    periods: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class MetricData:
    def __init__(self, queries: MetricQueries, aws: AwsServices, clock: Clock) -> None:
        self._queries = queries
        self._aws = aws
        self._clock = clock

    async def is_own(self, scope: Scope, params: Mapping[str, Any]) -> bool:
        """Whether any of the metrics is kept here."""
        for query in params["MetricDataQueries"]:
            if await self._is_own(scope, query):
                return True
        return False

    async def answer(self, scope: Scope, params: Mapping[str, Any]) -> Mapping[str, Any]:
        queries: Sequence[Query] = params["MetricDataQueries"]
        _check(queries)
        await self._queries.flush()
        answers = _Answers()
        foreign = []
        for query in queries:
            if "Expression" in query:
                continue
            if await self._is_own(scope, query):
                await self._read(scope, query, params, answers)
            else:
                foreign.append(query)
        if foreign:
            await self._ask(scope, foreign, params, answers)
        self._evaluate(queries, params, answers)
        return _page(queries, params, answers)

    async def _is_own(self, scope: Scope, query: Query) -> bool:
        if "MetricStat" not in query:
            return False
        metric = query["MetricStat"]["Metric"]
        namespace, name = metric.get("Namespace", ""), metric.get("MetricName", "")
        return await self._queries.is_known(scope, namespace, name)

    async def _read(
        self, scope: Scope, query: Query, params: Mapping[str, Any], answers: _Answers
    ) -> None:
        asked = query["MetricStat"]
        steps = self._steps(params, asked["Period"])
        named = asked["Metric"]
        metric = metric_of(
            scope,
            named.get("Namespace", ""),
            named.get("MetricName", ""),
            named.get("Dimensions", []),
        )
        found = await self._queries.values(metric, steps)
        if "Unit" in asked and asked["Unit"] != await self._queries.unit(metric):
            found = []
        answers.series[query["Id"]] = {
            start: statistic(values, asked["Stat"]) for start, values in found
        }
        answers.periods[query["Id"]] = steps.seconds
        answers.labels[query["Id"]] = named.get("MetricName", "")

    async def _ask(
        self,
        scope: Scope,
        foreign: Sequence[Query],
        params: Mapping[str, Any],
        answers: _Answers,
    ) -> None:
        """Ask whoever else is CloudWatch for what is not kept here."""
        for query in foreign:
            answers.periods[query["Id"]] = query["MetricStat"]["Period"]
            answers.labels[query["Id"]] = query["MetricStat"]["Metric"].get("MetricName", "")
            answers.series[query["Id"]] = {}
        asked = {
            "MetricDataQueries": [{**query, "ReturnData": True} for query in foreign],
            "StartTime": params["StartTime"],
            "EndTime": params["EndTime"],
        }
        try:
            output = await self._aws.call("cloudwatch", "GetMetricData", asked, scope)
        except AwsCallError as exc:
            log.warning("metrics of other services were not read: %s", exc)
            answers.failures.update({query["Id"]: exc.message for query in foreign})
            return
        for result in output.get("MetricDataResults", []):
            times = [int(each.timestamp()) for each in result.get("Timestamps", [])]
            values = map(float, result.get("Values", []))
            answers.series[result["Id"]] = dict(zip(times, values, strict=False))

    def _evaluate(
        self, queries: Sequence[Query], params: Mapping[str, Any], answers: _Answers
    ) -> None:
        """Evaluate expressions in an order in which each finds what it names."""
        metrics = list(answers.series.values())
        waiting = {query["Id"]: query for query in queries if "Expression" in query}
        while waiting:
            ready = [
                query
                for query in waiting.values()
                if not identifiers(query["Expression"]) & waiting.keys()
            ]
            if not ready:
                raise InvalidParameterValueException(
                    f"The expressions {', '.join(sorted(waiting))} name each other in a circle."
                )
            for query in ready:
                del waiting[query["Id"]]
                named = identifiers(query["Expression"]) & answers.periods.keys()
                period = query.get("Period") or max(
                    (answers.periods[name] for name in named or answers.periods), default=60
                )
                steps = self._steps(params, period)
                operands = Operands(
                    answers.series,
                    metrics,
                    answers.periods,
                    range(steps.since, steps.until, steps.seconds),
                )
                try:
                    answers.series[query["Id"]] = evaluate(query["Expression"], operands)
                except BadExpressionError as exc:
                    raise InvalidParameterValueException(
                        f"Error in expression '{query['Id']}': {exc}"
                    ) from exc
                answers.periods[query["Id"]] = steps.seconds
                answers.labels[query["Id"]] = query["Id"]

    def _steps(self, params: Mapping[str, Any], period: int) -> Steps:
        steps = steps_of(params["StartTime"], params["EndTime"], period, self._clock.now())
        if steps.count > MAX_DATAPOINTS:
            raise InvalidParameterValueException(
                f"You have requested up to {steps.count:,} datapoints, which exceeds the limit of "
                f"{MAX_DATAPOINTS:,}."
            )
        return steps


def _check(queries: Sequence[Query]) -> None:
    if len(queries) > MAX_QUERIES:
        raise InvalidParameterValueException(
            f"The collection MetricDataQueries must not have a size greater than {MAX_QUERIES}."
        )
    seen: set[str] = set()
    for query in queries:
        name = query["Id"]
        if not (name[0].islower() and name.isascii() and name.replace("_", "").isalnum()):
            raise InvalidParameterValueException(
                f"The value {name[:50]} for parameter MetricDataQueries.member.Id is not matching "
                "the expected pattern ^[a-z][a-zA-Z0-9_]*$."
            )
        if name in seen:
            raise InvalidParameterValueException(
                f"The values for parameter Id in MetricDataQueries are not unique: {name[:50]}."
            )
        seen.add(name)
        if ("MetricStat" in query) == ("Expression" in query):
            raise InvalidParameterValueException(
                f"Exactly one of MetricStat and Expression must be given: {name[:50]}."
            )


def _page(
    queries: Sequence[Query], params: Mapping[str, Any], answers: _Answers
) -> Mapping[str, Any]:
    """Return the results from where the last page ended, up to so many values."""
    place = read_marker(params.get("NextToken"), int)
    skip = place[0] if place else 0
    limit = min(max(params.get("MaxDatapoints", MAX_DATAPOINTS), 1), MAX_DATAPOINTS)
    is_ascending = params.get("ScanBy") == "TimestampAscending"
    at, room = 0, limit
    results: list[dict[str, Any]] = []
    for query in queries:
        if query.get("ReturnData") is False:
            continue
        name = query["Id"]
        points = sorted(answers.series[name].items(), reverse=not is_ascending)
        first = min(max(skip - at, 0), len(points))
        shown = points[first : first + room]
        room -= len(shown)
        at += len(points)
        status = "Complete" if first + len(shown) == len(points) else "PartialData"
        results.append(_result(query, answers, shown, status))
    more = {"NextToken": write_marker(skip + limit)} if skip + limit < at else {}
    return {"MetricDataResults": results, "Messages": [], **more}


def _result(
    query: Query, answers: _Answers, points: Sequence[tuple[int, float]], status: str
) -> dict[str, Any]:
    name = query["Id"]
    result = {
        "Id": name,
        "Label": query.get("Label") or answers.labels[name],
        "Timestamps": [moment(at) for at, _ in points],
        "Values": [value for _, value in points],
        "StatusCode": status,
    }
    if name in answers.failures:
        result["StatusCode"] = "InternalError"
        result["Messages"] = [{"Code": "InternalError", "Value": answers.failures[name]}]
    return result
