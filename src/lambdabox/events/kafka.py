"""Poll topics of Kafka as a member of a consumer group: read a batch, invoke, commit.

A batch holds records of every partition that the group has given to this member. Its offsets
are committed when it is over, so what a killed node was at is read again.
"""

from dataclasses import dataclass, field
from functools import partial

from anyio.abc import TaskGroup

from lambdabox.broker_ports import Partition, TopicConsumer, TopicRecord, TopicsOpener
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.events.attention import Attention
from lambdabox.events.batches import RECORDS_BYTES, Batches, broker_window
from lambdabox.events.broker_access import BrokerPlaces
from lambdabox.events.broker_session import Connected, keep_connected
from lambdabox.events.failures import Failures
from lambdabox.events.filtering import RecordFilter
from lambdabox.events.kafka_batches import KafkaBatches
from lambdabox.events.kafka_failures import KafkaFailures
from lambdabox.events.kafka_records import KafkaRecord, record_of
from lambdabox.events.pollers import Report
from lambdabox.ports import Clock

IDLE_SECONDS = 1.0
"""How long a read waits for records; what the group has assigned meanwhile is noticed then."""


@dataclass(slots=True)
class _Batch:
    """What was read: `records` got through the filters, `offsets` are where all of it ends."""

    generation: int
    records: list[KafkaRecord] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    size: int = 0


class KafkaPoller:
    """A Poller of the topics of one mapping."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        places: BrokerPlaces,
        open_topics: TopicsOpener,
        batches: Batches,
        failures: Failures,
        report: Report,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._places = places
        self._open = open_topics
        self._batches = batches
        self._failures = failures
        self._report = report
        self._clock = clock
        self._filter = RecordFilter(mapping.kind, mapping.settings.filters)

    async def forget(self) -> None:
        """What the group has committed is the cluster's, which forgets it in its own time."""

    async def run(self, attention: Attention, _background: TaskGroup) -> None:
        async def session(connected: Connected) -> None:
            address = await self._places.topics(self._mapping)
            async with self._open(address) as consumer:
                await connected()
                # Told as the mapping names them: where they are is the operator's business.
                servers = ",".join(self._mapping.settings.bootstrap_servers or address.servers)
                handler = self._handler(consumer, servers)
                while not attention.is_stopping:
                    await self._handle(await self._collect(consumer, attention), consumer,
                                       handler, attention)  # fmt: skip

        await keep_connected(session, self._mapping, self._report, attention)

    def _handler(self, consumer: TopicConsumer, servers: str) -> KafkaBatches:
        return KafkaBatches(
            self._mapping,
            servers,
            batches=self._batches,
            failures=KafkaFailures(self._mapping, self._failures, consumer, servers),
            commit=consumer.commit,
            report=self._report,
            clock=self._clock,
        )

    async def _collect(self, consumer: TopicConsumer, attention: Attention) -> _Batch:
        """Read until the batch is full, or its window has passed since its first record."""
        limit, window = self._mapping.settings.batch_size, broker_window(self._mapping)
        batch = _Batch(consumer.generation)
        until: float | None = None
        while len(batch.records) < limit and batch.size < RECORDS_BYTES:
            wait = IDLE_SECONDS
            if until is not None:
                wait = min(wait, until - self._clock.monotonic())
                if wait <= 0:
                    break
            read = partial(consumer.read, limit - len(batch.records), wait)
            records = await attention.unless_stopped(read)
            if records is None:
                break
            if consumer.generation != batch.generation:
                return _Batch(consumer.generation)  # it is read again, here or elsewhere
            if until is None and records:
                until = self._clock.monotonic() + window
            for record in records:
                self._add(batch, record)
        return batch

    def _add(self, batch: _Batch, record: TopicRecord) -> None:
        batch.offsets[record.partition] = record.offset + 1
        shaped = record_of(record)
        if self._filter.passes(shaped.stream.record):
            batch.records.append(shaped)
            batch.size += len(shaped.stream.event)

    async def _handle(
        self,
        batch: _Batch,
        consumer: TopicConsumer,
        handler: KafkaBatches,
        attention: Attention,
    ) -> None:
        if not batch.offsets:
            return

        def is_lost() -> bool:
            return consumer.generation != batch.generation

        # Those of a partition stay in their order.
        records = sorted(batch.records, key=lambda record: record.partition)
        if await handler.handle(records, attention, is_lost) and not is_lost():
            await consumer.commit(batch.offsets)
