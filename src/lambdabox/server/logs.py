"""Build the front end of CloudWatch Logs.

A part of the wiring that waits until it is needed (`optional`). Subscription filters belong to
the triggers, which a node whose logs are only read does without.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from lambdabox.api.app import ServiceFrontEnd, scoped
from lambdabox.api.logs import LogsOperations
from lambdabox.api.logs_subscriptions import OPERATIONS, Flush, SubscriptionOperations
from lambdabox.api.model import ServiceApi
from lambdabox.domain.arn import Scope
from lambdabox.ports import Clock, Database
from lambdabox.repositories.log_groups import GroupKey
from lambdabox.server.deferred import DeferredService

if TYPE_CHECKING:
    from lambdabox.server.triggers import Triggers


def build_logs(
    triggers: "DeferredService[Triggers]", journal: Database, flush: Flush, clock: Clock
) -> ServiceFrontEnd:
    async def group_deleted(group: GroupKey) -> None:
        await (await triggers.get()).log_groups.forget(group)

    async def filters(operation: str, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        subscriptions = (await triggers.get()).log_groups
        operations = SubscriptionOperations(subscriptions, journal, flush, clock)
        return await operations.handlers()[operation](scope, params)

    operations = LogsOperations(journal, flush, clock, group_deleted=group_deleted)
    return ServiceFrontEnd(
        partial(ServiceApi.load, "logs"),
        scoped(
            {
                **operations.handlers(),
                **{operation: partial(filters, operation) for operation in OPERATIONS},
            }
        ),
    )
