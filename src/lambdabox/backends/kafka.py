"""Read topics of Kafka as a member of a consumer group, through aiokafka.

Where a partition begins that the group has not read is decided here and committed at once, so
that what comes before the first batch is not lost by a restart. Every partition is set to its
place explicitly when it is assigned: what the library has fetched ahead counts for nothing.
"""

import logging
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from lambdabox.broker_ports import (
    BrokerAccess,
    BrokerError,
    Partition,
    TopicRecord,
    TopicsAddress,
)

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

log = logging.getLogger(__name__)

CONNECT_SECONDS = 30.0
REFUSAL_SECONDS = 10.0
CALL_SECONDS = 60.0
CLOSE_SECONDS = 10.0
REQUEST_MILLISECONDS = 20_000
FETCH_BYTES = 8 * 1024 * 1024
SILENCE_MILLISECONDS = 86_400_000
"""How long a batch may take before the group takes its partitions away: a function's time and
that of its retries. A node that is gone is noticed in seconds, by its silence."""
REBALANCE_MILLISECONDS = 30_000
MISSING = "The package aiokafka is not installed: pip install 'lambdabox[kafka]'."


@asynccontextmanager
async def open_topics(address: TopicsAddress) -> AsyncIterator["KafkaMember"]:
    """A `broker_ports.TopicsOpener`."""
    await anyio.to_thread.run_sync(_load)
    import aiokafka

    options = await _options(address)
    try:
        consumer = aiokafka.AIOKafkaConsumer(
            group_id=address.group,
            enable_auto_commit=False,
            # For a place that is no longer there: what is left begins at the oldest.
            auto_offset_reset="earliest",
            fetch_max_bytes=FETCH_BYTES,
            max_poll_interval_ms=SILENCE_MILLISECONDS,
            rebalance_timeout_ms=REBALANCE_MILLISECONDS,
            isolation_level="read_committed",
            **options,
        )
    except _errors() as exc:
        raise BrokerError(_reason(exc)) from exc
    member = KafkaMember(consumer, address, options)
    try:
        await member.join()
        yield member
    finally:
        # Also while being cancelled: partitions go to other members once this one has left.
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await member.leave()


