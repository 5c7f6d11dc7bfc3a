"""Build the console: who may see it, and what its pages work on once somebody does."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lambdabox.api.calls import ApiCalls
from lambdabox.console.access import AccessRules
from lambdabox.console.mount import Console
from lambdabox.console.settings import ConsoleSettings
from lambdabox.console.survey import RuntimeSurvey
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.gateway.app import DEFAULT_ACCOUNT
from lambdabox.ports import Database
from lambdabox.runtime.interpreters import Interpreters
from lambdabox.server.deferred import DeferredService
from lambdabox.server.lambda_api import Core
from lambdabox.telemetry.payloads import PayloadStore

if TYPE_CHECKING:
    from lambdabox.console.services import ConsoleServices
    from lambdabox.domain.function_sources import FunctionSource
    from lambdabox.server.triggers import Triggers


class _SourcesOnceThereAreAny:
    """A `console.services.Sources`. Triggers that have not started keep nothing to show."""

    def __init__(self, triggers: "DeferredService[Triggers]") -> None:
        self._triggers = triggers

    def of(self, function: FunctionKey) -> "list[FunctionSource]":
        triggers = self._triggers.started
        return [] if triggers is None else triggers.sources.of(function)

    async def remove(self, source: "FunctionSource") -> None:
        await (await self._triggers.get()).sources.remove(source)

    async def enable(self, source: "FunctionSource", *, is_enabled: bool) -> None:
        await (await self._triggers.get()).sources.enable(source, is_enabled=is_enabled)


def build_console(
    core: Core,
    api: ApiCalls,
    *,
    triggers: "DeferredService[Triggers]",
    journal: Database,
    flush: Callable[[], Awaitable[None]],
    interpreters: Interpreters,
    payloads: PayloadStore,
    secret: str,
) -> Console:
    settings = core.settings
    survey = RuntimeSurvey(interpreters)

    def services() -> "ConsoleServices":
        # Deferred: a node that nobody looks at starts without.
        from lambdabox.console.services import ConsoleServices
        from lambdabox.console.tunings import Tunings
        from lambdabox.domain.saved_events import KIND, SavedEvents
        from lambdabox.invoke.trials import TrialRuns
        from lambdabox.repositories.function_records import FunctionRecords
        from lambdabox.telemetry.costs import Costs
        from lambdabox.telemetry.usage_queries import UsageQueries

        return ConsoleServices(
            api=api,
            aws=core.aws,
            sources=_SourcesOnceThereAreAny(triggers),
            repository=core.repository,
            saved_events=FunctionRecords(core.state, KIND, SavedEvents),
            blobs=core.blobs,
            survey=survey,
            journal=journal,
            flush=flush,
            usage=UsageQueries(journal, flush, core.clock),
            costs=Costs(journal, flush),
            payloads=payloads,
            tunings=Tunings(TrialRuns(core.invoker, core.executor, core.clock), console.background),
            clock=core.clock,
        )

    console = Console(
        ConsoleSettings(
            rules=AccessRules(settings.host, settings.console_token, settings.console_hosts),
            secret=secret,
            default_scope=Scope(DEFAULT_ACCOUNT, settings.region),
        ),
        services,
        survey,
        core.clock,
        is_expected=sys.stderr.isatty(),
    )
    return console
