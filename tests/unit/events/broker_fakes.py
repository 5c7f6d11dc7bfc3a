"""Brokers in memory that keep the promises of `broker_ports`."""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from source_fakes import START

from lambdabox.broker_ports import (
    BrokerError,
    Partition,
    QueueAddress,
    QueueMessage,
    TopicRecord,
    TopicsAddress,
)


class FakeQueue:
    """A queue of RabbitMQ, for one consumer at a time."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[bytes, bool]] = deque()
        self.unsettled: dict[int, bytes] = {}
        self.rejected: list[bytes] = []
        self.settlements: list[str] = []
        self.errors: list[BrokerError] = []
        """Raised by the next consumers, instead of being opened."""
        self.opened = 0
        self._arrived = anyio.Event()
        self._tags = 0

    def put(self, *bodies: bytes) -> None:
        self.waiting += [(body, False) for body in bodies]
        self._arrived.set()

    @asynccontextmanager
    async def open(self, _address: QueueAddress, *, prefetch: int) -> AsyncIterator["FakeQueue"]:
        self.opened += 1
        if self.errors:
            raise self.errors.pop(0)
        self.prefetch = prefetch
        try:
            yield self
        finally:
            self._back(list(self.unsettled))

    async def receive(self, seconds: float | None = None) -> QueueMessage | None:
        await anyio.lowlevel.checkpoint()
        if not self.waiting and seconds is not None:
            return None
        while not self.waiting or len(self.unsettled) >= self.prefetch:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        body, is_redelivered = self.waiting.popleft()
        self._tags += 1
        self.unsettled[self._tags] = body
        return QueueMessage(self._tags, body, {}, is_redelivered)

    async def acknowledge(self, tag: int) -> None:
        tags = self._up_to(tag)
        self.settlements.append(f"ack {len(tags)}")
        for each in tags:
            del self.unsettled[each]

    async def requeue(self, tag: int) -> None:
        tags = self._up_to(tag)
        self.settlements.append(f"requeue {len(tags)}")
        self._back(tags)

    async def reject(self, tag: int) -> None:
        self.rejected.append(self.unsettled.pop(tag))

    def _up_to(self, tag: int) -> list[int]:
        assert tag in self.unsettled, "the broker closes the channel for an unknown tag"
        return [each for each in self.unsettled if each <= tag]

    def _back(self, tags: Sequence[int]) -> None:
        self.waiting.extendleft((self.unsettled.pop(tag), True) for tag in reversed(tags))
        self._arrived.set()


class FakeTopic:
    """A topic and one member of its group."""

    def __init__(self, partitions: int = 1) -> None:
        self.log: dict[Partition, list[TopicRecord]] = {
            Partition("t", number): [] for number in range(partitions)
        }
        self.committed: dict[Partition, int] = dict.fromkeys(self.log, 0)
        self.commits: list[Mapping[Partition, int]] = []
        self.produced: list[tuple[str, bytes | None, bytes]] = []
        self.errors: list[BrokerError] = []
        """Raised by the next commits or productions."""
        self.generation = 0
        self._places: dict[Partition, int] = {}
        self._arrived = anyio.Event()

    def put(self, *values: bytes, partition: int = 0, age: float = 0.0) -> None:
        place = Partition("t", partition)
        log = self.log[place]
        for value in values:
            at = round((START - age) * 1000)
            log.append(TopicRecord(place, len(log), at, False, b"k", value, ()))
        self._arrived.set()

    def rebalance(self) -> None:
        """Take the partitions away, and give them back."""
        self.generation += 1
        self._places = dict(self.committed)

    @asynccontextmanager
    async def open(self, _address: TopicsAddress) -> AsyncIterator["FakeTopic"]:
        self.rebalance()
        yield self

    async def read(self, limit: int, seconds: float) -> Sequence[TopicRecord]:
        await anyio.lowlevel.checkpoint()
        found: list[TopicRecord] = []
        for partition, log in self.log.items():
            at = self._places[partition]
            taken = log[at : at + limit - len(found)]
            self._places[partition] += len(taken)
            found += taken
        return found

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._fail()
        self.commits.append(dict(offsets))
        self.committed.update(offsets)

    async def produce(self, topic: str, key: bytes | None, value: bytes) -> None:
        self._fail()
        self.produced.append((topic, key, value))

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


class FakeSecrets:
    """An AwsServices that has secrets."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], scope: Any,
        *, seconds: float = 30.0,
    ) -> Mapping[str, Any]:  # fmt: skip
        assert (service, operation) == ("secretsmanager", "GetSecretValue")
        return {"SecretString": self.secrets[parameters["SecretId"].rpartition(":")[2]]}


class Reports:
    """Stands for `Report`: keeps what was reported."""

    def __init__(self) -> None:
        self.results: list[str] = []

    async def __call__(self, result: str) -> None:
        if not self.results or self.results[-1] != result:
            self.results.append(result)
