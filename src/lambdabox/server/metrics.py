"""Build what counts: the journal, spans of its records, and what samples now and then.

A part of the wiring, beside `wiring` and `lambda_api`. What shows the figures is `figures`.
"""

from functools import partial
from typing import TYPE_CHECKING

from lambdabox.invoke.sampling import Sampler
from lambdabox.ports import Clock, Database
from lambdabox.repositories.journal import JournalWriter
from lambdabox.server.config import Settings
from lambdabox.server.deferred import Serve
from lambdabox.server.lambda_api import Core
from lambdabox.telemetry.embedded_metrics import derive
from lambdabox.telemetry.journal import BufferedJournal

if TYPE_CHECKING:
    from lambdabox.telemetry.traces import Tracer


def build_journal(
    settings: Settings, database: Database, clock: Clock
) -> tuple[BufferedJournal, "Tracer | None"]:
    """Return the journal, and what makes spans of its records if they are wanted."""
    if settings.traces_endpoint is None:
        return BufferedJournal(JournalWriter(database, derive), clock), None
    # Deferred: most nodes send no spans, and start without.
    from lambdabox.telemetry.traces import Tracer

    tracer = Tracer(settings.traces_endpoint, clock)
    writer = JournalWriter(database, tracer.listening(derive))
    return BufferedJournal(writer, clock), tracer


def counting_services(
    core: Core, journal: BufferedJournal, tracer: "Tracer | None"
) -> tuple[Serve, ...]:
    """Return what runs for as long as the node does."""
    sampler = Sampler(core.ledger, core.intake, journal, core.repository.get, core.clock)
    if tracer is None:
        return (sampler.serve,)
    return (sampler.serve, partial(tracer.serve, journal.flush))
