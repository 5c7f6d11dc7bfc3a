"""Build the parts of a node that wait until they are needed, and what stands for them.

Requests and records that need them are named here, so that nothing of theirs is imported to
know that it is time.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from lambdabox.api.request import Request
from lambdabox.api.serialize import WireResponse
from lambdabox.backends.sqlite_queue import TableQueue
from lambdabox.domain.values import dataclass
from lambdabox.execution.local import LocalExecutor
from lambdabox.gateway.app import FrontEnd, Urls
from lambdabox.gateway.platform import FigurePage, Hear
from lambdabox.gateway.relay import Interceptors
from lambdabox.invoke.permissions import Permissions
from lambdabox.ports import Cipher, Database
from lambdabox.repositories.account_records import is_any_stored
from lambdabox.server.deferred import Deferred, DeferredFrontEnd, DeferredService, Serve
from lambdabox.server.lambda_api import Core
from lambdabox.stacks.answers import AnswerBox
from lambdabox.telemetry.journal import BufferedJournal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambdabox.api.app import ServiceFrontEnd
    from lambdabox.events.relayed import Interceptor
    from lambdabox.server.cloudformation import CloudFormationParts
    from lambdabox.server.figures import Figures
    from lambdabox.server.triggers import Triggers

Flush = Callable[[], Awaitable[None]]

TRIGGER_KINDS = (
    "event-rules", "log-subscriptions", "s3-notifications", "schedules", "sns-subscriptions",
    "target-deliveries", "timers",
)  # fmt: skip
"""The records of triggers: where there is any, they start with the node."""

TRIGGER_SERVICES = frozenset({
    "apigateway", "dynamodb", "events", "kinesis", "s3", "scheduler", "sns", "sqs",
})  # fmt: skip
"""Whose requests triggers read, by signing name."""

CLOUDWATCH = "monitoring"


@dataclass(frozen=True, slots=True)
class OptionalParts:
    """What others have of them."""

    triggers: "DeferredService[Triggers]"
    apis: Urls
    logs: FrontEnd
    cloudformation: FrontEnd
    interceptors: Interceptors
    figures: FigurePage
    hear: Hear
    answers: AnswerBox
    """Where functions that back custom resources put what they have to say."""
    services: tuple[Serve, ...]
    """What runs for as long as the node does."""


def build_optional(
    core: Core,
    *,
    permissions: Permissions,
    journal_database: Database,
    journal: BufferedJournal,
    queue: TableQueue,
    executor: LocalExecutor,
    requests: Counter[str],
    cipher: Cipher,
    functions_url: str,
) -> OptionalParts:
    """`functions_url` is the node's address as functions reach it; `requests` counts them by
    who answers."""
    flush, answers = journal.flush, AnswerBox(functions_url)
    triggers = _triggers(core, permissions, journal_database)
    figures = _figures(core, journal_database, journal, queue, executor, requests)
    logs = _logs(triggers, core, journal_database, flush)
    cloudformation = _cloudformation(core, cipher, answers)

    async def interceptors(service: str) -> "Sequence[Interceptor]":
        if service in TRIGGER_SERVICES:
            return (await triggers.get()).interceptors[service]
        if service == CLOUDWATCH:
            return [(await figures.get()).cloudwatch]
        return ()

    async def figure_page(request: Request, path: str) -> WireResponse:
        return await (await figures.get()).pages.answer(request, path)

    async def hear(notification: bytes) -> int:
        return await (await triggers.get()).buckets.hear(notification)

    return OptionalParts(
        triggers=triggers,
        apis=DeferredFrontEnd(triggers, lambda part, call: part.apis.answer(call)),
        logs=DeferredFrontEnd(logs, lambda part, request: part.answer(request)),
        cloudformation=DeferredFrontEnd(
            cloudformation, lambda part, request: part.front_end.answer(request)
        ),
        interceptors=interceptors,
        figures=figure_page,
        hear=hear,
        answers=answers,
        services=tuple(part.serve for part in (triggers, cloudformation)),
    )


def _triggers(
    core: Core, permissions: Permissions, journal: Database
) -> "DeferredService[Triggers]":
    def build() -> "Triggers":
        from lambdabox.server.triggers import build_triggers

        return build_triggers(core, permissions, journal)

    return DeferredService(
        "lambdabox.server.triggers",
        build,
        services=lambda triggers: triggers.services,
        is_needed=partial(is_any_stored, core.state, TRIGGER_KINDS),
    )


def _figures(
    core: Core,
    database: Database,
    journal: BufferedJournal,
    queue: TableQueue,
    executor: LocalExecutor,
    requests: Counter[str],
) -> "Deferred[Figures]":
    def build() -> "Figures":
        from lambdabox.server.figures import build_figures

        return build_figures(core, database, journal, queue, executor, requests)

    return Deferred("lambdabox.server.figures", build)


def _logs(
    triggers: "DeferredService[Triggers]",
    core: Core,
    journal: Database,
    flush: Callable[[], Awaitable[None]],
) -> "Deferred[ServiceFrontEnd]":
    def build() -> "ServiceFrontEnd":
        from lambdabox.server.logs import build_logs

        return build_logs(triggers, journal, flush, core.clock)

    return Deferred("lambdabox.server.logs", build)


def _cloudformation(
    core: Core, cipher: Cipher, answers: AnswerBox
) -> "DeferredService[CloudFormationParts]":
    def build() -> "CloudFormationParts":
        from lambdabox.server.cloudformation import build_cloudformation

        return build_cloudformation(core, cipher, answers)

    return DeferredService(
        "lambdabox.server.cloudformation",
        build,
        services=lambda parts: (parts.deployments.serve,),
        is_needed=partial(is_any_stored, core.state, ("stack",)),
    )
