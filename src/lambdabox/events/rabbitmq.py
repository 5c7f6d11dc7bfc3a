"""Poll a queue of RabbitMQ: consume a batch, invoke, acknowledge.

One batch at a time, in the queue's order. A batch whose function failed goes back to its place
and comes again, marked as redelivered; the pause before that grows with each failure.
"""

import logging
from dataclasses import dataclass
from functools import partial

from anyio.abc import TaskGroup

from lambdabox.broker_ports import QueueAddress, QueueConsumer, QueueMessage, QueueOpener
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.domain.stream_retry import delay_after
from lambdabox.events.attention import Attention
from lambdabox.events.batches import (
    RECORDS_BYTES,
    Batches,
    Ran,
    as_json,
    broker_window,
    in_sizes,
)
from lambdabox.events.broker_access import BrokerPlaces
from lambdabox.events.broker_session import Connected, keep_connected
from lambdabox.events.filtering import RecordFilter
from lambdabox.events.pollers import Report
from lambdabox.events.rabbitmq_events import payload_of, record_of
from lambdabox.events.stream_batches import FAILED
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

HELD_SECONDS = 600.0
"""How long messages are kept for a function that is not run. RabbitMQ itself takes them back after
half an hour, and the function may need half of that."""


@dataclass(frozen=True, slots=True)
class _Message:
    tag: int
    event: bytes
    """The record as JSON."""


@dataclass(slots=True)
class _Batch:
    """What was consumed: `messages` got through the filters, `last` is the last tag of all."""

    messages: list[_Message]
    size: int = 0
    last: int = 0


class RabbitMqPoller:
    """A Poller of one queue."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        places: BrokerPlaces,
        open_queue: QueueOpener,
        batches: Batches,
        report: Report,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._places = places
        self._open = open_queue
        self._batches = batches
        self._report = report
        self._clock = clock
        self._filter = RecordFilter(mapping.kind, mapping.settings.filters)
        self._failures = 0

    async def forget(self) -> None:
        """Nothing is kept for a queue: what is in it is where it stands."""

    async def run(self, attention: Attention, _background: TaskGroup) -> None:
        async def session(connected: Connected) -> None:
            address = await self._places.queue(self._mapping)
            prefetch = self._mapping.settings.batch_size
            async with self._open(address, prefetch=prefetch) as consumer:
                await connected()
                await self._consume(consumer, address, attention)

        await keep_connected(session, self._mapping, self._report, attention)

    async def _consume(
        self, consumer: QueueConsumer, address: QueueAddress, attention: Attention
    ) -> None:
        while not attention.is_stopping:
            batch = await self._collect(consumer, attention)
            if batch.messages:
                await self._handle(consumer, address, batch, attention)
            elif batch.last:
                await consumer.acknowledge(batch.last)

    async def _collect(self, consumer: QueueConsumer, attention: Attention) -> _Batch:
        """Receive until the batch is full, or its window has passed since its first message."""
        window = broker_window(self._mapping)
        batch, count, until = _Batch([]), 0, 0.0
        # All that was received counts, since the broker sends no more than that unsettled.
        while count < self._mapping.settings.batch_size and batch.size < RECORDS_BYTES:
            left = max(until - self._clock.monotonic(), 0.0) if count else None
            message = await attention.unless_stopped(partial(consumer.receive, left))
            if message is None:
                break
            if not count:
                until = self._clock.monotonic() + window
            count += 1
            await self._add(batch, message, consumer)
        return batch

    async def _add(self, batch: _Batch, message: QueueMessage, consumer: QueueConsumer) -> None:
        record = record_of(message)
        event = as_json(record)
        if len(event) > RECORDS_BYTES:
            log.warning("%s: a message is larger than an event, and rejected", self._mapping.arn)
            await consumer.reject(message.tag)
            return
        batch.last = message.tag
        if self._filter.passes(record):
            batch.messages.append(_Message(message.tag, event))
            batch.size += len(event)

    async def _handle(
        self,
        consumer: QueueConsumer,
        address: QueueAddress,
        batch: _Batch,
        attention: Attention,
    ) -> None:
        for part in in_sizes([len(message.event) for message in batch.messages]):
            messages = batch.messages[part]
            records = [message.event for message in messages]
            payload = payload_of(self._mapping, address.virtual_host, records)
            if not await self._run(payload, attention):
                self._failures += 1
                # They are ours meanwhile, so that a poison message does not spin.
                await attention.pause(delay_after(self._failures - 1))
                await consumer.requeue(batch.last)
                return
            self._failures = 0
            await consumer.acknowledge(messages[-1].tag)
        if batch.last != batch.messages[-1].tag:
            await consumer.acknowledge(batch.last)

    async def _run(self, payload: bytes, attention: Attention) -> bool:
        """Whether the function succeeded. Where it is not run, that is tried for a while: it is
        not the messages' fault, and some queues give up what was redelivered too often."""
        until = self._clock.monotonic() + HELD_SECONDS
        tries = 0
        while True:
            result = await self._batches.run(self._mapping, payload)
            is_success = isinstance(result, Ran) and not result.outcome.function_error
            await self._report("OK" if is_success else FAILED)
            if isinstance(result, Ran) or self._clock.monotonic() > until:
                return is_success
            await attention.pause(delay_after(tries))
            tries += 1
            if attention.is_stopping:
                return False
