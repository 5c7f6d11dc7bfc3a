"""The buffer between invocations and the journal's database, on a real SQLite file."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from sqlalchemy import Connection, func, select

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.limits import LOG_EVENT_BYTES
from lambdabox.ports import Database, LogLine, LogStream, Usage
from lambdabox.repositories.journal import JournalWriter
from lambdabox.repositories.journal_tables import (
    log_events,
    log_groups,
    log_streams,
    metadata,
    usage,
)
from lambdabox.repositories.log_groups import GroupKey, LogGroups
from lambdabox.telemetry.journal import BufferedJournal

T = TypeVar("T")

STREAM = LogStream("123456789012", "us-east-1", "/aws/lambda/hello", "2026/11/23/[$LATEST]ab")
NOW_MS = 1_795_000_000_000

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeClock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return NOW_MS / 1000

    def monotonic(self) -> float:
        return self.now()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.lowlevel.checkpoint()


class FailingDatabase:
    """Passes on to a real database, after failing a number of writes."""

    def __init__(self, database: Database, failures: int) -> None:
        self._database = database
        self.failures = failures

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self.failures:
            self.failures -= 1
            raise OSError("No space left on device")
        return await self._database.write(work)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(
        tmp_path / "journal.db", "journal", (metadata,), synchronous="NORMAL"
    ) as opened:
        yield opened


def make_journal(
    database: Database, *, clock: FakeClock | None = None, buffer_bytes: int = 1 << 26
) -> BufferedJournal:
    return BufferedJournal(JournalWriter(database), clock or FakeClock(), buffer_bytes=buffer_bytes)


def line(message: str, *, stream: LogStream = STREAM, at: int = NOW_MS) -> LogLine:
    return LogLine(stream, at, message)


def usage_of(request_id: str, error_type: str | None = None) -> Usage:
    return Usage(
        account=STREAM.account,
        region=STREAM.region,
        function_name="hello",
        version="$LATEST",
        architecture="x86_64",
        memory_mib=128,
        ephemeral_storage_mib=512,
        request_id=request_id,
        started_at=NOW_MS / 1000,
        duration_ms=1.5,
        init_ms=None,
        billed_ms=2,
        max_memory_mib=40,
        status="error" if error_type else "success",
        error_type=error_type,
    )


async def messages(database: Database) -> list[str]:
    query = select(log_events.c.message).order_by(log_events.c.id)
    return await database.read(lambda c: list(c.scalars(query)))


async def count(database: Database, table: object) -> int:
    return await database.read(lambda c: c.scalar(select(func.count()).select_from(table)) or 0)  # type: ignore[arg-type]  # any of the journal's tables


@asynccontextmanager
async def serving(journal: BufferedJournal) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: journal.serve(task_status=task_status))
        yield
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until it holds; a deadline instead of a guess."""
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_a_line_is_readable_after_flush(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    journal.log(line("hello"))
    await journal.flush()
    assert await messages(database) == ["hello"]


async def test_the_group_and_stream_are_made_by_the_first_line(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    journal.log(line("one", at=NOW_MS + 5))
    journal.log(line("two", at=NOW_MS))
    await journal.flush()
    group = await database.read(lambda c: c.execute(select(log_groups)).one())
    stream = await database.read(lambda c: c.execute(select(log_streams)).one())
    assert (group.name, group.created_ms, group.retention_days) == (STREAM.group, NOW_MS, None)
    assert (stream.name, stream.first_event_ms, stream.last_event_ms) == (
        STREAM.name,
        NOW_MS,
        NOW_MS + 5,
    )
    assert stream.stored_bytes == 2 * (3 + 26)


async def test_the_group_is_made_again_after_it_was_deleted(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    journal.log(line("before"))
    await journal.flush()
    assert await LogGroups(database).delete(GroupKey(STREAM.account, STREAM.region, STREAM.group))
    journal.log(line("after"))
    await journal.flush()
    visible = select(log_events.c.message).join(
        log_streams, (log_streams.c.id == log_events.c.stream_id) & (log_streams.c.group_id > 0)
    )
    assert await database.read(lambda c: list(c.scalars(visible))) == ["after"]


async def test_serve_writes_without_being_asked(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    async with serving(journal):
        journal.log(line("hello"))
        with anyio.fail_after(10):
            while not await messages(database):
                await anyio.lowlevel.checkpoint()


async def test_a_cancelled_flusher_writes_everything_first(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    async with serving(journal):
        for number in range(12_345):
            journal.log(line(str(number)))
        journal.usage(usage_of("last"))
    assert await messages(database) == [str(number) for number in range(12_345)]
    assert await count(database, usage) == 1


async def test_a_cancelled_flusher_retries_a_failed_write(database: SqliteDatabase) -> None:
    journal = make_journal(FailingDatabase(database, failures=3))
    async with serving(journal):
        journal.log(line("kept"))
    assert await messages(database) == ["kept"]


async def test_a_failed_write_is_retried_without_loss_or_repetition(
    database: SqliteDatabase,
) -> None:
    clock, failing = FakeClock(), FailingDatabase(database, failures=3)
    journal = make_journal(failing, clock=clock)
    async with serving(journal):
        journal.log(line("one"))
        await until(lambda: failing.failures == 0)
        journal.log(line("two"))
    assert await messages(database) == ["one", "two"]
    assert clock.slept == [0.1, 0.2, 0.4]


async def test_flush_raises_when_the_database_fails_and_keeps_the_batch(
    database: SqliteDatabase,
) -> None:
    journal = make_journal(FailingDatabase(database, failures=1))
    journal.log(line("kept"))
    with pytest.raises(OSError, match="No space"):
        await journal.flush()
    await journal.flush()
    assert await messages(database) == ["kept"]


async def test_overload_is_bounded_counted_and_told_once(database: SqliteDatabase) -> None:
    failing = FailingDatabase(database, failures=1)
    journal = make_journal(failing, buffer_bytes=100_000)
    for _ in range(1_000):
        journal.log(line("x" * 1_000))
    with pytest.raises(OSError, match="No space"):
        await journal.flush()
    held = 1_000 - journal.dropped_lines
    assert 70 <= held < 100
    await journal.flush()
    *kept, told = await messages(database)
    assert kept == ["x" * 1_000] * held
    report = json.loads(told)
    assert report["type"] == "platform.logsDropped"
    assert report["record"]["droppedRecords"] == journal.dropped_lines
    assert report["record"]["droppedBytes"] == journal.dropped_lines * 1_000
    journal.log(line("room again"))
    await journal.flush()
    assert (await messages(database))[-2:] == [told, "room again"]


async def test_flush_returns_while_lines_go_on_being_dropped(database: SqliteDatabase) -> None:
    journal = make_journal(database, buffer_bytes=2_000)

    class Noisy:
        async def read(self, work: Callable[[Connection], T]) -> T:
            return await database.read(work)

        async def write(self, work: Callable[[Connection], T]) -> T:
            for _ in range(20):
                journal.log(line("x" * 500))
            return await database.write(work)

    journal._writer = JournalWriter(Noisy())
    journal.log(line("first"))
    with anyio.fail_after(30):
        await journal.flush()
        await journal.flush()
    assert (await messages(database))[0] == "first"
    assert journal.dropped_lines > 0


async def test_losses_are_told_at_an_orderly_stop(database: SqliteDatabase) -> None:
    failing = FailingDatabase(database, failures=1)
    journal = make_journal(failing, buffer_bytes=2_000)
    journal.log(line("kept"))
    with pytest.raises(OSError, match="No space"):
        await journal.flush()
    for _ in range(10):
        journal.log(line("x" * 500))
    async with serving(journal):
        pass
    assert json.loads((await messages(database))[-1])["record"]["droppedRecords"] > 0


async def test_a_wide_character_counts_with_the_memory_it_takes(database: SqliteDatabase) -> None:
    journal = make_journal(database, buffer_bytes=100_000)
    journal.log(line("\U0001f600" + "x" * 30_000))
    assert journal.dropped_lines == 1


async def test_usage_is_kept_when_lines_are_dropped(database: SqliteDatabase) -> None:
    journal = make_journal(database, buffer_bytes=10_000)
    for _ in range(50):
        journal.log(line("x" * 1_000))
        journal.usage(usage_of("r"))
    await journal.flush()
    assert journal.dropped_lines > 0
    assert await count(database, usage) == 50


async def test_usage_is_bounded_too(database: SqliteDatabase) -> None:
    journal = make_journal(database, buffer_bytes=0)
    for _ in range(20_000):
        journal.usage(usage_of("r"))
    assert 0 < journal.dropped_usages < 20_000


@pytest.mark.parametrize(
    ("hostile", "stored"),
    [
        pytest.param("a\ud800b", "a?b", id="lone surrogate"),
        pytest.param("a\x00b", "a\ufffdb", id="NUL"),
        pytest.param("é" * LOG_EVENT_BYTES, "é" * (LOG_EVENT_BYTES // 2), id="too long"),
        pytest.param("a\r\n\u2028\x1b[31m", "a\r\n\u2028\x1b[31m", id="control characters stay"),
    ],
)
async def test_hostile_text_does_not_hold_back_the_batch(
    database: SqliteDatabase, hostile: str, stored: str
) -> None:
    journal = make_journal(database)
    journal.log(line(hostile))
    journal.usage(usage_of("r", error_type=hostile))
    journal.log(line("next"))
    await journal.flush()
    assert await messages(database) == [stored, "next"]


@pytest.mark.parametrize("at", [-1, 1 << 63, 1 << 90])
async def test_an_absurd_timestamp_becomes_now(database: SqliteDatabase, at: int) -> None:
    journal = make_journal(database)
    journal.log(line("when?", at=at))
    await journal.flush()
    stored = await database.read(lambda c: c.scalar(select(log_events.c.timestamp_ms)))
    assert stored == NOW_MS


async def test_concurrent_flushes_each_see_their_own_lines(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    missing: list[str] = []

    async def write_then_read(name: str) -> None:
        journal.log(line(name))
        await journal.flush()
        if name not in await messages(database):
            missing.append(name)

    async with serving(journal), anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(write_then_read, f"line {number}")
    assert missing == []
    assert await count(database, log_events) == 30


async def test_a_hundred_thousand_lines_arrive(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    streams = [LogStream("1" * 12, "us-east-1", "/aws/lambda/f", f"s{n}") for n in range(20)]
    started = time.perf_counter()
    for number in range(100_000):
        journal.log(line("INFO request handled in 12.3 ms" + "." * 60, stream=streams[number % 20]))
    taken = time.perf_counter()
    await journal.flush()
    finished = time.perf_counter()
    assert await count(database, log_events) == 100_000
    print(f"lines a second: {100_000 / (taken - started):,.0f} taken,", end=" ")
    print(f"{100_000 / (finished - taken):,.0f} written")  # shown with pytest -s


async def test_what_an_invocation_ends_with_keeps_its_place(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    for number in range(2):
        journal.log(line(f"START {number}"))
        journal.ended([line(f"END {number}"), line(f"REPORT {number}")], usage_of(f"r{number}"))
    await journal.flush()
    kinds = ("START", "END", "REPORT")
    assert await messages(database) == [f"{kind} {n}" for n in range(2) for kind in kinds]
    assert await count(database, usage) == 2


async def test_what_an_invocation_ends_with_is_bounded_and_its_usage_kept(
    database: SqliteDatabase,
) -> None:
    journal = make_journal(database, buffer_bytes=5_000)
    for _ in range(50):
        journal.ended([line("END"), line("REPORT")], usage_of("r"))
    await journal.flush()
    assert 0 < journal.dropped_lines < 100
    assert await count(database, usage) == 50


async def test_a_hostile_error_type_does_not_hold_back_the_batch(database: SqliteDatabase) -> None:
    journal = make_journal(database)
    journal.ended([line("END")], usage_of("r", error_type="\ud800\x00" + "x" * 1_000))
    await journal.flush()
    assert await messages(database) == ["END"]
    assert await count(database, usage) == 1
