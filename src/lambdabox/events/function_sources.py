"""What invokes a function from other services, and how to make it stop.

Read from what the node keeps itself: a service that the node runs forgets everything when it
ends, and what it has forgotten goes on invoking functions until it is taken away here.
Nobody is asked over the network, so that a page can show this at once.
"""

from collections.abc import Iterator
from typing import Any

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.bucket_notifications import FunctionNotification
from lambdabox.domain.function_sources import FunctionSource, leads_to
from lambdabox.events.log_subscriptions import LogSubscriptions
from lambdabox.events.rules import RuleEvents
from lambdabox.events.s3 import BucketEvents
from lambdabox.events.schedules import ScheduleEvents
from lambdabox.events.sns import TopicEvents
from lambdabox.repositories.log_groups import GroupKey

_GONE = frozenset({"NoSuchBucket", "NotFound", "ResourceNotFoundException"})
_OF_A_SCHEDULE = (
    "Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "Description",
    "StartDate", "EndDate", "FlexibleTimeWindow", "Target", "ActionAfterCompletion", "KmsKeyArn",
)  # fmt: skip


class FunctionSources:
    def __init__(
        self,
        buckets: BucketEvents,
        topics: TopicEvents,
        rules: RuleEvents,
        schedules: ScheduleEvents,
        log_groups: LogSubscriptions,
        services: AwsServices,
    ) -> None:
        self._buckets = buckets
        self._topics = topics
        self._rules = rules
        self._schedules = schedules
        self._log_groups = log_groups
        self._services = services

    def of(self, function: FunctionKey) -> list[FunctionSource]:
        """Return what invokes the function, its versions and its aliases."""
        every = (
            *self._of_buckets(),
            *self._of_topics(),
            *self._of_rules(),
            *self._of_schedules(),
            *self._of_log_groups(),
        )
        return [each for each in every if leads_to(each.function_arn, function.arn)]

    async def remove(self, source: FunctionSource) -> None:
        """Have it invoke its function no more, in its service and in the node.

        Raises AwsCallError if the service refuses for another reason than that it is gone.
        """
        match source.service:
            case "s3":
                await self._remove_notification(source)
            case "sns":
                await self._call("sns", "Unsubscribe", source, SubscriptionArn=source.id)
            case "events":
                await self._remove_target(source)
            case "scheduler":
                await self._remove_schedule(source)
            case "logs":
                scope = source.scope
                group = GroupKey(scope.account, scope.region, source.name)
                await self._log_groups.remove(group, source.id)

    async def enable(self, source: FunctionSource, *, is_enabled: bool) -> None:
        """Let a rule or a schedule invoke its targets, or not. Raises AwsCallError."""
        if source.service == "events":
            operation = "EnableRule" if is_enabled else "DisableRule"
            names = {"Name": source.name, "EventBusName": source.group}
            await self._call("events", operation, source, **names)
        elif source.service == "scheduler":
            names = {"Name": source.name, "GroupName": source.group}
            found = await self._call("scheduler", "GetSchedule", source, **names)
            kept = {name: found[name] for name in _OF_A_SCHEDULE if found.get(name) is not None}
            state = "ENABLED" if is_enabled else "DISABLED"
            await self._call("scheduler", "UpdateSchedule", source, **kept, State=state)

    async def _remove_notification(self, source: FunctionSource) -> None:
        bucket = source.name
        try:
            found = dict(
                await self._call("s3", "GetBucketNotificationConfiguration", source, Bucket=bucket)
            )
            found.pop("ResponseMetadata", None)
            others = found.get("LambdaFunctionConfigurations") or ()
            found["LambdaFunctionConfigurations"] = [
                each for each in others if each.get("Id") != source.id
            ]
            await self._call(
                "s3",
                "PutBucketNotificationConfiguration",
                source,
                Bucket=bucket,
                NotificationConfiguration=found,
                # What stays was checked when it came; a function that is gone since is no reason.
                SkipDestinationValidation=True,
            )
        except AwsCallError as exc:
            if exc.code not in _GONE:
                raise
            await self._buckets.forget(bucket, source.id)

    async def _remove_target(self, source: FunctionSource) -> None:
        """Take the target from its rule, and the rule away if it was the last."""
        rule = {"Rule": source.name, "EventBusName": source.group}
        try:
            await self._call("events", "RemoveTargets", source, **rule, Ids=[source.id])
            left = await self._call("events", "ListTargetsByRule", source, **rule)
            if left.get("Targets"):
                return
        except AwsCallError as exc:
            if exc.code not in _GONE:
                raise
        names = {"Name": source.name, "EventBusName": source.group}
        await self._call("events", "DeleteRule", source, **names)

    async def _remove_schedule(self, source: FunctionSource) -> None:
        names = {"Name": source.name, "GroupName": source.group}
        try:
            await self._call("scheduler", "DeleteSchedule", source, **names)
        except AwsCallError as exc:
            if exc.code not in _GONE:
                raise
            await self._schedules.forget(source.arn)

    async def _call(
        self, service: str, operation: str, source: FunctionSource, **parameters: Any
    ) -> dict[str, Any]:
        return dict(await self._services.call(service, operation, parameters, source.scope))

    def _of_buckets(self) -> Iterator[FunctionSource]:
        for bucket, owner, kept in self._buckets.kept():
            for each in kept.functions:
                arn = f"arn:aws:s3:::{bucket}"
                yield FunctionSource("s3", owner, arn, each.id, each.function_arn, _heard(each))

    def _of_topics(self) -> Iterator[FunctionSource]:
        for scope, each in self._topics.kept():
            yield FunctionSource(
                "sns", scope, each.topic_arn, each.arn, each.function_arn, each.filter_policy
            )

    def _of_rules(self) -> Iterator[FunctionSource]:
        for scope, rule in self._rules.kept():
            what = rule.schedule or rule.pattern
            for target in rule.targets:
                yield FunctionSource(
                    "events",
                    scope,
                    rule.arn(scope),
                    target.id,
                    target.function_arn,
                    what,
                    rule.is_enabled,
                )

    def _of_schedules(self) -> Iterator[FunctionSource]:
        for scope, each, is_due in self._schedules.kept():
            zone = each.timing.zone
            what = each.timing.expression + (f", {zone}" if zone != "UTC" else "")
            arn = each.arn(scope)
            yield FunctionSource("scheduler", scope, arn, "", each.function_arn, what, is_due)

    def _of_log_groups(self) -> Iterator[FunctionSource]:
        for group, filters in self._log_groups.kept():
            scope = Scope(group.account, group.region)
            arn = f"arn:aws:logs:{group.region}:{group.account}:log-group:{group.name}:*"
            for each in filters:
                yield FunctionSource("logs", scope, arn, each.name, each.function_arn, each.pattern)


def _heard(notification: FunctionNotification) -> str:
    """Which events, and of which objects."""
    of = f" of {notification.prefix}*{notification.suffix}"
    has_rules = notification.prefix or notification.suffix
    return ", ".join(notification.events) + (of if has_rules else "")
