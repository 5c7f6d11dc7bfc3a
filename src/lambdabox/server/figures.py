"""Build what shows what was counted: pages of figures, and CloudWatch's answers.

A part of the wiring that waits until it is needed (`optional`).
"""

from collections import Counter
from dataclasses import dataclass

from lambdabox.api.cloudwatch import CloudWatch
from lambdabox.backends.sqlite_queue import TableQueue
from lambdabox.execution.local import LocalExecutor
from lambdabox.gateway.figures import FigurePages
from lambdabox.ports import Database
from lambdabox.server.lambda_api import Core
from lambdabox.telemetry.journal import BufferedJournal
from lambdabox.telemetry.metric_queries import MetricQueries
from lambdabox.telemetry.prometheus import NodeState, Running


@dataclass(frozen=True, slots=True)
class Figures:
    pages: FigurePages
    cloudwatch: CloudWatch


def build_figures(
    core: Core,
    database: Database,
    journal: BufferedJournal,
    queue: TableQueue,
    executor: LocalExecutor,
    requests: Counter[str],
) -> Figures:
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

    queries = MetricQueries(database, journal.flush, core.clock)
    return Figures(
        FigurePages(database, journal.flush, core.clock, look),
        CloudWatch(queries, core.aws, core.clock),
    )