class KafkaMember:
    """A `broker_ports.TopicConsumer`."""

    def __init__(
        self, consumer: "AIOKafkaConsumer", address: TopicsAddress, options: Mapping[str, Any]
    ) -> None:
        self._consumer = consumer
        self._address = address
        self._options = options
        self._placed: set[TopicPartition] = set()
        self._producer: AIOKafkaProducer | None = None
        self._generation = 0

    @property
    def generation(self) -> int:
        return self._generation

    async def join(self) -> None:
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                await self._consumer.start()
                known = await self._consumer.topics()
        except _errors() as exc:
            reason = await self._refusal() or _reason(exc)
            raise BrokerError(f"Connection error. {reason}") from exc
        for topic in self._address.topics:
            if topic not in known:
                raise BrokerError(f"The topic {topic!r} does not exist.")
        self._consumer.subscribe(self._address.topics, listener=_listener(self._forget_places))

    async def _refusal(self) -> str | None:
        """Return why a server does not let us in: of all of them the library says only that
        none could be used."""
        from aiokafka.conn import collect_hosts, create_conn

        options = {**self._options}
        host, port, _family = collect_hosts(options.pop("bootstrap_servers"), randomize=False)[0]
        try:
            with anyio.fail_after(REFUSAL_SECONDS):
                connection = await create_conn(host, port, **options)
        except _errors() as exc:
            return _reason(exc)
        connection.close()
        return None

    async def leave(self) -> None:
        try:
            if self._producer is not None:
                await self._producer.stop()
            await self._consumer.stop()
        except _errors() as exc:
            log.warning("leaving the group %s failed: %s", self._address.group, _reason(exc))

    async def read(self, limit: int, seconds: float) -> Sequence[TopicRecord]:
        try:
            await self._place()
            generation, placed = self._generation, frozenset(self._placed)
            found = await self._consumer.getmany(
                timeout_ms=round(seconds * 1000), max_records=limit
            )
        except _errors() as exc:
            raise BrokerError(_reason(exc)) from exc
        if generation != self._generation:
            return ()  # read again, by whoever has the partitions now
        return [
            _record(record)
            for partition, records in found.items()
            if partition in placed
            for record in records
        ]

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        from aiokafka import TopicPartition

        places = {TopicPartition(each.topic, each.number): at for each, at in offsets.items()}
        try:
            with anyio.fail_after(CALL_SECONDS):
                await self._commit(places)
        except _errors() as exc:
            raise BrokerError(_reason(exc)) from exc

    async def _commit(self, offsets: Mapping["TopicPartition", int]) -> None:
        from aiokafka.errors import CommitFailedError, IllegalStateError

        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as exc:
            # Not ours any more: who has the partitions now goes on from what was committed.
            log.info("the group %s was rebalanced: %s", self._address.group, _reason(exc))
            self._forget_places()

    async def produce(self, topic: str, key: bytes | None, value: bytes) -> None:
        try:
            with anyio.fail_after(CALL_SECONDS):
                producer = self._producer or await self._start_producer()
                await producer.send_and_wait(topic, value, key=key)
        except _errors() as exc:
            raise BrokerError(_reason(exc)) from exc

    async def _start_producer(self) -> "AIOKafkaProducer":
        import aiokafka

        producer = aiokafka.AIOKafkaProducer(acks="all", **self._options)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return producer

    def _forget_places(self) -> None:
        self._placed.clear()
        self._generation += 1

    async def _place(self) -> None:
        """Have each partition that was assigned lately begin where the group is in it."""
        new = self._consumer.assignment() - self._placed
        if not new:
            return
        generation = self._generation
        with anyio.fail_after(CALL_SECONDS):
            begun = {}
            for partition in new:
                at = await self._consumer.committed(partition)
                if at is not None:
                    self._seek(partition, at, generation)
                else:
                    begun[partition] = await self._beginning(partition)
                    self._seek(partition, begun[partition], generation)
            if begun and generation == self._generation:
                await self._commit(begun)
        if generation == self._generation:
            self._placed |= new

    def _seek(self, partition: "TopicPartition", at: int, generation: int) -> None:
        if generation == self._generation:
            self._consumer.seek(partition, at)

    async def _beginning(self, partition: "TopicPartition") -> int:
        """Return the first offset that the group is to read, of a partition new to it."""
        since = self._address.begins_at
        if since is None:
            return int((await self._consumer.beginning_offsets([partition]))[partition])
        # First the end: what comes while it is asked for the time is not to be left out.
        end = (await self._consumer.end_offsets([partition]))[partition]
        found = await self._consumer.offsets_for_times({partition: round(since * 1000)})
        place = found.get(partition)
        return int(end if place is None else place.offset)


async def _options(address: TopicsAddress) -> dict[str, Any]:
    """Return what every client of the cluster is told."""
    access = address.access
    protocol = "SSL" if address.is_encrypted else "PLAINTEXT"
    options: dict[str, Any] = {
        "bootstrap_servers": list(address.servers),
        "client_id": "lambdabox",
        "request_timeout_ms": REQUEST_MILLISECONDS,
    }
    if access.username:
        protocol = f"SASL_{protocol}"
        options["sasl_mechanism"] = access.mechanism
        options["sasl_plain_username"] = access.username
        options["sasl_plain_password"] = access.password
    if address.is_encrypted:
        options["ssl_context"] = await anyio.to_thread.run_sync(_ssl_context, access)
    return {**options, "security_protocol": protocol}


def _ssl_context(access: BrokerAccess) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=access.authority or None)
        if access.certificate:
            # The library of TLS takes a client's key from a file alone.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(f"{access.certificate}\n{access.private_key}\n")
                file.flush()
                context.load_cert_chain(file.name, password=access.private_key_password)
    except (ssl.SSLError, ValueError) as exc:
        raise BrokerError(f"The certificate or its key cannot be used: {_reason(exc)}") from exc
    return context


def _record(record: Any) -> TopicRecord:
    return TopicRecord(
        Partition(record.topic, record.partition),
        record.offset,
        record.timestamp,
        record.timestamp_type == 1,
        record.key,
        record.value,
        tuple(record.headers),
    )


def _listener(revoked: Any) -> Any:
    from aiokafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # it ships no types
        def on_partitions_revoked(self, _revoked: Any) -> None:
            revoked()

        def on_partitions_assigned(self, _assigned: Any) -> None:
            """They are set to their places before the next read."""

    return Listener()


def _load() -> None:
    # In a thread and at first use: it takes a while, and is an extra.
    try:
        import aiokafka  # noqa: F401  # to have it loaded
    except ImportError as exc:
        raise BrokerError(MISSING) from exc


def _errors() -> tuple[type[BaseException], ...]:
    from aiokafka.errors import KafkaError

    return KafkaError, OSError, TimeoutError, ValueError


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
