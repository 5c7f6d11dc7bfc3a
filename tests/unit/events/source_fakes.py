"""Sources that behave as SQS and Kinesis do, functions that are Python, and a hasty clock."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import anyio
import anyio.lowlevel

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.arn import FunctionReference, Scope
from lambdabox.domain.destinations import Parcel
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.mappings import (
    EventSourceMapping,
    MappingState,
    default_settings,
    kind_of,
)
from lambdabox.invoke.invoker import Invoker

QUEUE = "arn:aws:sqs:us-east-1:000000000000:queue"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/stream"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"
START = 1_795_000_000.0


def mapping_of(source_arn: str, **settings: Any) -> EventSourceMapping:
    kind = kind_of(source_arn)
    assert kind is not None
    defaults = default_settings(kind)
    if kind.is_stream:
        settings = {"starting_position": "TRIM_HORIZON", **settings}
    made = type(defaults)(
        **{
            **{name: getattr(defaults, name) for name in defaults.__dataclass_fields__},
            **settings,
        }
    )
    return EventSourceMapping(
        "00000000-0000-4000-8000-000000000000",
        FUNCTION,
        source_arn,
        kind,
        made,
        MappingState.ENABLED,
        START,
    )


class HastyClock:
    """A `ports.Clock` on which whoever sleeps wakes at once, having slept as long as it said."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await anyio.lowlevel.checkpoint()


Handler = Callable[[dict[str, Any]], Any]


