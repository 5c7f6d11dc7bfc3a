"""What the pages are built on: the API's operations, and what is read beside them.

The wiring makes it. Nothing here imports the web framework, so a node that nobody looks at
does not pay for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lambdabox.api.calls import ApiCalls
from lambdabox.aws_ports import AwsServices
from lambdabox.console.survey import RuntimeSurvey
from lambdabox.domain.saved_events import SavedEvents
from lambdabox.events.function_sources import FunctionSources
from lambdabox.ports import BlobStore, Clock, Database
from lambdabox.repositories.function_records import FunctionRecords
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.telemetry.costs import Costs
from lambdabox.telemetry.usage_queries import UsageQueries


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    api: ApiCalls
    aws: AwsServices
    """Calls of other services, on the road of all clients."""
    sources: FunctionSources
    repository: FunctionRepository
    saved_events: FunctionRecords[SavedEvents]
    blobs: BlobStore
    survey: RuntimeSurvey
    journal: Database
    flush: Callable[[], Awaitable[None]]
    """Write to the journal what is still in memory."""
    usage: UsageQueries
    costs: Costs
    clock: Clock
