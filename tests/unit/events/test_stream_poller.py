import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_fakes import (
    FAILURE,
    STREAM,
    FakeDestinations,
    FakeInvoker,
    FakeKinesis,
    FakeShard,
    Handler,
    HastyClock,
    mapping_of,
)
from support.measuring import KeptMeasurements

from lambdabox.backends import sqlite_queue
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.events.attention import Attention
from lambdabox.events.batches import Batches
from lambdabox.events.checkpoints import Checkpoint, Checkpoints, Position
from lambdabox.events.failures import Failures
from lambdabox.events.kinesis import KinesisSource
from lambdabox.events.pollers import Report
from lambdabox.events.shards import ShardReader
from lambdabox.events.stream_batches import StreamBatches
from lambdabox.events.streams import StreamPoller
from lambdabox.repositories import tables
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.telemetry.function_metrics import FunctionMetrics

pytestmark = pytest.mark.anyio

THROTTLED = TooManyRequestsException("Rate Exceeded.", reason="r")
ON_FAILURE = "arn:aws:sqs:us-east-1:000000000000:failed"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    metadata = (tables.metadata, sqlite_queue.metadata)
    async with SqliteDatabase(tmp_path / "state.db", "state", metadata) as database:
        yield database


def data_of(event: dict[str, Any]) -> list[str]:
    return [base64.b64decode(r["kinesis"]["data"]).decode() for r in event["Records"]]


class World:
    def __init__(self, database: SqliteDatabase, handler: Handler, **changes: Any) -> None:
        self.clock = HastyClock()
        self.kinesis = FakeKinesis(self.clock)
        self.invoker = FakeInvoker(handler)
        self.destinations = FakeDestinations()
        self.checkpoints = Checkpoints(database)
        self.mapping = mapping_of(STREAM, **changes)
        self.records = AccountRecords(database, "event-source-mapping", EventSourceMapping)
        self.attention = Attention(self.clock)

    def poller(self) -> StreamPoller:
        self.measurements = KeptMeasurements()
        batches = Batches(self.invoker.as_invoker(), FunctionMetrics(self.measurements), self.clock)
        report = Report(self.records, self.mapping)
        failures = Failures(self.mapping, self.destinations, self.clock)
        handler = StreamBatches(self.mapping, batches, failures, report, self.clock)
        source = KinesisSource(self.mapping, self.kinesis, lambda: batches.role(self.mapping))

        def reader(checkpoint: Checkpoint, is_closed: bool) -> ShardReader:
            return ShardReader(
                self.mapping,
                checkpoint,
                is_closed=is_closed,
                source=source,
                checkpoints=self.checkpoints,
                handler=handler,
                batches=batches,
                report=report,
                clock=self.clock,
            )

        return StreamPoller(self.mapping, source, self.checkpoints, reader, report, self.clock)

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Poll during the block, then stop in the orderly way."""
        self.attention = Attention(self.clock)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.poller().run, self.attention, tasks)
            yield
            self.attention.stop()

    @asynccontextmanager
    async def until_killed(self) -> AsyncIterator[None]:
        """Poll during the block, then be gone at once."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.poller().run, Attention(self.clock), tasks)
            yield
            tasks.cancel_scope.cancel()

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await anyio.lowlevel.checkpoint()

    async def position(self, shard: str = "s0") -> Checkpoint:
        return (await self.checkpoints.of(self.mapping))[shard]

    @property
    def batches(self) -> list[list[str]]:
        return [data_of(event) for event in self.invoker.events]

    @property
    def given_up(self) -> list[tuple[str, int, int]]:
        """Condition, first and last sequence number of what the destination was told."""
        records = [record for _arn, record in self.destinations.delivered]
        return [
            (
                record["requestContext"]["condition"],
                int(record["KinesisBatchInfo"]["startSequenceNumber"]),
                int(record["KinesisBatchInfo"]["endSequenceNumber"]),
            )
            for record in records
        ]


async def test_a_batch_that_fails_blocks_its_shard_until_it_succeeds(
    database: SqliteDatabase,
) -> None:
    answers: list[Any] = [FAILURE, FAILURE, THROTTLED, None, None]
    world = World(database, lambda _event: answers.pop(0), batch_size=2)
    world.kinesis.put("a", "b", "c")
    async with world.polling():
        await world.until(lambda: not answers)
    assert world.batches == [["a", "b"]] * 4 + [["c"]]
    assert (await world.position()).sequence == "3"


