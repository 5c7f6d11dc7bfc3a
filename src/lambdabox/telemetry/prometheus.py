"""The node's metrics as Prometheus reads them.

Counted since the journal began, not since the node started: everything comes from sums that
are kept anyway, so that a node that nobody scrapes pays nothing, an invocation no more than
before, and a restart loses no counter. docs/metrics.md names each metric and CloudWatch's.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.metrics import (
    ASYNC_EVENT_AGE,
    ASYNC_EVENTS_DROPPED,
    ASYNC_EVENTS_RECEIVED,
    DEAD_LETTER_ERRORS,
    DESTINATION_DELIVERY_FAILURES,
    ITERATOR_AGE,
    LAMBDA_NAMESPACE,
    MINUTE,
    PLATFORM_NAMESPACE,
    PROVISIONED_SPILLOVER,
    RECURSIVE_INVOCATIONS_DROPPED,
    THROTTLES,
)
from lambdabox.domain.summaries import Summary
from lambdabox.ports import Clock, Database
from lambdabox.repositories.metric_points import MetricReader, Point, Series
from lambdabox.repositories.rollups import Rollup
from lambdabox.repositories.stored_sums import ALL_TIME
from lambdabox.repositories.usage import SeriesSum, UsageReader
from lambdabox.telemetry.figures import cost_of
from lambdabox.telemetry.usage_queries import Flush

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
_COUNTERS = {
    THROTTLES.name: ("throttles", "Invocations that were refused for want of concurrency."),
    ASYNC_EVENTS_RECEIVED.name: ("async_events_received", "Events accepted to run later."),
    ASYNC_EVENTS_DROPPED.name: ("async_events_dropped", "Events given up without success."),
    DEAD_LETTER_ERRORS.name: ("dead_letter_errors", "Events no dead-letter queue took."),
    DESTINATION_DELIVERY_FAILURES.name: (
        "destination_delivery_failures", "Outcomes that no destination took."
    ),
    RECURSIVE_INVOCATIONS_DROPPED.name: (
        "recursive_invocations_dropped", "Events of loops that were ended."
    ),
    PROVISIONED_SPILLOVER.name: (
        "provisioned_concurrency_spillover_invocations",
        "Invocations beyond the provisioned concurrency.",
    ),
}  # fmt: skip
_FUNCTION_LABELS = ("account_id", "region", "function_name")
_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Running:
    """One function at this moment."""

    key: FunctionKey
    running: int
    provisioned: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """What only the running node knows."""

    functions: Sequence[Running] = ()
    environments: Mapping[str, int] = field(default_factory=dict)
    """By what they do: busy, idle, starting."""
    queued_events: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)
    """Since the node started, by who answered them."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """What the journal could not take, by its kind."""


LookAtNode = Callable[[], Awaitable[NodeState]]


@dataclass(frozen=True, slots=True)
class _Found:
    usage: Sequence[SeriesSum]
    series: Mapping[int, Series]
    points: Sequence[Point]
    recent: Sequence[Point]
    """Of the last minutes, of metrics whose present value is what matters."""
    node: NodeState


class PrometheusPage:
    def __init__(self, journal: Database, flush: Flush, clock: Clock, node: LookAtNode) -> None:
        self._usage = UsageReader(journal)
        self._metrics = MetricReader(journal)
        self._flush = flush
        self._clock = clock
        self._node = node

    async def text(self) -> bytes:
        await self._flush()
        node = await self._node()
        series = {each.id: each for each in await self._metrics.all_series()}
        points = await self._metrics.points(series, seconds=ALL_TIME, since=0, until=1)
        now = int(self._clock.now())
        aged = [id for id, each in series.items() if each.metric.name == ITERATOR_AGE.name]
        recent = await self._metrics.points(
            aged, seconds=MINUTE, since=now // MINUTE * MINUTE - MINUTE, until=now + MINUTE
        )
        found = _Found(await self._usage.all_time(), series, points, recent, node)
        return await anyio.to_thread.run_sync(_render, found)


class _Page:
    """A collector, which is what the library renders."""

    def __init__(self, found: _Found) -> None:
        self._found = found

    def collect(self) -> Iterator["Metric"]:
        yield from _of_invocations(self._found.usage)
        yield from _of_counts(self._found)
        yield from _of_ages(self._found)
        yield from _of_node(self._found.node)
        yield from _of_functions_own(self._found)


def _render(found: _Found) -> bytes:
    # Imported at the first scrape: most nodes have none, and start sooner so.
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(found))
    return generate_latest(registry)


@dataclass(slots=True)
class _Invocations:
    """Of one function, version and qualifier, whatever sizes it has had."""

    rollup: Rollup = field(default_factory=Rollup)
    provisioned: int = 0
    cost: Decimal = Decimal(0)

    @property
    def counts(self) -> Mapping[str, float]:
        rollup = self.rollup
        return {
            "aws_lambda_invocations": rollup.invocations,
            "aws_lambda_errors": rollup.errors,
            "aws_lambda_provisioned_concurrency_invocations": self.provisioned,
            "lambdabox_timeouts": rollup.timeouts,
            "lambdabox_cold_starts": rollup.cold_starts,
            "lambdabox_cold_start_seconds": rollup.init_ms / 1000,
            "lambdabox_billed_seconds": rollup.billed_ms / 1000,
            "lambdabox_cost_usd": float(self.cost),
        }


_INVOCATIONS = {
    "aws_lambda_invocations": "Invocations that ran.",
    "aws_lambda_errors": "Invocations that failed, timeouts included.",
    "aws_lambda_provisioned_concurrency_invocations": "Invocations on provisioned concurrency.",
    "lambdabox_timeouts": "Invocations that ran out of time.",
    "lambdabox_cold_starts": "Invocations that waited for an init or a restore.",
    "lambdabox_cold_start_seconds": "How long inits and restores took.",
    "lambdabox_billed_seconds": "What is billed for invocations.",
    "lambdabox_cost_usd": "What invocations would cost on AWS, in US dollars.",
}


def _of_invocations(sums: Sequence[SeriesSum]) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    labels = (*_FUNCTION_LABELS, "executed_version", "resource")
    grouped: dict[tuple[str, ...], _Invocations] = {}
    for item in sums:
        series = item.series
        resource = series.function_name + (f":{series.qualifier}" if series.qualifier else "")
        place = (*series[:4], resource)
        invocations = grouped.setdefault(place, _Invocations())
        invocations.rollup.merge(item.rollup)
        invocations.cost += cost_of(series, item.rollup)
        if series.initialization == InitializationType.PROVISIONED:
            invocations.provisioned += item.rollup.invocations
    for name, text in _INVOCATIONS.items():
        family = CounterMetricFamily(name, text, labels=labels)
        for values, invocations in grouped.items():
            family.add_metric(values, invocations.counts[name])
        yield family
    histogram = HistogramMetricFamily(
        "aws_lambda_duration_seconds", "How long invocations ran.", labels=labels
    )
    for values, invocations in grouped.items():
        durations = invocations.rollup.durations
        buckets: list[Any] = [
            (str(bound / 1000), durations.count_up_to(bound)) for bound in _BOUNDS_MS
        ]
        buckets.append(("+Inf", durations.count))
        histogram.add_metric(values, buckets, durations.total / 1000)
    yield histogram


def _of_counts(found: _Found) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily

    for name, (shown, text) in _COUNTERS.items():
        family = CounterMetricFamily(f"aws_lambda_{shown}", text, labels=_FUNCTION_LABELS)
        for labels, values in _by_function(found, found.points, name):
            family.add_metric(labels, values.total)
        yield family


def _of_ages(found: _Found) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily

    ages = SummaryMetricFamily(
        "aws_lambda_async_event_age_seconds",
        "How long events had been accepted when they began to run.",
        labels=_FUNCTION_LABELS,
    )
    for labels, values in _by_function(found, found.points, ASYNC_EVENT_AGE.name):
        ages.add_metric(labels, values.count, values.total / 1000)
    yield ages
    latest = GaugeMetricFamily(
        "aws_lambda_iterator_age_seconds",
        "The age of the last record of a stream's batch, the most of the last two minutes.",
        labels=_FUNCTION_LABELS,
    )
    oldest: dict[tuple[str, ...], float] = {}
    for labels, values in _by_function(found, found.recent, ITERATOR_AGE.name):
        oldest[labels] = max(oldest.get(labels, 0.0), values.maximum)
    for function, age_ms in oldest.items():
        latest.add_metric(function, age_ms / 1000)
    yield latest


def _by_function(
    found: _Found, points: Iterable[Point], name: str
) -> Iterator[tuple[tuple[str, str, str], Summary]]:
    """The platform's metric of each function as a whole, not of its versions or the account."""
    for point in points:
        metric = found.series[point.series_id].metric
        is_meant = metric.namespace == LAMBDA_NAMESPACE and metric.name == name
        if is_meant and len(metric.dimensions) == 1:
            yield (metric.account, metric.region, metric.dimensions[0][1]), point.values


