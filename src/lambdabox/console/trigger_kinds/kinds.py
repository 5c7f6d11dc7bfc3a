"""The kinds of triggers that the console can make, in the order that they are offered in."""

from collections.abc import Mapping

from lambdabox.console.trigger_kinds.addressed import ApiTrigger, UrlTrigger
from lambdabox.console.trigger_kinds.kind import TriggerKind
from lambdabox.console.trigger_kinds.notified import BucketTrigger, LogGroupTrigger, TopicTrigger
from lambdabox.console.trigger_kinds.polled import QueueTrigger, StreamTrigger, TableTrigger
from lambdabox.console.trigger_kinds.timed import RuleTrigger, ScheduleTrigger

_EVERY: tuple[TriggerKind, ...] = (
    UrlTrigger(),
    ApiTrigger(),
    QueueTrigger(),
    ScheduleTrigger(),
    BucketTrigger(),
    TableTrigger(),
    TopicTrigger(),
    RuleTrigger(),
    StreamTrigger(),
    LogGroupTrigger(),
)

KINDS: Mapping[str, TriggerKind] = {kind.id: kind for kind in _EVERY}
