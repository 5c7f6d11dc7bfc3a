"""Build what turns the writes of other services into events, and what stands on their road.

The third part of the wiring, beside `wiring` and `lambda_api`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambdabox.backends.neighbours import DEFAULT
from lambdabox.domain.arn import Scope
from lambdabox.events.api_definitions import ApiDefinitions
from lambdabox.events.api_gateway import ApiEvents
from lambdabox.events.delivery import FunctionDelivery
from lambdabox.events.function_sources import FunctionSources
from lambdabox.events.log_subscriptions import LogSubscriptions
from lambdabox.events.relayed import Interceptor
from lambdabox.events.rules import RuleEvents
from lambdabox.events.s3 import BucketEvents
from lambdabox.events.schedules import ScheduleEvents
from lambdabox.events.sns import TopicEvents
from lambdabox.events.target_deliveries import TargetDeliveries
from lambdabox.events.timers import Timers
from lambdabox.events.writes import WriteNudges
from lambdabox.gateway.app import DEFAULT_ACCOUNT
from lambdabox.invoke.permissions import Permissions
from lambdabox.ports import Database
from lambdabox.server.lambda_api import Core, Serve


@dataclass(frozen=True, slots=True)
class Triggers:
    interceptors: Mapping[str, Sequence[Interceptor]]
    """By the signing name of the service whose requests they read."""
    buckets: BucketEvents
    log_groups: LogSubscriptions
    apis: ApiDefinitions
    sources: FunctionSources
    services: tuple[Serve, ...]
    """What runs for as long as the node does."""


def build_triggers(core: Core, permissions: Permissions, journal: Database) -> Triggers:
    delivery = FunctionDelivery(core.intake, permissions, core.clock)
    nudges = WriteNudges(core.bus)
    buckets = BucketEvents(core.state, delivery, core.aws, core.clock)
    topics = TopicEvents(core.state, delivery, core.clock)
    timers = Timers(core.state, core.clock)
    deliveries = TargetDeliveries(
        core.state, delivery, core.invoker.resolve, core.aws, core.destinations, core.clock
    )
    rules = RuleEvents(
        core.state, deliveries, timers, core.clock, fires_all=_is_ours(core, "events")
    )
    schedules = ScheduleEvents(
        core.state,
        deliveries,
        timers,
        core.aws,
        core.clock,
        fires_all=_is_ours(core, "scheduler"),
    )
    apis = ApiDefinitions(core.aws, core.clock, Scope(DEFAULT_ACCOUNT, core.settings.region))
    log_groups = LogSubscriptions(core.state, journal, delivery, core.clock)
    return Triggers(
        interceptors={
            "sqs": [nudges],
            "dynamodb": [nudges],
            "kinesis": [nudges],
            "s3": [buckets],
            "sns": [topics],
            "events": [rules],
            "scheduler": [schedules],
            "apigateway": [ApiEvents(apis, core.aws)],
        },
        buckets=buckets,
        log_groups=log_groups,
        apis=apis,
        sources=FunctionSources(buckets, topics, rules, schedules, log_groups, core.aws),
        # What is due is fired when everybody knows what they keep.
        services=(
            buckets.serve,
            topics.serve,
            rules.serve,
            schedules.serve,
            deliveries.serve,
            timers.serve,
            log_groups.serve,
        ),
    )


def _is_ours(core: Core, service: str) -> bool:
    """Whether a service is in the node's own process, which does nothing by the clock."""
    return service not in core.settings.service_endpoints and (
        DEFAULT not in core.settings.service_endpoints
    )
