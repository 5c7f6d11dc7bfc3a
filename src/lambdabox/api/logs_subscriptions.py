"""The CloudWatch Logs subset: subscription filters, whose events go to functions."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lambdabox.api.logs_naming import BAD_TOKEN, NO_GROUP, page_token, read_token
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import (
    InvalidParameterException,
    LimitExceededException,
    ResourceNotFoundException,
)
from lambdabox.domain.log_conditions import PatternError
from lambdabox.domain.log_patterns import compile_pattern
from lambdabox.events.delivery import function_of
from lambdabox.events.log_subscriptions import LogSubscriptions, Subscription, TooManyFilters
from lambdabox.ports import Clock, Database
from lambdabox.repositories.journal_reads import JournalReader
from lambdabox.repositories.log_groups import GroupKey

Flush = Callable[[], Awaitable[None]]
Handler = Callable[[Scope, dict[str, Any]], Awaitable[dict[str, Any]]]

OPERATIONS = ("PutSubscriptionFilter", "DescribeSubscriptionFilters", "DeleteSubscriptionFilter")
PAGE = 50
NOT_ALLOWED = (
    "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to "
    "execute your function."
)


class SubscriptionOperations:
    """Handlers by operation."""

    def __init__(
        self, subscriptions: LogSubscriptions, journal: Database, flush: Flush, clock: Clock
    ) -> None:
        self._subscriptions = subscriptions
        self._reader = JournalReader(journal)
        self._flush = flush
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return dict(zip(OPERATIONS, (self._put, self._describe, self._delete), strict=True))

    async def _put(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        group = await self._group(scope, params)
        function_arn, pattern = params["destinationArn"], params["filterPattern"]
        try:
            compile_pattern(pattern)
        except PatternError as exc:
            raise InvalidParameterException(f"Invalid filter pattern: {exc}") from exc
        if function_of(function_arn) is None:
            raise InvalidParameterException(
                f"destinationArn is the ARN of a function in lambdabox, not {function_arn!r}."
            )
        if not await self._subscriptions.may_invoke(function_arn, group):
            raise InvalidParameterException(NOT_ALLOWED)
        name = params["filterName"]
        known = next((each for each in self._subscriptions.of(group) if each.name == name), None)
        subscription = Subscription(
            name=name,
            pattern=pattern,
            function_arn=function_arn,
            created_ms=known.created_ms if known else int(self._clock.now() * 1000),
            since=known.since if known else await self._subscriptions.position(),
            role_arn=params.get("roleArn", ""),
            distribution=params.get("distribution", "ByLogStream"),
        )
        try:
            await self._subscriptions.put(group, subscription)
        except TooManyFilters:
            raise LimitExceededException("Resource limit exceeded.") from None
        return {}

    async def _describe(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        group, limit = await self._group(scope, params), params.get("limit", PAGE)
        prefix, after = params.get("filterNamePrefix", ""), ""
        if token := params.get("nextToken"):
            after = read_token(token)
            if not isinstance(after, str):
                raise InvalidParameterException(BAD_TOKEN)
        found = [
            each
            for each in self._subscriptions.of(group)
            if each.name.startswith(prefix) and each.name > after
        ]
        shown = [_describe(group, each) for each in found[:limit]]
        more = {"nextToken": page_token(found[limit - 1].name)} if len(found) > limit else {}
        return {"subscriptionFilters": shown, **more}

    async def _delete(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        group = await self._group(scope, params)
        if not await self._subscriptions.remove(group, params["filterName"]):
            raise ResourceNotFoundException("The specified subscription filter does not exist.")
        return {}

    async def _group(self, scope: Scope, params: Mapping[str, Any]) -> GroupKey:
        await self._flush()  # a group is there as soon as its function has answered
        key = GroupKey(scope.account, scope.region, params["logGroupName"])
        if await self._reader.group(key) is None:
            raise ResourceNotFoundException(NO_GROUP)
        return key


def _describe(group: GroupKey, subscription: Subscription) -> dict[str, Any]:
    return {
        "filterName": subscription.name,
        "logGroupName": group.name,
        "filterPattern": subscription.pattern,
        "destinationArn": subscription.function_arn,
        **({"roleArn": subscription.role_arn} if subscription.role_arn else {}),
        "distribution": subscription.distribution,
        "creationTime": subscription.created_ms,
    }
