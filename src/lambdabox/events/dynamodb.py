"""Streams of DynamoDB tables as a source."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.events.batches import as_json
from lambdabox.events.checkpoints import Checkpoint, Position
from lambdabox.events.stream_source import (
    POSITION_LOST,
    Page,
    Shard,
    Stream,
    StreamRecord,
    has_code,
)

MOST_RECORDS = 1_000


class DynamoDbSource:
    """A StreamSource."""

    def __init__(self, mapping: EventSourceMapping, services: AwsServices) -> None:
        self._services = services
        self._scope = mapping.source_scope
        self._arn = mapping.source_arn or ""

    async def stream(self) -> Stream:
        shards: list[Shard] = []
        parameters: dict[str, Any] = {"StreamArn": self._arn}
        while True:
            answer = await self._call("DescribeStream", parameters)
            description = answer["StreamDescription"]
            shards += [_shard(shard) for shard in description.get("Shards", ())]
            last = description.get("LastEvaluatedShardId")
            if not last:
                return Stream(str(description.get("CreationRequestDateTime", "")), shards)
            parameters["ExclusiveStartShardId"] = last

    async def iterator(self, shard: str, checkpoint: Checkpoint) -> str:
        """There is no iterator for a time: one that begins before it is as good."""
        if checkpoint.position is Position.AFTER:
            place = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "SequenceNumber": checkpoint.sequence,
            }
            try:
                return await self._iterator(shard, place)
            except AwsCallError as exc:
                if not has_code(exc, POSITION_LOST):
                    raise
        return await self._iterator(shard, {"ShardIteratorType": "TRIM_HORIZON"})

    async def read(self, _shard: str, iterator: str, limit: int) -> Page:
        answer = await self._call(
            "GetRecords", {"ShardIterator": iterator, "Limit": min(limit, MOST_RECORDS)}
        )
        records = [self._record(record) for record in answer.get("Records", ())]
        return Page(records, answer.get("NextShardIterator"))

    async def _iterator(self, shard: str, place: Mapping[str, Any]) -> str:
        answer = await self._call(
            "GetShardIterator", {"StreamArn": self._arn, "ShardId": shard, **place}
        )
        iterator: str = answer["ShardIterator"]
        return iterator

    async def _call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._services.call("dynamodbstreams", operation, parameters, self._scope)

    def _record(self, record: Mapping[str, Any]) -> StreamRecord:
        change = _plain(record["dynamodb"])
        event = {
            "eventID": record["eventID"],
            "eventName": record["eventName"],
            "eventVersion": record.get("eventVersion", "1.1"),
            "eventSource": "aws:dynamodb",
            "awsRegion": record.get("awsRegion", self._scope.region),
            "dynamodb": change,
            "eventSourceARN": self._arn,
        }
        identity = record.get("userIdentity")
        if identity:
            event["userIdentity"] = {
                "type": identity.get("Type"),
                "principalId": identity.get("PrincipalId"),
            }
        key = json.dumps(change.get("Keys"), sort_keys=True)
        arrival = float(change.get("ApproximateCreationDateTime", 0.0))
        return StreamRecord(change["SequenceNumber"], key, arrival, event, as_json(event))


def _shard(shard: Mapping[str, Any]) -> Shard:
    parent = shard.get("ParentShardId")
    return Shard(
        shard["ShardId"],
        (parent,) if parent else (),
        "EndingSequenceNumber" in shard.get("SequenceNumberRange", {}),
    )


def _plain(value: Any) -> Any:
    """Return what an SDK gives as it is on the wire: bytes in base64, times in seconds."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.timestamp()
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
