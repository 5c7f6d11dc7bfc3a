"""Messages to a topic invoke the functions that have subscribed to it.

Subscriptions with the protocol lambda are the node's, which keeps them; the service has them
too, so that it shows them, and delivers to all others. A message is accepted for each function
before its publisher has an answer.
"""

import base64
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import anyio
import orjson
from anyio.abc import TaskStatus

from lambdabox.domain.arn import Scope
from lambdabox.domain.event_conditions import BadPattern
from lambdabox.domain.event_filters import compile_pattern
from lambdabox.domain.topics import (
    ATTRIBUTES,
    Attribute,
    Subscription,
    TopicMessage,
    lets_through,
    record_of,
)
from lambdabox.events.delivery import FunctionDelivery, Sender, function_of
from lambdabox.events.forms import Form, form_of, members, refusal, texts
from lambdabox.events.relayed import Forward, Reads, ServiceAnswer, ServiceRequest
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords

log = logging.getLogger(__name__)

PRINCIPAL = "sns.amazonaws.com"
_INVALID = "InvalidParameter"


class TopicEvents:
    """An Interceptor for SNS."""

    def __init__(self, state: Database, delivery: FunctionDelivery, clock: Clock) -> None:
        self._records = AccountRecords(state, "sns-subscriptions", Subscription)
        self._delivery = delivery
        self._clock = clock
        self._subscriptions: dict[str, Subscription] = {}
        """By the ARN of the subscription."""

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ready once the subscriptions of before are known. Nothing runs after that."""
        self._subscriptions = {held.record.arn: held.record for held in await self._records.all()}
        task_status.started()

    def kept(self) -> Iterator[tuple[Scope, Subscription]]:
        """Return the functions' subscriptions, and whose their topics are."""
        for subscription in self._subscriptions.values():
            yield _scope(subscription.topic_arn), subscription

    def reads(self, request: ServiceRequest) -> Reads:
        return Reads.BODY if request.method == "POST" else Reads.NOTHING

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        form = form_of(request)
        action = form.get("Action", "")
        subscribes = action == "Subscribe" and form.get("Protocol") == "lambda"
        if subscribes and function_of(form.get("Endpoint", "")) is None:
            return refusal(request, _INVALID, "Invalid parameter: Lambda endpoint ARN")
        try:
            _check_policies(form)
        except BadPattern as exc:
            return refusal(request, _INVALID, f"Invalid parameter: FilterPolicy: {exc}")
        answer = await forward(request)
        if not answer.is_success:
            return answer
        match action:
            case "Subscribe" if subscribes:
                await self._subscribe(form, answer)
            case "SetSubscriptionAttributes":
                await self._change(form)
            case "Unsubscribe":
                await self._forget([form.get("SubscriptionArn", "")])
            case "DeleteTopic":
                topic = form.get("TopicArn", "")
                await self._forget([each.arn for each in self._of(topic)])
            case "Publish":
                await self._publish(request, form, [_message(form, answer)])
            case "PublishBatch":
                await self._publish(request, form, list(_batch(form, answer)))
        return answer

    async def _subscribe(self, form: Form, answer: ServiceAnswer) -> None:
        asked = {each.get("key"): each.get("value", "") for each in members(form, _ATTRIBUTES)}
        subscription = Subscription(
            arn=next(iter(texts(answer, "SubscriptionArn")), ""),
            topic_arn=form.get("TopicArn", ""),
            function_arn=form["Endpoint"],
            filter_policy=asked.get("FilterPolicy", ""),
            filter_scope=asked.get("FilterPolicyScope", ATTRIBUTES),
        )
        # The service may have been started anew, and the subscription with it: there is one.
        await self._forget(
            [
                each.arn
                for each in self._of(subscription.topic_arn)
                if each.function_arn == subscription.function_arn and each.arn != subscription.arn
            ]
        )
        await self._keep(subscription)

    async def _change(self, form: Form) -> None:
        known = self._subscriptions.get(form.get("SubscriptionArn", ""))
        value = form.get("AttributeValue", "")
        if known is None:
            return
        match form.get("AttributeName"):
            case "FilterPolicy":
                await self._keep(replace(known, filter_policy=value))
            case "FilterPolicyScope":
                await self._keep(replace(known, filter_scope=value))

    async def _publish(
        self, request: ServiceRequest, form: Form, messages: list[TopicMessage]
    ) -> None:
        topic = form.get("TopicArn") or form.get("TargetArn", "")
        for subscription in self._of(topic):
            for message in messages:
                if lets_through(subscription, message):
                    await self._send(request, subscription, message)

    async def _send(
        self, request: ServiceRequest, subscription: Subscription, message: TopicMessage
    ) -> None:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        record = record_of(
            subscription,
            message,
            time=now.isoformat(timespec="milliseconds")[:-6] + "Z",
            node_url=f"http://{request.headers.get('host', 'localhost')}",
            # Of nobody's key: whoever checks signatures of SNS has to trust the node instead.
            signature=base64.b64encode(hashlib.sha512(message.id.encode()).digest()).decode(),
        )
        topic = subscription.topic_arn
        await self._delivery.send(
            subscription.function_arn,
            Sender(PRINCIPAL, topic, _scope(topic).account),
            orjson.dumps(record),
            trace=request.headers.get("x-amzn-trace-id"),
        )

    def _of(self, topic_arn: str) -> list[Subscription]:
        return [each for each in self._subscriptions.values() if each.topic_arn == topic_arn]

    async def _keep(self, subscription: Subscription) -> None:
        scope = _scope(subscription.topic_arn)
        await self._records.change(scope, _id(subscription.arn), lambda _before: subscription)
        self._subscriptions[subscription.arn] = subscription

    async def _forget(self, arns: list[str]) -> None:
        for arn in arns:
            known = self._subscriptions.get(arn)
            if known is not None:
                scope = _scope(known.topic_arn)
                await self._records.change(scope, _id(arn), lambda _before: None)
                self._subscriptions.pop(arn, None)


