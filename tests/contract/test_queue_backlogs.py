"""Long backlogs: in order, fair, on disk and not in memory; and a store that is in trouble."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, create_engine, text
from support.clock import ManualClock
from support.records import open_state

from lambdabox.backends import queue_lanes, queue_table, schema
from lambdabox.backends.database import SqliteDatabase
from lambdabox.backends.queue_lanes import HELD_ENTRIES, READ_BYTES
from lambdabox.backends.sqlite_queue import LOAN_SECONDS, TableQueue
from lambdabox.queue_ports import Delivery, Message

pytestmark = pytest.mark.anyio

LARGE = 300_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class TroubledDatabase:
    """A `ports.PostingDatabase` whose writes fail when it is told so."""

    def __init__(self, inner: SqliteDatabase) -> None:
        self._inner = inner
        self.trouble: Exception | None = None

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        return await self._inner.read(work)

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        return await self._inner.write(work)

    def post(self, work: Callable[[Connection], Any], done: Callable[[Any], None]) -> None:
        def fail(_connection: Connection) -> Any:
            assert self.trouble is not None
            raise self.trouble

        self._inner.post(work if self.trouble is None else fail, done)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[TroubledDatabase]:
    async with open_state(tmp_path) as inner:
        yield TroubledDatabase(inner)


@pytest.fixture
def queue(database: TroubledDatabase, clock: ManualClock) -> TableQueue:
    return TableQueue(database, clock)


def message(id: str, group: str = "a", body: bytes = b"body") -> Message:
    return Message(id, group, body, enqueued_at=1_795_000_000.25)


async def put(queue: TableQueue, *messages: Message) -> None:
    async with anyio.create_task_group() as tasks:
        for item in messages:
            tasks.start_soon(queue.put, item)


async def receive(queue: TableQueue, limit: int = 10) -> list[str]:
    return [delivery.message.id for delivery in await queue.receive(limit, 0)]


async def drained(queue: TableQueue) -> list[str]:
    """Receive and acknowledge until nothing is left."""
    found: list[str] = []
    while deliveries := await queue.receive(100, 0):
        async with anyio.create_task_group() as tasks:
            for delivery in deliveries:
                found.append(delivery.message.id)
                tasks.start_soon(delivery.ack)
    return found


async def test_a_backlog_longer_than_memory_is_received_once_and_in_order(
    queue: TableQueue, database: TroubledDatabase, clock: ManualClock
) -> None:
    names = [str(number) for number in range(HELD_ENTRIES + 3_000)]
    await put(queue, *map(message, names))
    assert await drained(queue) == names
    await put(queue, *map(message, names[:2_000]))
    assert await drained(TableQueue(database, clock)) == names[:2_000]


async def test_a_group_waits_for_no_others_backlog_however_long(
    queue: TableQueue, database: TroubledDatabase, clock: ManualClock
) -> None:
    await put(queue, *(message(str(number)) for number in range(5_000)))
    await put(queue, message("rare", "b"))
    assert "rare" in await receive(queue, 4)
    assert "rare" in await receive(TableQueue(database, clock), 4)


async def test_what_is_put_behind_a_backlog_comes_after_it(
    queue: TableQueue, database: TroubledDatabase, clock: ManualClock
) -> None:
    await put(queue, *(message(str(number)) for number in range(700)))
    again = TableQueue(database, clock)
    first = await receive(again, 1)
    await put(again, message("last"))
    assert first == ["0"]
    assert (await drained(again))[-1] == "last"


async def test_large_messages_are_not_all_held_in_memory(
    queue: TableQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_lanes, "HELD_BYTES", 2 * READ_BYTES)
    groups = [f"group-{number}" for number in range(12)]
    sent = [message(f"{group}/{n}", group, bytes(LARGE)) for n in range(4) for group in groups]
    await put(queue, *sent)
    received: list[str] = []
    while deliveries := await queue.receive(1, 0):
        assert queue._lanes._bytes <= 4 * READ_BYTES + LARGE
        received += [delivery.message.id for delivery in deliveries]
        for delivery in deliveries:
            assert len(delivery.message.body) == LARGE
            await delivery.ack()
    assert sorted(received) == sorted(item.id for item in sent)


async def test_no_more_of_a_group_is_delivered_than_there_is_room_for(queue: TableQueue) -> None:
    await put(queue, *(message(f"{group}{n}", group) for n in range(9) for group in "abc"))
    rooms = {"a": 2, "b": 0, "c": 4}
    found = await queue.receive(100, 0, room=lambda group: rooms[group])
    groups = [delivery.message.group for delivery in found]
    assert {group: groups.count(group) for group in "abc"} == rooms


async def test_who_waits_for_room_is_woken_when_there_is_some(queue: TableQueue) -> None:
    await put(queue, message("1"))
    rooms = {"a": 0}
    received: list[str] = []

    async def wait() -> None:
        found = await queue.receive(1, 20, room=lambda group: rooms[group])
        received.extend(delivery.message.id for delivery in found)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            rooms["a"] = 1
            queue.notice()
    assert received == ["1"]


async def test_thousands_that_become_due_at_once_all_come(
    queue: TableQueue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_table, "PROMOTED_AT_ONCE", 50)
    names = [str(number) for number in range(240)]
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(lambda item: queue.put(item, delay=5), message(name))
    assert await receive(queue) == []
    clock.advance(5)
    assert sorted(await drained(queue), key=int) == names


async def test_what_cannot_be_stored_is_not_accepted(
    queue: TableQueue, database: TroubledDatabase
) -> None:
    await put(queue, message("before"))
    database.trouble = OSError("no space left")
    with pytest.raises(OSError, match="no space left"):
        await queue.put(message("refused"))
    database.trouble = None
    await queue.put(message("after"))
    assert await receive(queue) == ["before", "after"]


async def test_what_cannot_be_settled_comes_back_when_its_loan_ends(
    queue: TableQueue, database: TroubledDatabase, clock: ManualClock
) -> None:
    await put(queue, message("1"), message("2"))
    first, second = await queue.receive(2, 0)
    database.trouble = OSError("no space left")
    with pytest.raises(OSError, match="no space left"):
        await first.ack()
    with pytest.raises(OSError, match="no space left"):
        await second.retry_later(second.message, 5)
    database.trouble = None
    assert await receive(queue) == []
    clock.advance(LOAN_SECONDS)
    assert sorted(await receive(queue)) == ["1", "2"]


async def test_a_receiver_is_told_of_trouble_and_may_try_again(
    queue: TableQueue, database: TroubledDatabase, clock: ManualClock
) -> None:
    await put(queue, message("1"))
    again = TableQueue(database, clock)
    database.trouble = OSError("input/output error")
    with pytest.raises(OSError, match="input/output error"):
        await again.receive(1, 0)
    database.trouble = None
    assert await receive(again) == ["1"]


async def test_settling_twice_settles_once(queue: TableQueue, clock: ManualClock) -> None:
    await put(queue, message("1"))
    [delivery] = await queue.receive(1, 0)
    await delivery.ack()
    told: list[Exception | None] = []
    delivery.ack_soon(told.append)
    await delivery.retry_later(delivery.message, 0)
    clock.advance(LOAN_SECONDS)
    assert await receive(queue) == []
    assert told == [None]


async def test_every_message_is_delivered_while_others_come_and_go(
    database: TroubledDatabase, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_lanes, "HELD_ENTRIES", 20)
    monkeypatch.setattr(queue_lanes, "READ_ROWS", 7)
    monkeypatch.setattr(queue_lanes, "LOW", 3)
    queue = TableQueue(database, clock)
    total, received = 600, set[str]()

    async def send(group: str) -> None:
        for number in range(total // 3):
            await queue.put(message(f"{group}{number}", group))

    async def settle(delivery: Delivery, number: int) -> None:
        if number % 5 == 0 and delivery.message.retries == 0:
            again = Message(delivery.message.id, delivery.message.group, b"", 1.0, retries=1)
            await delivery.retry_later(again, 0)
        else:
            await delivery.ack()
            received.add(delivery.message.id)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for group in "abc":
                tasks.start_soon(send, group)
            while len(received) < total:
                for number, delivery in enumerate(await queue.receive(9, 0.05)):
                    tasks.start_soon(settle, delivery, number)
                clock.advance(0.001)
    assert await receive(queue) == []


def test_events_of_an_older_release_are_kept(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.begin() as connection:
        _old_queue(connection)
        for id, receipt in (("lent", "'r'"), ("delayed", "NULL")):
            connection.execute(
                text(
                    f"INSERT INTO queue VALUES ('{id}', 'a', x'00', 1.5, 1, 2, 3.5, {receipt})"  # noqa: S608  # as the test wants it
                )
            )
    schema._upgrade(engine, "state")
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT id, body, retries, due_at FROM events")).all()
    engine.dispose()
    assert sorted(map(tuple, rows)) == [("delayed", b"\0", 1, 3.5), ("lent", b"\0", 1, None)]


def _old_queue(connection: Connection) -> None:
    for statement in (
        (
            'CREATE TABLE queue (id TEXT PRIMARY KEY, "group" TEXT, body BLOB, enqueued_at REAL, '
            "retries INTEGER, throttles INTEGER, visible_at REAL, receipt TEXT)"
        ),
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('0002')",
    ):
        connection.execute(text(statement))