async def test_bisection_finds_the_poison_and_the_others_pass_in_order(
    database: SqliteDatabase,
) -> None:
    world = World(
        database,
        lambda event: FAILURE if "bad" in data_of(event) else None,
        bisects=True,
        maximum_retry_attempts=1,
        on_failure=ON_FAILURE,
    )
    world.kinesis.put("a", "b", "bad", "c", "d")
    async with world.polling():
        await world.until(lambda: ["c", "d"] in world.batches or ["d"] in world.batches)
    passed = [name for batch in world.batches if "bad" not in batch for name in batch]
    assert passed == ["a", "b", "c", "d"]
    assert world.batches.count(["bad"]) == 2
    assert world.given_up == [("RetryAttemptsExhausted", 3, 3)]
    assert (await world.position()).sequence == "5"


@pytest.mark.parametrize("bisects", [False, True])
async def test_a_function_that_names_what_failed_goes_on_from_the_first(
    database: SqliteDatabase, bisects: bool
) -> None:
    """The lowest failed record is the checkpoint, whatever succeeded after it."""
    failing = ["3", "4"]

    def handler(event: dict[str, Any]) -> Any:
        names = [r["kinesis"]["sequenceNumber"] for r in event["Records"]]
        failed = [name for name in failing if name in names]
        if failed:
            failing.remove(failed[0])
        return {"batchItemFailures": [{"itemIdentifier": name} for name in reversed(failed)]}

    world = World(database, handler, response_types=("ReportBatchItemFailures",), bisects=bisects)
    world.kinesis.put("1", "2", "3", "4", "5")
    async with world.polling():
        await world.until(lambda: len(world.batches) == 3)
    assert world.batches == [["1", "2", "3", "4", "5"], ["3", "4", "5"], ["4", "5"]]


async def test_an_answer_that_names_an_unknown_record_fails_the_whole_batch(
    database: SqliteDatabase,
) -> None:
    answers: list[Any] = [{"batchItemFailures": [{"itemIdentifier": "77"}]}, None]
    world = World(
        database, lambda _event: answers.pop(0), response_types=("ReportBatchItemFailures",)
    )
    world.kinesis.put("a", "b")
    async with world.polling():
        await world.until(lambda: not answers)
    assert world.batches == [["a", "b"]] * 2


async def test_records_that_are_too_old_are_given_up_before_they_are_tried(
    database: SqliteDatabase,
) -> None:
    world = World(
        database, lambda _event: None, maximum_record_age_seconds=60, on_failure=ON_FAILURE
    )
    world.kinesis.put("old", "older", at=world.clock.now() - 61)
    world.kinesis.put("new")
    async with world.polling():
        await world.until(lambda: bool(world.batches))
    assert world.batches == [["new"]]
    assert world.given_up == [("RecordAgeExceeded", 1, 2)]
    [(_arn, record)] = world.destinations.delivered
    assert "responseContext" not in record
    assert record["requestContext"]["approximateInvokeCount"] == 0


async def test_records_that_fail_for_too_long_are_given_up(database: SqliteDatabase) -> None:
    world = World(
        database, lambda _event: THROTTLED, maximum_record_age_seconds=60, on_failure=ON_FAILURE
    )
    world.kinesis.put("a")
    async with world.polling():
        await world.until(lambda: bool(world.given_up))
    assert world.given_up == [("RecordAgeExceeded", 1, 1)]


async def test_latest_begins_where_the_mapping_was_enabled_even_after_a_restart(
    database: SqliteDatabase,
) -> None:
    world = World(database, lambda _event: None, starting_position="LATEST")
    world.kinesis.put("before", at=world.mapping.last_modified - 5)
    async with world.polling():
        await world.until(lambda: world.kinesis.reads > 1)
    world.kinesis.put("while stopped")
    async with world.polling():
        await world.until(lambda: bool(world.batches))
    assert world.batches == [["while stopped"]]


async def test_what_a_shard_was_split_into_is_read_after_it(database: SqliteDatabase) -> None:
    world = World(database, lambda _event: None, batch_size=1, starting_position="LATEST")
    shards = world.kinesis.shards
    async with world.polling():
        await world.until(lambda: world.kinesis.reads > 0)
        world.kinesis.put("1", "2", "3")
        shards["s0"].is_closed = True
        shards["s1"] = FakeShard("s1", ("s0",))
        shards["s2"] = FakeShard("s2", ("s0",))
        world.kinesis.put("4", shard="s1")
        await world.until(lambda: ["4"] in world.batches)
        shards["s1"].is_closed = shards["s2"].is_closed = True
        shards["s3"] = FakeShard("s3", ("s1", "s2"))
        world.kinesis.put("5", shard="s3")
        await world.until(lambda: ["5"] in world.batches)
    assert world.batches == [["1"], ["2"], ["3"], ["4"], ["5"]]
    assert (await world.position("s0")).position is Position.END
    del shards["s0"]
    async with world.polling():
        reads = world.kinesis.reads
        await world.until(lambda: world.kinesis.reads > reads)
    assert set(await world.checkpoints.of(world.mapping)) == {"s1", "s2", "s3"}
    assert len(world.batches) == 5