_ATTRIBUTES = "Attributes.entry"


def _check_policies(form: Form) -> None:
    """Raise BadPattern for a filter policy that could not be used."""
    asked = {each.get("key"): each.get("value", "") for each in members(form, _ATTRIBUTES)}
    policy = asked.get("FilterPolicy", "")
    if form.get("AttributeName") == "FilterPolicy":
        policy = form.get("AttributeValue", "")
    if policy and policy.strip() != "{}":
        compile_pattern(policy)


def _message(form: Form, answer: ServiceAnswer) -> TopicMessage:
    return _read_message(form, next(iter(texts(answer, "MessageId")), ""))


def _batch(form: Form, answer: ServiceAnswer) -> Iterator[TopicMessage]:
    """The messages of a batch that the topic has taken."""
    # An entry that is refused has an Id too, but no MessageId.
    taken = dict(zip(texts(answer, "Id"), texts(answer, "MessageId"), strict=False))
    for entry in members(form, "PublishBatchRequestEntries.member"):
        if entry.get("Id") in taken:
            yield _read_message(entry, taken[entry["Id"]])


def _read_message(form: Form, id: str) -> TopicMessage:
    return TopicMessage(
        id=id,
        message=form.get("Message", ""),
        subject=form.get("Subject"),
        structure=form.get("MessageStructure"),
        attributes={
            each.get("Name", ""): Attribute(
                each.get("Value.DataType", "String"),
                each.get("Value.StringValue") or each.get("Value.BinaryValue", ""),
            )
            for each in members(form, "MessageAttributes.entry")
        },
    )


def _scope(topic_arn: str) -> Scope:
    parts = topic_arn.split(":")
    return Scope(parts[4], parts[3]) if len(parts) == 6 else Scope("000000000000", "us-east-1")


def _id(subscription_arn: str) -> str:
    """The last part of the ARN, a UUID: the whole may be longer than a record's id."""
    return subscription_arn.rpartition(":")[2]