def _of_node(node: NodeState) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    running = GaugeMetricFamily(
        "aws_lambda_concurrent_executions", "Invocations that run now.", labels=_FUNCTION_LABELS
    )
    kept = GaugeMetricFamily(
        "lambdabox_provisioned_concurrency",
        "Environments that are to be kept ready.",
        labels=_FUNCTION_LABELS,
    )
    for function in node.functions:
        key = function.key
        running.add_metric((key.account, key.region, key.name), function.running)
        kept.add_metric((key.account, key.region, key.name), function.provisioned)
    environments = GaugeMetricFamily(
        "lambdabox_environments", "Execution environments, by what they do.", labels=["state"]
    )
    for state, count in node.environments.items():
        environments.add_metric([state], count)
    queued = GaugeMetricFamily(
        "lambdabox_queued_events",
        "Asynchronous events that wait, run or are to be retried.",
        value=node.queued_events,
    )
    requests = CounterMetricFamily(
        "lambdabox_http_requests", "Requests, by who answers them.", labels=["service"]
    )
    for service, count in node.requests.items():
        requests.add_metric([service], count)
    dropped = CounterMetricFamily(
        "lambdabox_dropped", "What the journal could not take under overload.", labels=["kind"]
    )
    for kind, count in node.dropped.items():
        dropped.add_metric([kind], count)
    yield from (running, kept, environments, queued, requests, dropped)


def _of_functions_own(found: _Found) -> Iterator["Metric"]:
    """What functions print in the embedded metric format: count and sum of each."""
    from prometheus_client.core import Metric

    families: dict[str, Metric] = {}
    for point in found.points:
        series = found.series[point.series_id]
        metric = series.metric
        if metric.namespace in (LAMBDA_NAMESPACE, PLATFORM_NAMESPACE):
            continue
        name = _NO_LABEL.sub("_", f"emf_{metric.namespace}_{metric.name}")
        family = families.get(name)
        if family is None:
            text = f"{metric.name} of {metric.namespace}, in {series.unit}."
            family = families[name] = Metric(name, text.replace("\n", " "), "summary")
        labels = {"account_id": metric.account, "region": metric.region}
        for key, value in metric.dimensions:
            labels[_NO_LABEL.sub("_", f"dim_{key}")] = value
        labels |= {"namespace": metric.namespace, "metric": metric.name}
        family.add_sample(f"{name}_count", labels, point.values.count)
        family.add_sample(f"{name}_sum", labels, point.values.total)
    yield from families.values()