async def test_a_stream_that_was_made_anew_is_read_from_its_start(
    database: SqliteDatabase,
) -> None:
    world = World(database, lambda _event: None)
    world.kinesis.put("a", "b")
    async with world.polling():
        await world.until(lambda: bool(world.batches))
        world.kinesis.shards["s0"].records.clear()
        world.kinesis.made = "second"
        world.kinesis.put("c")
        await world.until(lambda: ["c"] in world.batches)


async def test_a_window_gathers_records_until_its_batch_is_full(database: SqliteDatabase) -> None:
    world = World(database, lambda _event: None, batch_size=3, window_seconds=300)
    world.kinesis.put("a")
    async with world.polling():
        await world.until(lambda: world.kinesis.reads > 1)
        world.kinesis.put("b", "c", "d")
        await world.until(lambda: len(world.batches) == 2)
    assert world.batches == [["a", "b", "c"], ["d"]]


async def test_keys_go_side_by_side_and_each_in_order(database: SqliteDatabase) -> None:
    world = World(database, lambda _event: None, batch_size=2, parallelization_factor=4)
    sent = [(key, number) for number in range(6) for key in "abcdef"]
    for key, number in sent:
        world.kinesis.put(f"{key}{number}", key=key)
    async with world.polling():
        await world.until(lambda: sum(map(len, world.batches)) == len(sent))
    assert world.invoker.most_running > 1
    assert max(map(len, world.batches)) <= 2
    handled = [name for batch in world.batches for name in batch]
    for key in "abcdef":
        assert [name for name in handled if name[0] == key] == [f"{key}{n}" for n in range(6)]


Plan = Sequence[tuple[str, bool]]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    outcomes=st.lists(st.sampled_from(["ok", "fail", "throttle", "report"]), max_size=30),
    kills=st.lists(st.integers(1, 6), max_size=4),
    batch_size=st.integers(1, 7),
    lanes=st.integers(1, 3),
    bisects=st.booleans(),
    retries=st.sampled_from([-1, 0, 2]),
)
async def test_no_record_is_lost_whatever_fails_and_whenever_the_node_is_killed(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: list[str],
    kills: list[int],
    batch_size: int,
    lanes: int,
    bisects: bool,
    retries: int,
) -> None:
    """Every record is handled by an invocation that succeeded, or told to the destination."""
    handled: set[str] = set()
    left = list(outcomes)

    def handler(event: dict[str, Any]) -> Any:
        names = [r["kinesis"]["sequenceNumber"] for r in event["Records"]]
        match left.pop() if left else "ok":
            case "fail":
                return FAILURE
            case "throttle":
                return THROTTLED
            case "report":
                failed = names[len(names) // 2]
                handled.update(name for name in names if int(name) < int(failed))
                return {"batchItemFailures": [{"itemIdentifier": failed}]}
        handled.update(names)
        return {}

    count = 12
    every = {str(number) for number in range(1, count + 1)}
    path = tmp_path_factory.mktemp("stream") / "state.db"
    metadata = (tables.metadata, sqlite_queue.metadata)
    async with SqliteDatabase(path, "state", metadata) as database:
        world = World(
            database,
            handler,
            batch_size=batch_size,
            parallelization_factor=lanes,
            bisects=bisects,
            maximum_retry_attempts=retries,
            on_failure=ON_FAILURE,
            response_types=("ReportBatchItemFailures",),
        )

        def given_up() -> set[str]:
            ranges = [range(first, last + 1) for _why, first, last in world.given_up]
            return {str(number) for each in ranges for number in each}

        async def passed() -> set[str]:
            known = await world.checkpoints.of(world.mapping)
            end = int(known["s0"].sequence or 0) if "s0" in known else 0
            return {str(number) for number in range(1, end + 1)}

        for number in range(count):
            world.kinesis.put(str(number), key=str(number % 5))
        for kill in kills:
            async with world.until_killed():
                seen = len(world.invoker.events)
                await world.until(
                    lambda seen=seen, kill=kill: (
                        len(world.invoker.events) >= seen + kill  # type: ignore[misc]  # mypy cannot type lambdas with defaults
                        or handled | given_up() == every
                    )
                )
            assert await passed() <= handled | given_up()
        async with world.polling():
            await world.until(lambda: handled | given_up() == every)
            await world.until(lambda: world.invoker.running == 0)
        assert await passed() <= handled | given_up()
        async with world.polling():
            while await passed() != every:
                await anyio.lowlevel.checkpoint()
