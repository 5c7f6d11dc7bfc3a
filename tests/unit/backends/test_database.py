"""The database commits callers together, and keeps each one's failure to itself."""

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, insert, select, text

from lambdabox.backends.database import SqliteDatabase
from lambdabox.backends.schema import SchemaError

METADATA = MetaData()
NUMBERS = Table("numbers", METADATA, Column("number", Integer, primary_key=True))


class Refused(Exception):
    """What a caller's own work raises."""


def run(path: Path, test: Callable[[SqliteDatabase], Awaitable[None]]) -> None:
    async def main() -> None:
        async with SqliteDatabase(path / "test.db", "state", (METADATA,)) as database:
            await test(database)

    anyio.run(main)


def store(number: int) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(insert(NUMBERS).values(number=number))

    return work


def stored(connection: Connection) -> list[int]:
    return list(connection.scalars(select(NUMBERS.c.number).order_by(NUMBERS.c.number)))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    async def test(database: SqliteDatabase) -> None:
        await database.write(store(1))
        assert await database.read(stored) == [1]
        assert await database.write(stored) == [1]

    run(tmp_path, test)


def test_writes_that_wait_together_are_committed_together(tmp_path: Path) -> None:
    async def test(database: SqliteDatabase) -> None:
        seen: list[int] = []

        def count_others(connection: Connection) -> None:
            seen.append(connection.scalar(select(func.count()).select_from(NUMBERS)) or 0)

        async def write(number: int) -> None:
            await database.write(store(number))
            await database.read(count_others)

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(write, number)
        # Were each committed alone, early readers would have seen few of the others.
        assert min(seen) > 10
        assert max(seen) == 100

    run(tmp_path, test)


def test_one_callers_error_undoes_only_its_own_work(tmp_path: Path) -> None:
    async def test(database: SqliteDatabase) -> None:
        def half(connection: Connection) -> None:
            store(-1)(connection)
            raise Refused

        refused: list[bool] = []

        async def fail() -> None:
            with pytest.raises(Refused):
                await database.write(half)
            refused.append(True)

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(database.write, store(number))
                tasks.start_soon(fail)
        assert len(refused) == 10
        assert await database.read(stored) == list(range(10))

    run(tmp_path, test)


def test_a_broken_constraint_is_its_callers_alone(tmp_path: Path) -> None:
    async def test(database: SqliteDatabase) -> None:
        failed: list[str] = []

        async def write(number: int) -> None:
            try:
                await database.write(store(number))
            except Exception as exc:  # whatever the driver calls it
                failed.append(type(exc).__name__)

        async with anyio.create_task_group() as tasks:
            for number in (1, 2, 2, 3):
                tasks.start_soon(write, number)
        assert failed == ["IntegrityError"]
        assert await database.read(stored) == [1, 2, 3]

    run(tmp_path, test)


def test_a_write_whose_caller_is_cancelled_does_not_disturb_the_others(tmp_path: Path) -> None:
    async def test(database: SqliteDatabase) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(database.write, store(number))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await database.write(store(100))
        assert 100 in await database.read(stored)

    run(tmp_path, test)


def test_a_reader_sees_one_snapshot_while_others_write(tmp_path: Path) -> None:
    async def test(database: SqliteDatabase) -> None:
        await database.write(store(1))

        def read_twice(connection: Connection) -> tuple[list[int], list[int]]:
            first = stored(connection)
            anyio.from_thread.run(database.write, store(2))
            return first, stored(connection)

        assert await database.read(read_twice) == ([1], [1])
        assert await database.read(stored) == [1, 2]

    run(tmp_path, test)


def test_a_closed_database_refuses_writes(tmp_path: Path) -> None:
    async def main() -> None:
        database = SqliteDatabase(tmp_path / "test.db", "state", (METADATA,))
        async with database:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await database.write(store(1))

    anyio.run(main)


def test_writes_that_were_taken_are_finished_before_it_closes(tmp_path: Path) -> None:
    async def leave(database: SqliteDatabase) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(database.write, store(number))

    async def look(database: SqliteDatabase) -> None:
        assert len(await database.read(stored)) == 20

    run(tmp_path, leave)
    run(tmp_path, look)


def test_a_schema_newer_than_the_code_is_refused(tmp_path: Path) -> None:
    async def age(database: SqliteDatabase) -> None:
        newer = text("UPDATE alembic_version SET version_num = '9999'")
        await database.write(lambda connection: connection.execute(newer))

    async def never(_database: SqliteDatabase) -> None:
        raise AssertionError("it opened")

    run(tmp_path, age)
    with pytest.raises(SchemaError, match="has schema 9999"):
        run(tmp_path, never)


WRITER = """
import sys
from pathlib import Path
import anyio
sys.path.insert(0, {here!r})
from test_database import METADATA, SqliteDatabase, store

async def main():
    async with SqliteDatabase(Path({path!r}), "state", (METADATA,)) as database:
        async def write(start):
            number = start
            while True:
                await database.write(store(number))
                print(number, flush=True)
                number += 8
        async with anyio.create_task_group() as tasks:
            for start in range(8):
                tasks.start_soon(write, start)

anyio.run(main)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = WRITER.format(here=str(Path(__file__).parent), path=str(tmp_path / "test.db"))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().rpartition(b"\n")[0]  # the last line may be cut off
        acknowledged += [int(line) for line in rest.splitlines()]

    async def look(database: SqliteDatabase) -> None:
        assert set(acknowledged) <= set(await database.read(stored))

    run(tmp_path, look)
