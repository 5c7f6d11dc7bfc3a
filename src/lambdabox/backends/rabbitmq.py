"""Consume queues of RabbitMQ, through aio-pika.

The library keeps no connection alive here: a consumer whose connection is lost has lost its
messages too, so whoever polls opens another one and says what was wrong.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import anyio
import anyio.to_thread

from lambdabox.broker_ports import BrokerAccess, BrokerError, QueueAddress, QueueMessage

if TYPE_CHECKING:
    import aiormq

CONNECT_SECONDS = 20.0
CALL_SECONDS = 20.0
CLOSE_SECONDS = 5.0
HEARTBEAT_SECONDS = 30
CANCEL_LOOK_SECONDS = 5.0
"""How often it is looked whether the broker has cancelled us, of which no event tells."""
CLOSED = "The connection was closed."
MISSING = "The package aio-pika is not installed: pip install 'lambdabox[rabbitmq]'."


@asynccontextmanager
async def open_queue(address: QueueAddress, *, prefetch: int) -> AsyncIterator["RabbitConsumer"]:
    """A `broker_ports.QueueOpener`."""
    await anyio.to_thread.run_sync(_load)
    import aio_pika

    try:
        with anyio.fail_after(CONNECT_SECONDS):
            connection = await aio_pika.connect(url_of(address), timeout=CONNECT_SECONDS)
    except _errors() as exc:
        raise BrokerError(f"Connection error. {_reason(exc)}") from exc
    try:
        yield await _consume(connection, address.queue, prefetch)
    finally:
        # Also while being cancelled: the broker gives the messages back once it knows.
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await connection.close()


async def _consume(connection: Any, queue: str, prefetch: int) -> "RabbitConsumer":
    try:
        with anyio.fail_after(CALL_SECONDS):
            # The layer below: messages as they came, with those properties that they have.
            channel = await (await connection.channel()).get_underlay_channel()
            consumer = RabbitConsumer(channel)
            await channel.basic_qos(prefetch_count=prefetch)
            await channel.basic_consume(queue, consumer.take)
    except _errors() as exc:
        raise BrokerError(_reason(exc)) from exc
    return consumer


class RabbitConsumer:
    """A `broker_ports.QueueConsumer`."""

    def __init__(self, channel: "aiormq.Channel") -> None:
        self._channel = channel
        # Bounded by the prefetch count, which the broker keeps to.
        self._messages: deque[QueueMessage] = deque()
        self._news = anyio.Event()
        self._closing = channel.closing
        self._closing.add_done_callback(lambda _closing: self._news.set())

    async def take(self, message: "aiormq.abc.DeliveredMessage") -> None:
        """Called with each message."""
        properties = message.header.properties
        self._messages.append(
            QueueMessage(
                message.delivery_tag or 0,
                bytes(message.body),
                {name: getattr(properties, name) for name in properties.attributes()},
                bool(message.redelivered),
            )
        )
        self._news.set()

    async def receive(self, seconds: float | None = None) -> QueueMessage | None:
        with anyio.move_on_after(seconds):
            while not self._messages:
                self._check()
                self._news = anyio.Event()
                with anyio.move_on_after(CANCEL_LOOK_SECONDS):
                    await self._news.wait()
        return self._messages.popleft() if self._messages else None

    def _check(self) -> None:
        if self._closing.done():
            error = None if self._closing.cancelled() else self._closing.exception()
            raise BrokerError(_reason(error) if error else CLOSED) from error
        if not self._channel.consumers:
            raise BrokerError("The queue does not exist any more.")

    async def acknowledge(self, tag: int) -> None:
        await self._settle(self._channel.basic_ack(tag, multiple=True))

    async def requeue(self, tag: int) -> None:
        await self._settle(self._channel.basic_nack(tag, multiple=True, requeue=True))

    async def reject(self, tag: int) -> None:
        await self._settle(self._channel.basic_reject(tag, requeue=False))

    async def _settle(self, sending: Any) -> None:
        try:
            with anyio.fail_after(CALL_SECONDS):
                await sending
        except _errors() as exc:
            raise BrokerError(_reason(exc)) from exc


def url_of(address: QueueAddress) -> str:
    """Return the URL with credentials and virtual host, as the library takes it."""
    parts = urlsplit(address.url)
    place = parts.netloc.rpartition("@")[2]
    access: BrokerAccess = address.access
    if access.username:
        place = f"{quote(access.username, safe='')}:{quote(access.password, safe='')}@{place}"
    else:
        place = parts.netloc
    path = "/" + quote(address.virtual_host, safe="")
    query = parts.query or f"heartbeat={HEARTBEAT_SECONDS}"
    return urlunsplit((parts.scheme, place, path, query, ""))


def _load() -> None:
    # In a thread and at first use: it takes a third of a second, and is an extra.
    try:
        import aio_pika  # noqa: F401  # to have it loaded
    except ImportError as exc:
        raise BrokerError(MISSING) from exc


def _errors() -> tuple[type[BaseException], ...]:
    from aiormq.exceptions import AMQPError, ChannelInvalidStateError

    return AMQPError, ChannelInvalidStateError, OSError, TimeoutError, ValueError


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
