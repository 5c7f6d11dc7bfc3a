"""What the database's callers are told when the disk is full or one of them is gone."""

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    insert,
    select,
    text,
)
from sqlalchemy.exc import OperationalError

from lambdabox.backends.database import SqliteDatabase
from lambdabox.backends.schema import SchemaError

pytestmark = pytest.mark.anyio

metadata = MetaData()
notes = Table(
    "notes", metadata, Column("id", Integer, primary_key=True), Column("body", LargeBinary)
)
DEADLINE = 20.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def opened(folder: Path) -> SqliteDatabase:
    return SqliteDatabase(folder / "notes.db", "state", (metadata,), synchronous="NORMAL")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with opened(tmp_path) as database:
        yield database


def adding(id: int, body: bytes = b"") -> Callable[[Connection], object]:
    return lambda connection: connection.execute(insert(notes).values(id=id, body=body))


def all_ids(connection: Connection) -> list[int]:
    return list(connection.scalars(select(notes.c.id).order_by(notes.c.id)))


class Gate:
    """Work that lasts until it is told to end, so that what comes after it gathers."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()

    def work(self, _connection: Connection) -> None:
        self._entered.set()
        assert self._opened.wait(DEADLINE)

    async def entered(self) -> None:
        assert await anyio.to_thread.run_sync(self._entered.wait, DEADLINE)

    def open(self) -> None:
        self._opened.set()


async def gathered(database: SqliteDatabase, count: int) -> None:
    with anyio.fail_after(DEADLINE):
        while database._waiting.qsize() < count:
            await anyio.lowlevel.checkpoint()


async def test_a_full_disk_fails_what_it_concerns_and_no_failed_write_is_acknowledged(
    database: SqliteDatabase,
) -> None:
    """SQLite may undo a whole transaction by itself when the disk is full."""

    def fill(connection: Connection) -> None:
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count={pages + 40}"))

    acknowledged: set[int] = set()
    failed: set[int] = set()
    gate = Gate()

    async def write(id: int) -> None:
        try:
            await database.write(adding(id, b"x" * 40_000))
            acknowledged.add(id)
        except OperationalError:
            failed.add(id)

    await database.write(fill)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, gate.work)
        await gate.entered()
        for id in range(20):
            tasks.start_soon(write, id)
        await gathered(database, 20)
        gate.open()
    assert failed
    assert acknowledged | failed == set(range(20))
    assert acknowledged <= set(await database.read(all_ids))
    await database.write(lambda c: c.execute(text("PRAGMA max_page_count=1000000")))
    await write(99)
    assert 99 in acknowledged
    assert 99 in await database.read(all_ids)


async def test_an_error_whose_caller_is_gone_harms_nobody(database: SqliteDatabase) -> None:
    def fail(_connection: Connection) -> None:
        raise ValueError("nobody listens")

    gate = Gate()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, gate.work)
        await gate.entered()
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(database.write, fail)
            await gathered(database, 1)
            leaving.cancel_scope.cancel()
        gate.open()
    await database.write(adding(1))
    assert await database.read(all_ids) == [1]


async def test_slow_readers_hold_up_neither_the_loop_nor_the_writes(
    database: SqliteDatabase,
) -> None:
    gate = Gate()
    async with anyio.create_task_group() as tasks:
        for _ in range(8):  # more than there are readers
            tasks.start_soon(database.read, gate.work)
        await gate.entered()
        with anyio.fail_after(DEADLINE):
            await database.write(adding(1))
        gate.open()


async def test_a_directory_where_the_file_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.db").mkdir()
    with pytest.raises(SchemaError, match="cannot be used as a database"):
        async with opened(tmp_path):
            pytest.fail("it opened")


async def test_a_database_that_was_not_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await opened(tmp_path).read(all_ids)
