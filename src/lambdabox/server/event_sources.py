"""Build event source mappings and what polls for them."""

from typing import TYPE_CHECKING

from lambdabox.control.functions import Functions
from lambdabox.control.mapping_sources import MappingSources
from lambdabox.control.mappings import Mappings
from lambdabox.domain.mappings import EventSourceMapping, SourceKind
from lambdabox.events.batches import Batches
from lambdabox.events.pollers import Poller, Pollers, Report
from lambdabox.events.sqs import SqsPoller
from lambdabox.events.unpolled import Unpolled
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.tags import TagRepository

if TYPE_CHECKING:
    from lambdabox.server.lambda_api import Core


def build_event_sources(core: "Core", functions: Functions) -> tuple[Mappings, Pollers]:
    records = AccountRecords(
        core.state,
        "event-source-mapping",
        EventSourceMapping,
        lookup=lambda mapping: mapping.function_arn,
    )
    batches = Batches(core.invoker, core.clock)

    def make(mapping: EventSourceMapping, report: Report) -> Poller:
        match mapping.kind:
            case SourceKind.SQS:
                return SqsPoller(mapping, core.aws, batches, core.clock)
            case _:
                return Unpolled(mapping, report)

    sources = MappingSources(core.aws)
    mappings = Mappings(
        records, functions, sources, TagRepository(core.state), core.bus, core.clock
    )
    return mappings, Pollers(records, make, core.bus, core.clock)
