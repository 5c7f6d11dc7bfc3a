"""The seams towards message brokers: queues of RabbitMQ, topics of Kafka.

Apart from `ports.py`, because a broker is somebody else's, and what speaks to it is an extra that
may not be installed. Docstrings are the contracts.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from typing import Any, Protocol

from lambdabox.domain.values import dataclass


class BrokerError(Exception):
    """A broker cannot be reached, has refused, or cannot be spoken to. The message says why."""


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """How to get in. Empty text stands for what was not given."""

    username: str = ""
    password: str = field(default="", repr=False)
    mechanism: str = "PLAIN"
    """SASL's name of how the password is told."""
    certificate: str = ""
    """The client's own, in PEM, with its key."""
    private_key: str = field(default="", repr=False)
    private_key_password: str = field(default="", repr=False)
    authority: str = ""
    """The certificate, in PEM, that the broker's is checked against; else the system's."""


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """A queue of a RabbitMQ broker."""

    url: str
    """amqp:// or amqps://; credentials in it serve if `access` has none."""
    virtual_host: str
    queue: str
    access: BrokerAccess


@dataclass(frozen=True, slots=True)
class QueueMessage:
    tag: int
    """Grows with each message of a consumer."""
    body: bytes
    properties: Mapping[str, Any]
    """AMQP's, by the names of AMQP 0-9-1: `content_type`, `headers`, `timestamp`."""
    is_redelivered: bool


class QueueConsumer(Protocol):
    """Messages of one queue, in its order. Every method raises BrokerError."""

    async def receive(self, seconds: float | None = None) -> QueueMessage | None:
        """Return the next message; None after `seconds`, if given. One that is received is ours
        until it is settled, or the consumer is closed."""

    async def acknowledge(self, tag: int) -> None:
        """Settle every message up to this one: the broker forgets them."""

    async def requeue(self, tag: int) -> None:
        """Give every message up to this one back to the queue, at its place."""

    async def reject(self, tag: int) -> None:
        """Give this one up: it goes to the queue's dead-letter exchange, if it has one."""


class QueueOpener(Protocol):
    def __call__(
        self, address: QueueAddress, /, *, prefetch: int
    ) -> AbstractAsyncContextManager[QueueConsumer]:
        """Consume, with up to `prefetch` messages unsettled. Raises BrokerError on entry; what is
        unsettled at the exit goes back to the queue."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@dataclass(frozen=True, slots=True)
class TopicRecord:
    partition: Partition
    offset: int
    timestamp: int
    """In milliseconds."""
    is_log_append_time: bool
    """Whether the broker set the timestamp, and not the producer."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class TopicsAddress:
    """Topics of a Kafka cluster, and the group in whose name they are read."""

    servers: tuple[str, ...]
    is_encrypted: bool
    topics: tuple[str, ...]
    group: str
    begins_at: float | None
    """The time, in seconds, from which partitions are read that the group has not read yet; None
    for all that is there."""
    access: BrokerAccess


class TopicConsumer(Protocol):
    """A member of a consumer group. Every method raises BrokerError."""

    @property
    def generation(self) -> int:
        """Another number as soon as partitions were taken away: what was read and not committed
        before is read again, here or by another member."""

    async def read(self, limit: int, seconds: float) -> Sequence[TopicRecord]:
        """Return up to `limit` records, in the order of each partition; none after `seconds`."""

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Remember where reading goes on: at the offset after the last that is done.

        Where partitions were taken away meanwhile nothing is remembered, and `generation` is
        another number afterwards.
        """

    async def produce(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Return once the cluster has the record."""


class TopicsOpener(Protocol):
    def __call__(self, address: TopicsAddress, /) -> AbstractAsyncContextManager[TopicConsumer]:
        """Join the group. Raises BrokerError on entry."""
