"""Build the console: what its pages work on, and who may see them."""

from collections.abc import Awaitable, Callable

from lambdabox.api.calls import ApiCalls
from lambdabox.console.access import AccessRules
from lambdabox.console.mount import Console
from lambdabox.console.services import ConsoleServices
from lambdabox.console.settings import ConsoleSettings
from lambdabox.console.survey import RuntimeSurvey
from lambdabox.domain.arn import Scope
from lambdabox.domain.saved_events import KIND, SavedEvents
from lambdabox.events.function_sources import FunctionSources
from lambdabox.gateway.app import DEFAULT_ACCOUNT
from lambdabox.ports import Database
from lambdabox.repositories.function_records import FunctionRecords
from lambdabox.runtime.interpreters import Interpreters
from lambdabox.server.lambda_api import Core
from lambdabox.telemetry.costs import Costs


def build_console(
    core: Core,
    api: ApiCalls,
    *,
    sources: FunctionSources,
    journal: Database,
    flush: Callable[[], Awaitable[None]],
    interpreters: Interpreters,
    secret: str,
) -> Console:
    settings = core.settings
    return Console(
        ConsoleSettings(
            rules=AccessRules(settings.host, settings.console_token, settings.console_hosts),
            secret=secret,
            default_scope=Scope(DEFAULT_ACCOUNT, settings.region),
        ),
        ConsoleServices(
            api=api,
            aws=core.aws,
            sources=sources,
            repository=core.repository,
            saved_events=FunctionRecords(core.state, KIND, SavedEvents),
            blobs=core.blobs,
            survey=RuntimeSurvey(interpreters),
            journal=journal,
            flush=flush,
            usage=core.usage,
            costs=Costs(journal, flush),
            clock=core.clock,
        ),
    )
