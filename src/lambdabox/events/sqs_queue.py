"""A queue as its poller uses it, and its messages in the shape that functions know."""

import base64
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.events.batches import as_json
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

ENTRIES = 10
DELETE_TRIES = 3
DELETE_PAUSE_SECONDS = 0.2
CALL_SECONDS = 30.0
DEFAULT_VISIBILITY_SECONDS = 30
_TRACE = re.compile(r"[A-Za-z0-9=;:|,._-]{1,1024}")


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    receipt: str
    record: Mapping[str, Any]
    event: bytes
    """The record as JSON."""
    trace: str


class SqsQueue:
    def __init__(
        self,
        services: AwsServices,
        mapping: EventSourceMapping,
        url: str,
        clock: Clock,
        visibility_seconds: int = DEFAULT_VISIBILITY_SECONDS,
    ) -> None:
        self.url = url
        self.visibility_seconds = visibility_seconds
        self._services = services
        self._clock = clock
        self._arn = mapping.source_arn or ""
        self._scope = mapping.source_scope

    @classmethod
    async def find(
        cls, services: AwsServices, mapping: EventSourceMapping, clock: Clock
    ) -> "SqsQueue":
        """Raises AwsCallError."""
        name, scope = (mapping.source_arn or "").rpartition(":")[2], mapping.source_scope
        found = await services.call("sqs", "GetQueueUrl", {"QueueName": name}, scope)
        queue = cls(services, mapping, found["QueueUrl"], clock)
        await queue.refreshed_visibility()
        return queue

    async def refreshed_visibility(self) -> int:
        """Return how long a received message stays ours, as it is set now."""
        try:
            answer = await self._call(
                "GetQueueAttributes", {"AttributeNames": ["VisibilityTimeout"]}
            )
        except AwsCallError as exc:
            log.warning("the attributes of %s could not be read: %s", self._arn, exc)
            return self.visibility_seconds
        seconds = answer.get("Attributes", {}).get("VisibilityTimeout", self.visibility_seconds)
        self.visibility_seconds = int(seconds)
        return self.visibility_seconds

    async def receive(self, count: int, wait: int) -> Sequence[Message]:
        """Receive up to `count`, at most ten. Raises AwsCallError."""
        answer = await self._call(
            "ReceiveMessage",
            {
                "MaxNumberOfMessages": count,
                "WaitTimeSeconds": wait,
                "AttributeNames": ["All"],
                "MessageAttributeNames": ["All"],
            },
            seconds=wait + CALL_SECONDS,
        )
        return [self._message(message) for message in answer.get("Messages", ())]

    async def delete(self, messages: Sequence[Message]) -> None:
        """Delete what was handled. What cannot be deleted comes back, and is handled again."""
        for start in range(0, len(messages), ENTRIES):
            left = list(messages[start : start + ENTRIES])
            for _ in range(DELETE_TRIES):
                left = await self._delete(left)
                if not left:
                    break
            else:
                log.warning("%d messages of %s were not deleted", len(left), self._arn)

    async def give_back(self, messages: Sequence[Message]) -> None:
        """Have messages that nobody will handle appear again at once."""
        if not messages:
            return
        entries = [
            {"Id": str(index), "ReceiptHandle": message.receipt, "VisibilityTimeout": 0}
            for index, message in enumerate(messages)
        ]
        try:
            await self._call("ChangeMessageVisibilityBatch", {"Entries": entries})
        except Exception:
            # They come back by their timeout; who waits in the background has nobody to tell.
            log.exception("messages of %s were not given back", self._arn)

    async def _delete(self, messages: list[Message]) -> list[Message]:
        """Return those that could not be deleted."""
        entries = [
            {"Id": str(index), "ReceiptHandle": message.receipt}
            for index, message in enumerate(messages)
        ]
        try:
            answer = await self._call("DeleteMessageBatch", {"Entries": entries})
        except AwsCallError as exc:
            log.warning("deleting from %s failed: %s", self._arn, exc)
            await self._clock.sleep(DELETE_PAUSE_SECONDS)
            return [] if exc.is_final else messages
        failed = {entry["Id"] for entry in answer.get("Failed", ())}
        return [each for index, each in enumerate(messages) if str(index) in failed]

    async def _call(
        self, operation: str, parameters: Mapping[str, Any], *, seconds: float = CALL_SECONDS
    ) -> Mapping[str, Any]:
        return await self._services.call(
            "sqs", operation, {"QueueUrl": self.url, **parameters}, self._scope, seconds=seconds
        )

    def _message(self, message: Mapping[str, Any]) -> Message:
        system = message.get("Attributes", {})
        attributes = message.get("MessageAttributes", {})
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message.get("Body", ""),
            "attributes": dict(system),
            "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
            "md5OfMessageAttributes": message.get("MD5OfMessageAttributes"),
            "md5OfBody": message.get("MD5OfBody"),
            "eventSource": "aws:sqs",
            "eventSourceARN": self._arn,
            "awsRegion": self._scope.region,
        }
        return Message(
            message["MessageId"],
            message["ReceiptHandle"],
            record,
            as_json(record),
            _trace(system.get("AWSTraceHeader", "")),
        )


def _trace(header: str) -> str:
    """Whoever sent the message wrote it, and it becomes a header of the Runtime API."""
    return header if _TRACE.fullmatch(header) else ""


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if "StringValue" in value:
        shown["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        shown["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return {
        **shown,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value.get("DataType", "String"),
    }
