"""Functions that aggregate over a tumbling window have their state, and a last word."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from source_fakes import FAILURE, START
from test_stream_poller import World, anyio_backend, data_of, database

from lambdabox.backends.database import SqliteDatabase

pytestmark = pytest.mark.anyio

__all__ = ["anyio_backend", "database"]

WINDOW = 30
FIRST = START - START % WINDOW + WINDOW


def counting(event: dict[str, Any]) -> Any:
    return {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}


def told(world: World) -> list[tuple[list[str], int, bool]]:
    """Return data, count before and whether it was the last, of each invocation."""
    return [
        (data_of(event), event["state"].get("count", 0), event["isFinalInvokeForWindow"])
        for event in world.invoker.events
    ]


def windowed(database: SqliteDatabase, **changes: Any) -> World:
    world = World(
        database,
        changes.pop("handler", counting),
        tumbling_window_seconds=WINDOW,
        batch_size=2,
        **changes,
    )
    world.clock.time = FIRST
    return world


async def test_state_goes_from_batch_to_batch_until_the_window_is_over(
    database: SqliteDatabase,
) -> None:
    world = windowed(database)
    world.kinesis.put("a", "b", "c", at=FIRST + 1)
    world.kinesis.put("d", at=FIRST + WINDOW + 1)
    async with world.polling():
        await world.until(lambda: len(world.invoker.events) == 5)
    assert told(world) == [
        (["a", "b"], 0, False),
        (["c"], 2, False),
        ([], 3, True),
        (["d"], 0, False),
        ([], 1, True),
    ]
    first = dict(world.invoker.events[0])
    del first["Records"]
    assert first.pop("window").keys() == {"start", "end"}
    assert first == {
        "state": {},
        "shardId": "s0",
        "eventSourceARN": world.mapping.source_arn,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


async def test_the_state_survives_a_kill(database: SqliteDatabase) -> None:
    def handler(event: dict[str, Any]) -> Any:
        # On a clock this hasty the window may end before the kill: its last invocation is held.
        world.invoker.held = anyio.Event()
        return counting(event)

    world = windowed(database, handler=handler)
    world.kinesis.put("a", "b", at=FIRST + 1)
    async with world.until_killed():
        with anyio.fail_after(10):
            while (known := await world.checkpoints.of(world.mapping)).get("s0") is None or (
                known["s0"].window is None
            ):
                await anyio.lowlevel.checkpoint()
    world.clock.time = FIRST + 5
    world.invoker.handler = counting
    world.invoker.held = None
    world.invoker.events.clear()
    world.kinesis.put("c", at=FIRST + 2)
    async with world.polling():
        await world.until(lambda: bool(told(world)) and told(world)[-1][2])
    assert told(world) == [(["c"], 2, False), ([], 3, True)]


async def test_a_batch_that_failed_gets_the_state_from_before(database: SqliteDatabase) -> None:
    failures = [True]

    def handler(event: dict[str, Any]) -> Any:
        return FAILURE if event["state"] and failures and failures.pop() else counting(event)

    world = windowed(database, handler=handler)
    world.kinesis.put("a", "b", "c", at=FIRST + 1)
    async with world.polling():
        await world.until(lambda: bool(told(world)) and told(world)[-1][2])
    assert told(world) == [
        (["a", "b"], 0, False),
        (["c"], 2, False),
        (["c"], 2, False),
        ([], 3, True),
    ]


async def test_a_state_that_grows_too_large_ends_the_window_early(
    database: SqliteDatabase,
) -> None:
    def handler(event: dict[str, Any]) -> Any:
        return {"state": {"text": "x" * 1_100_000}} if event["Records"] else {}

    world = windowed(database, handler=handler)
    world.kinesis.put("a", at=FIRST + 1)
    async with world.polling():
        await world.until(lambda: len(world.invoker.events) == 2)
    last = world.invoker.events[1]
    assert (last["isFinalInvokeForWindow"], last["isWindowTerminatedEarly"]) == (True, True)
