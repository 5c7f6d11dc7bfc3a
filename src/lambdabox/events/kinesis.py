"""Kinesis streams as a source."""

import base64
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
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

MOST_RECORDS = 10_000


class KinesisSource:
    """A StreamSource. `role` tells the ARN of the role that the function has."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        services: AwsServices,
        role: Callable[[], Awaitable[str]],
    ) -> None:
        self._services = services
        self._scope = mapping.source_scope
        self._source = mapping.source_arn or ""
        self._arn = self._source.partition("/consumer/")[0]
        self._role = role

    async def stream(self) -> Stream:
        summary = await self._call("DescribeStreamSummary", {"StreamARN": self._arn})
        made = summary["StreamDescriptionSummary"].get("StreamCreationTimestamp", "")
        shards: list[Shard] = []
        parameters: dict[str, Any] = {"StreamARN": self._arn}
        while True:
            answer = await self._call("ListShards", parameters)
            shards += [_shard(shard) for shard in answer.get("Shards", ())]
            token = answer.get("NextToken")
            if not token:
                return Stream(str(made), shards)
            parameters = {"NextToken": token}

    async def iterator(self, shard: str, checkpoint: Checkpoint) -> str:
        try:
            return await self._iterator(shard, _place(checkpoint))
        except AwsCallError as exc:
            if checkpoint.position is Position.OLDEST or not has_code(exc, POSITION_LOST):
                raise
        return await self._iterator(shard, {"ShardIteratorType": "TRIM_HORIZON"})

    async def read(self, shard: str, iterator: str, limit: int) -> Page:
        answer = await self._call(
            "GetRecords",
            {
                "StreamARN": self._arn,
                "ShardIterator": iterator,
                "Limit": min(limit, MOST_RECORDS),
            },
        )
        role = await self._role() if answer.get("Records") else ""
        return Page(
            [self._record(shard, record, role) for record in answer.get("Records", ())],
            answer.get("NextShardIterator"),
            is_at_tip=not answer.get("MillisBehindLatest"),
        )

    async def _iterator(self, shard: str, place: Mapping[str, Any]) -> str:
        answer = await self._call(
            "GetShardIterator", {"StreamARN": self._arn, "ShardId": shard, **place}
        )
        iterator: str = answer["ShardIterator"]
        return iterator

    async def _call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._services.call("kinesis", operation, parameters, self._scope)

    def _record(self, shard: str, record: Mapping[str, Any], role: str) -> StreamRecord:
        arrival = record["ApproximateArrivalTimestamp"].timestamp()
        event = {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": record["SequenceNumber"],
                "data": base64.b64encode(record["Data"]).decode(),
                "approximateArrivalTimestamp": arrival,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard}:{record['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role,
            "awsRegion": self._scope.region,
            "eventSourceARN": self._source,
        }
        return StreamRecord(
            record["SequenceNumber"], record["PartitionKey"], arrival, event, as_json(event)
        )


def _shard(shard: Mapping[str, Any]) -> Shard:
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return Shard(
        shard["ShardId"],
        tuple(parent for parent in parents if parent),
        "EndingSequenceNumber" in shard.get("SequenceNumberRange", {}),
    )


def _place(checkpoint: Checkpoint) -> dict[str, Any]:
    match checkpoint.position:
        case Position.AFTER:
            return {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": checkpoint.sequence,
            }
        case Position.SINCE:
            moment = datetime.fromtimestamp(checkpoint.since, UTC)
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}
        case _:
            return {"ShardIteratorType": "TRIM_HORIZON"}
