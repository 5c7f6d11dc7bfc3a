"""What the pages are built on: the API's operations, and what is read beside them.

The wiring makes it. Nothing here imports the web framework, so a node that nobody looks at
does not pay for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from lambdabox.api.calls import ApiCalls
from lambdabox.aws_ports import AwsServices
from lambdabox.console.survey import RuntimeSurvey
from lambdabox.console.tunings import Tunings
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.function_sources import FunctionSource
from lambdabox.domain.saved_events import SavedEvents
from lambdabox.ports import BlobStore, Clock, Database
from lambdabox.repositories.function_records import FunctionRecords
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.telemetry.costs import Costs
from lambdabox.telemetry.payloads import PayloadStore
from lambdabox.telemetry.usage_queries import UsageQueries


class Sources(Protocol):
    """What invokes functions from other services, as `events.function_sources` has it."""

    def of(self, function: FunctionKey, /) -> list[FunctionSource]:
        """Return what invokes the function, its versions and its aliases."""

    async def remove(self, source: FunctionSource, /) -> None:
        """Have it invoke its function no more. Raises AwsCallError."""

    async def enable(self, source: FunctionSource, /, *, is_enabled: bool) -> None:
        """Let a rule or a schedule invoke its targets, or not. Raises AwsCallError."""


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    api: ApiCalls
    aws: AwsServices
    """Calls of other services, on the road of all clients."""
    sources: Sources
    repository: FunctionRepository
    saved_events: FunctionRecords[SavedEvents]
    blobs: BlobStore
    survey: RuntimeSurvey
    journal: Database
    flush: Callable[[], Awaitable[None]]
    """Write to the journal what is still in memory."""
    usage: UsageQueries
    costs: Costs
    payloads: PayloadStore
    tunings: Tunings
    clock: Clock