class FakeInvoker:
    """Invokes a Python function: what it returns is the answer, an Outcome, or raised."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.events: list[dict[str, Any]] = []
        self.running = 0
        self.most_running = 0
        self.held: anyio.Event | None = None

    async def invoke(
        self, _reference: FunctionReference, invocation: Invocation, _sink: object = None
    ) -> Outcome:
        event = json.loads(invocation.payload)
        self.events.append(event)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await anyio.lowlevel.checkpoint()
            if self.held is not None:
                await self.held.wait()
            answer = self.handler(event)
        finally:
            self.running -= 1
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Outcome):
            return answer
        return Outcome(json.dumps(answer).encode())

    async def resolve(self, _reference: FunctionReference) -> Any:
        class Deployment:
            class settings:  # noqa: N801  # it stands for a member
                role = "role"

        return Deployment

    def as_invoker(self) -> Invoker:
        return cast("Invoker", self)


FAILURE = Outcome(b'{"errorMessage": "no"}', function_error="Unhandled")


class FakeDestinations:
    def __init__(self) -> None:
        self.delivered: list[tuple[str, dict[str, Any]]] = []

    async def send(self, arn: str, parcel: Parcel) -> None:
        await self.deliver(arn, parcel)

    async def deliver(self, arn: str, parcel: Parcel) -> bool:
        self.delivered.append((arn, json.loads(parcel.body)))
        return True

    def gave_up(self, arn: str, error: AwsCallError) -> None:
        raise AssertionError(arn)


@dataclass
class FakeMessage:
    id: str
    body: str
    visible_at: float = 0.0
    receives: int = 0


@dataclass
class FakeSqs:
    """An AwsServices with one standard queue."""

    clock: HastyClock
    visibility: int = 30
    messages: dict[str, FakeMessage] = field(default_factory=dict)
    errors: list[AwsCallError] = field(default_factory=list)
    """Raised by the next deletions, first to last."""
    is_gone: bool = False
    calls: list[str] = field(default_factory=list)
    arrived: anyio.Event = field(default_factory=anyio.Event)

    def put(self, *bodies: str) -> None:
        for body in bodies:
            id = f"m{len(self.messages)}-{body[:9]}"
            self.messages[id] = FakeMessage(id, body)
        self.arrived.set()
        self.arrived = anyio.Event()

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        assert (service, scope.account) == ("sqs", "000000000000")
        self.calls.append(operation)
        await anyio.lowlevel.checkpoint()
        if self.is_gone:
            raise AwsCallError("sqs", operation, "QueueDoesNotExist", "It does not exist.")
        match operation:
            case "GetQueueUrl":
                return {"QueueUrl": "http://queue"}
            case "GetQueueAttributes":
                return {"Attributes": {"VisibilityTimeout": str(self.visibility)}}
            case "ReceiveMessage":
                return await self._receive(parameters)
            case "DeleteMessageBatch":
                if self.errors:
                    raise self.errors.pop(0)
                for entry in parameters["Entries"]:
                    self.messages.pop(entry["ReceiptHandle"], None)
                return {}
            case "ChangeMessageVisibilityBatch":
                for entry in parameters["Entries"]:
                    self.messages[entry["ReceiptHandle"]].visible_at = 0.0
                return {}
        raise AssertionError(operation)

    async def _receive(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        while True:
            now = self.clock.now()
            found = [each for each in self.messages.values() if each.visible_at <= now]
            if found or not parameters["WaitTimeSeconds"]:
                break
            await self.arrived.wait()
        taken = found[: parameters["MaxNumberOfMessages"]]
        for message in taken:
            message.visible_at = now + self.visibility
            message.receives += 1
        return {
            "Messages": [
                {"MessageId": each.id, "ReceiptHandle": each.id, "Body": each.body}
                for each in taken
            ]
        }


@dataclass
class FakeShard:
    id: str
    parents: tuple[str, ...] = ()
    records: list[tuple[str, bytes, float]] = field(default_factory=list)
    is_closed: bool = False


@dataclass
class FakeKinesis:
    """An AwsServices with one stream. Sequence numbers count from 1 in each shard."""

    clock: HastyClock
    shards: dict[str, FakeShard] = field(default_factory=lambda: {"s0": FakeShard("s0")})
    made: str = "first"
    reads: int = 0
    errors: list[AwsCallError] = field(default_factory=list)
    """The first meets the next read."""

    def put(self, *data: str, shard: str = "s0", key: str = "p", at: float | None = None) -> None:
        arrival = self.clock.now() if at is None else at
        self.shards[shard].records += [(key, each.encode(), arrival) for each in data]

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        assert (service, scope.region) == ("kinesis", "us-east-1")
        await anyio.lowlevel.checkpoint()
        match operation:
            case "DescribeStreamSummary":
                return {"StreamDescriptionSummary": {"StreamCreationTimestamp": self.made}}
            case "ListShards":
                return {"Shards": [self._described(shard) for shard in self.shards.values()]}
            case "GetShardIterator":
                shard = self.shards[parameters["ShardId"]]
                return {"ShardIterator": f"{shard.id}:{self._place(shard, parameters)}"}
            case "GetRecords":
                return self._read(parameters)
        raise AssertionError(operation)

    def _described(self, shard: FakeShard) -> dict[str, Any]:
        end = {"EndingSequenceNumber": "9"} if shard.is_closed else {}
        names = ("ParentShardId", "AdjacentParentShardId")
        return {
            "ShardId": shard.id,
            "SequenceNumberRange": {"StartingSequenceNumber": "1", **end},
            **dict(zip(names, shard.parents, strict=False)),
        }

    def _place(self, shard: FakeShard, parameters: Mapping[str, Any]) -> int:
        match parameters["ShardIteratorType"]:
            case "AFTER_SEQUENCE_NUMBER":
                return int(parameters["StartingSequenceNumber"])
            case "AT_TIMESTAMP":
                since = parameters["Timestamp"].timestamp()
                return sum(1 for _key, _data, arrival in shard.records if arrival < since)
        return 0

    def _read(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.reads += 1
        if self.errors:
            raise self.errors.pop(0)
        id, _, place = parameters["ShardIterator"].partition(":")
        shard, start = self.shards[id], int(place)
        end = min(start + parameters["Limit"], len(shard.records))
        is_over = shard.is_closed and end == len(shard.records)
        return {
            "Records": [
                {
                    "SequenceNumber": str(index + 1),
                    "PartitionKey": key,
                    "Data": data,
                    "ApproximateArrivalTimestamp": datetime.fromtimestamp(arrival, UTC),
                }
                for index, (key, data, arrival) in enumerate(shard.records[start:end], start)
            ],
            "NextShardIterator": None if is_over else f"{id}:{end}",
            "MillisBehindLatest": 0 if end == len(shard.records) else 1,
        }
