"""Lanes of a shard go on without each other, and the checkpoint is where the slowest is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_fakes import FAILURE
from test_stream_poller import THROTTLED, World, data_of

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends import sqlite_queue
from lambdabox.backends.database import SqliteDatabase
from lambdabox.events import lanes
from lambdabox.events.checkpoints import Position
from lambdabox.repositories import tables

pytestmark = pytest.mark.anyio

EXPIRED = AwsCallError("kinesis", "GetRecords", "ExpiredIteratorException", "It is too old.")
METADATA = (tables.metadata, sqlite_queue.metadata)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "state.db", "state", METADATA) as database:
        yield database


class Stubborn:
    """Fails whatever has a record of the key `a`, as long as it is to."""

    def __init__(self) -> None:
        self.fails = True
        self.handled: list[str] = []

    def __call__(self, event: dict[str, Any]) -> Any:
        names = data_of(event)
        if self.fails and any(name.startswith("a") for name in names):
            return FAILURE
        self.handled += names
        return None


# Of two lanes, `a` is in one and `d` and `e` in the other.
KEYS = ("d", "e", "a", "d", "e", "a", "d")
OTHERS = ["d0", "e1", "d3", "e4", "d6"]


def world_of(database: SqliteDatabase, handler: Stubborn) -> World:
    world = World(database, handler, batch_size=2, parallelization_factor=2)
    for number, key in enumerate(KEYS):
        world.kinesis.put(f"{key}{number}", key=key)
    return world


def test_the_keys_are_in_the_lanes_that_tests_want() -> None:
    made = lanes.Lanes("s", 2, 1, None, None)  # type: ignore[arg-type]  # nothing is handled

    class Keyed:
        def __init__(self, key: str) -> None:
            self.key = key

    in_lanes = [made._lane(Keyed(key)) for key in "ade"]  # type: ignore[arg-type]  # a key is all
    assert in_lanes[0] is not in_lanes[1]
    assert in_lanes[1] is in_lanes[2]


async def at(world: World, sequence: str) -> None:
    """Wait until the checkpoint is here."""

    async def place() -> str | None:
        known = (await world.checkpoints.of(world.mapping)).get("s0")
        return known.sequence if known else None

    with anyio.fail_after(10):
        while await place() != sequence:
            await anyio.lowlevel.checkpoint()


async def test_a_lane_that_fails_holds_up_its_own_keys_alone(database: SqliteDatabase) -> None:
    handler = Stubborn()
    world = world_of(database, handler)
    async with world.polling():
        await world.until(lambda: handler.handled == OTHERS)
        await at(world, "2")  # before the first `a`, which is the third record
        world.kinesis.put("d7", key="d")
        await world.until(lambda: handler.handled == [*OTHERS, "d7"])
        handler.fails = False
        await world.until(lambda: len(handler.handled) == 8)
        await at(world, "8")
    assert handler.handled[-2:] == ["a2", "a5"]


async def test_a_node_that_is_killed_repeats_from_the_slowest_lane_on(
    database: SqliteDatabase,
) -> None:
    handler = Stubborn()
    world = world_of(database, handler)
    async with world.until_killed():
        await world.until(lambda: handler.handled == OTHERS)
        await at(world, "2")
    handler.fails, handler.handled = False, []
    async with world.polling():
        await at(world, "7")
    assert sorted(handler.handled) == ["a2", "a5", "d3", "d6", "e4"]


async def test_a_lane_does_not_fall_behind_without_end(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "AHEAD_RECORDS", 10)
    handler = Stubborn()
    world = World(database, handler, batch_size=1, parallelization_factor=2)
    world.kinesis.put("a", key="a")
    for number in range(30):
        world.kinesis.put(f"d{number}", key="d")
    async with world.polling():
        await world.until(lambda: len(handler.handled) >= 9)
        before = len(world.invoker.events)
        await world.until(lambda: len(world.invoker.events) > before + 5)
        assert len(handler.handled) <= 13  # what was read with the tenth
        handler.fails = False
        await world.until(lambda: len(handler.handled) == 31)


async def test_a_shard_ends_when_all_its_lanes_have(database: SqliteDatabase) -> None:
    handler = Stubborn()
    world = world_of(database, handler)
    world.kinesis.shards["s0"].is_closed = True
    async with world.polling():
        await world.until(lambda: handler.handled == OTHERS)
        await at(world, "2")
        handler.fails = False
        with anyio.fail_after(10):
            while (await world.position()).position is not Position.END:
                await anyio.lowlevel.checkpoint()
    assert len(handler.handled) == 7


async def test_reading_goes_on_where_it_was_after_trouble(database: SqliteDatabase) -> None:
    """A new iterator begins after what was read, not where the slowest lane is."""
    handler = Stubborn()
    world = world_of(database, handler)
    async with world.polling():
        await world.until(lambda: handler.handled == OTHERS)
        world.kinesis.errors.append(EXPIRED)
        world.kinesis.put("d7", key="d")
        await world.until(lambda: "d7" in handler.handled)
    assert handler.handled == [*OTHERS, "d7"]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    outcomes=st.lists(st.sampled_from(["ok", "fail", "throttle", "report"]), max_size=40),
    keys=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=25),
    batch_size=st.integers(1, 5),
    width=st.integers(2, 10),
    bisects=st.booleans(),
)
async def test_each_key_is_handled_in_order_whatever_fails(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: list[str],
    keys: list[str],
    batch_size: int,
    width: int,
    bisects: bool,
) -> None:
    handled: dict[str, list[int]] = {}
    left = list(outcomes)

    def take(records: list[Any]) -> None:
        for record in records:
            number = int(record["kinesis"]["sequenceNumber"])
            handled.setdefault(record["kinesis"]["partitionKey"], []).append(number)

    def handler(event: dict[str, Any]) -> Any:
        records = event["Records"]
        match left.pop() if left else "ok":
            case "fail":
                return FAILURE
            case "throttle":
                return THROTTLED
            case "report":
                index = len(records) // 2
                take(records[:index])
                failed = records[index]["kinesis"]["sequenceNumber"]
                return {"batchItemFailures": [{"itemIdentifier": failed}]}
        take(records)
        return {}

    path = tmp_path_factory.mktemp("lanes") / "state.db"
    async with SqliteDatabase(path, "state", METADATA) as database:
        world = World(
            database,
            handler,
            batch_size=batch_size,
            parallelization_factor=width,
            bisects=bisects,
            response_types=("ReportBatchItemFailures",),
        )
        wanted: dict[str, list[int]] = {}
        for number, key in enumerate(keys, 1):
            world.kinesis.put("x", key=key)
            wanted.setdefault(key, []).append(number)
        async with world.polling():
            await at(world, str(len(keys)))
    assert handled == wanted
