"""Send an outcome to its destination: SQS, SNS, Lambda, EventBridge or S3.

One road for all who send: the asynchronous path, for its destinations and dead-letter
queues, and event source mappings, for batches that failed. What cannot be delivered is
counted and logged, because nobody else will hear of it.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain import lineage
from lambdabox.domain.arn import Scope
from lambdabox.domain.destinations import (
    Destination,
    Kind,
    NoDestination,
    Parcel,
    object_key,
    parse_destination,
)
from lambdabox.domain.errors import ApiError
from lambdabox.domain.invocations import Invocation, new_request_id, new_trace
from lambdabox.invoke.asynchronous import AsyncIntake, Event
from lambdabox.invoke.invoker import Invoker
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 16.0
PATIENCE_SECONDS = 60.0
REMEMBERED = 1_000


class DestinationSender:
    """An `aws_ports.Destinations`."""

    def __init__(
        self, services: AwsServices, invoker: Invoker, intake: AsyncIntake, clock: Clock
    ) -> None:
        self._services = services
        self._invoker = invoker
        self._intake = intake
        self._clock = clock
        self._queue_urls: dict[tuple[str, Scope], str] = {}
        self.delivered = 0
        self.failed = 0

    async def send(self, arn: str, parcel: Parcel) -> None:
        try:
            destination = parse_destination(arn)
        except NoDestination:
            raise AwsCallError("lambda", "Deliver", "InvalidDestination", arn) from None
        short = None
        if parcel.short_body is not None:
            short = replace(parcel, body=parcel.short_body, short_body=None)
        if short is not None and len(parcel.body) > destination.kind.limit_bytes:
            parcel, short = short, None
        try:
            await self._send(destination, parcel)
        except AwsCallError as error:
            # Services differ in how long a message may be: queues have a setting for it.
            if short is None or not error.is_final:
                raise
            await self._send(destination, short)
        self.delivered += 1

    async def deliver(self, arn: str, parcel: Parcel) -> bool:
        delay = FIRST_DELAY_SECONDS
        until = self._clock.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                await self.send(arn, parcel)
            except AwsCallError as error:
                if error.is_final or self._clock.monotonic() + delay > until:
                    self.gave_up(arn, error)
                    return False
            else:
                return True
            await self._clock.sleep(delay)
            delay = min(2 * delay, MAX_DELAY_SECONDS)

    def gave_up(self, arn: str, error: AwsCallError) -> None:
        self.failed += 1
        log.warning("an outcome could not be delivered to %s: %s", arn, error)

    async def _send(self, destination: Destination, parcel: Parcel) -> None:
        match destination.kind:
            case Kind.SQS:
                await self._to_queue(destination, parcel)
            case Kind.SNS:
                await self._to_topic(destination, parcel)
            case Kind.EVENTS:
                await self._to_bus(destination, parcel)
            case Kind.S3:
                await self._to_bucket(destination, parcel)
            case Kind.LAMBDA:
                await self._to_function(destination, parcel)

    async def _to_queue(self, destination: Destination, parcel: Parcel) -> None:
        scope = destination.scope(parcel.sender)
        url = await self._queue_url(destination, scope)
        message = {
            "QueueUrl": url,
            "MessageBody": _text(parcel),
            **_attributes(parcel),
            **_trace_attribute(parcel),
        }
        try:
            await self._services.call("sqs", "SendMessage", message, scope)
        except AwsCallError:
            # The queue may have been made anew, elsewhere.
            self._queue_urls.pop((destination.arn, scope), None)
            raise

    async def _queue_url(self, destination: Destination, scope: Scope) -> str:
        known = self._queue_urls.get((destination.arn, scope))
        if known is not None:
            return known
        named = {
            "QueueName": destination.resource,
            "QueueOwnerAWSAccountId": destination.account,
        }
        found = await self._services.call("sqs", "GetQueueUrl", named, scope)
        if len(self._queue_urls) >= REMEMBERED:
            self._queue_urls.clear()
        url: str = found["QueueUrl"]
        self._queue_urls[destination.arn, scope] = url
        return url

    async def _to_topic(self, destination: Destination, parcel: Parcel) -> None:
        message = {
            "TopicArn": destination.arn,
            "Message": _text(parcel),
            **_attributes(parcel),
        }
        await self._services.call("sns", "Publish", message, destination.scope(parcel.sender))

    async def _to_bus(self, destination: Destination, parcel: Parcel) -> None:
        result = "Success" if parcel.is_success else "Failure"
        entry = {
            "EventBusName": destination.arn,
            "Source": "lambda",
            "DetailType": f"Lambda Function Invocation Result - {result}",
            "Resources": [destination.arn, parcel.function_arn],
            "Detail": _text(parcel),
        }
        scope = destination.scope(parcel.sender)
        answer = await self._services.call("events", "PutEvents", {"Entries": [entry]}, scope)
        if answer.get("FailedEntryCount"):
            refused = answer["Entries"][0]
            code, message = refused.get("ErrorCode", ""), refused.get("ErrorMessage", "")
            raise AwsCallError("events", "PutEvents", code, message)

    async def _to_bucket(self, destination: Destination, parcel: Parcel) -> None:
        item = {
            "Bucket": destination.resource,
            "Key": object_key(parcel.object_prefix, self._clock.now()),
            "Body": parcel.body,
            "ContentType": "application/json",
        }
        await self._services.call("s3", "PutObject", item, destination.scope(parcel.sender))

    async def _to_function(self, destination: Destination, parcel: Parcel) -> None:
        """Invoke the function asynchronously: the record is its event, durable like any other."""
        reference = destination.function
        invocation = Invocation(
            request_id=new_request_id(),
            invoked_arn=reference.arn,
            payload=parcel.body,
            trace=lineage.extend(parcel.trace or new_trace(self._clock.now()), reference.key.arn),
        )
        try:
            await self._invoker.resolve(reference)
            await self._intake.accept(Event(reference, invocation))
        except ApiError as error:
            code, message = error.code, error.message
        except Exception as error:
            # The node's own store is in trouble, a full disk say: it may pass.
            log.exception("the event for %s was not stored", reference.arn)
            code, message = "ServiceUnavailable", str(error)
        else:
            return
        raise AwsCallError("lambda", "Invoke", code, message)


def _text(parcel: Parcel) -> str:
    return parcel.body.decode(errors="replace")


def _attributes(parcel: Parcel) -> Mapping[str, Any]:
    if not parcel.attributes:
        return {}
    return {
        "MessageAttributes": {
            name: {"DataType": attribute.data_type, "StringValue": attribute.value}
            for name, attribute in parcel.attributes.items()
        }
    }


def _trace_attribute(parcel: Parcel) -> Mapping[str, Any]:
    if not parcel.trace:
        return {}
    trace = {"DataType": "String", "StringValue": parcel.trace}
    return {"MessageSystemAttributes": {"AWSTraceHeader": trace}}
