"""Build event source mappings, and have what polls for them wait until there is one."""

from functools import partial
from typing import TYPE_CHECKING

from lambdabox.control.functions import Functions
from lambdabox.control.mapping_sources import MappingSources
from lambdabox.control.mappings import Mappings
from lambdabox.domain.mappings import MAPPING_CHANGED, EventSourceMapping
from lambdabox.repositories.account_records import AccountRecords, is_any_stored
from lambdabox.repositories.tags import TagRepository
from lambdabox.server.deferred import DeferredService

if TYPE_CHECKING:
    from lambdabox.events.pollers import Pollers
    from lambdabox.server.lambda_api import Core

KIND = "event-source-mapping"


def build_event_sources(
    core: "Core", functions: Functions
) -> "tuple[Mappings, DeferredService[Pollers]]":
    records = AccountRecords(
        core.state, KIND, EventSourceMapping, lookup=lambda mapping: mapping.function_arn
    )

    def build() -> "Pollers":
        from lambdabox.server.pollers import build_pollers

        return build_pollers(core, records)

    pollers = DeferredService(
        "lambdabox.server.pollers",
        build,
        services=lambda pollers: (pollers.serve,),
        is_needed=partial(is_any_stored, core.state, (KIND,)),
    )
    # A mapping is stored before it is told of, and pollers that start read what is stored.
    core.bus.subscribe(MAPPING_CHANGED, lambda _arn: pollers.want())
    mappings = Mappings(
        records,
        functions,
        MappingSources(core.aws),
        TagRepository(core.state),
        core.bus,
        core.clock,
    )
    return mappings, pollers
