"""Build what counts, and what shows what was counted.

A part of the wiring, beside `wiring`, `lambda_api` and `triggers`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambdabox.api import cloudwatch
from lambdabox.api.cloudwatch import CloudWatch
from lambdabox.backends.sqlite_queue import TableQueue
from lambdabox.events.relayed import Interceptor
from lambdabox.execution.local import LocalExecutor
from lambdabox.gateway.figures import FigurePages
from lambdabox.invoke.sampling import Sampler
from lambdabox.ports import Database
from lambdabox.server.lambda_api import Core, Serve
from lambdabox.telemetry.journal import BufferedJournal
from lambdabox.telemetry.metric_queries import MetricQueries
from lambdabox.telemetry.prometheus import NodeState, Running


@dataclass(frozen=True, slots=True)
class Metrics:
    interceptors: Mapping[str, Sequence[Interceptor]]
    """By the signing name of the service whose requests they read."""
    pages: FigurePages
    services: tuple[Serve, ...]
    """What runs for as long as the node does."""


def build_metrics(
    core: Core,
    database: Database,
    journal: BufferedJournal,
    queue: TableQueue,
    executor: LocalExecutor,
    requests: Counter[str],
) -> Metrics:
    """`requests` counts them by who answers: filled by the gateway and the warm path."""

    async def look() -> NodeState:
        return NodeState(
            functions=[Running(*each) for each in core.ledger.functions()],
            environments=executor.environment_states,
            queued_events=await queue.depth(),
            requests=requests,
            dropped={
                "log_lines": journal.dropped_lines,
                "usage_records": journal.dropped_usages,
                "metric_values": journal.dropped_values,
            },
        )

    clock = core.clock
    queries = MetricQueries(database, journal.flush, clock)
    sampler = Sampler(core.ledger, core.intake, journal, core.repository.get, clock)
    return Metrics(
        interceptors={cloudwatch.SERVICE: [CloudWatch(queries, core.aws, clock)]},
        pages=FigurePages(database, journal.flush, clock, look),
        services=(sampler.serve,),
    )
