"""Background removal of logs and usage, on a real SQLite file."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import func, select
from support.usage_rows import ONE, SCOPE

from lambdabox.backends.database import SqliteDatabase
from lambdabox.ports import LogLine, LogStream, Usage
from lambdabox.repositories.journal import JournalWriter
from lambdabox.repositories.journal_tables import log_events, metadata, usage
from lambdabox.repositories.log_groups import DAY_MS, GroupKey, LogGroups
from lambdabox.repositories.sums import Sums
from lambdabox.repositories.usage import Choice, UsageReader
from lambdabox.telemetry.retention import STEP, SWEEP_SECONDS, RetentionSweeper

KEY = GroupKey("123456789012", "us-east-1", "/aws/lambda/hello")
STREAM = LogStream(KEY.account, KEY.region, KEY.name, "s")
NOW_MS = 1_795_000_000_000

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class StoppedClock:
    """Stands still; a sleeper is told of, and sleeps until it is cancelled."""

    def __init__(self) -> None:
        self.asleep = anyio.Event()
        self.slept = 0.0

    def now(self) -> float:
        return NOW_MS / 1000

    def monotonic(self) -> float:
        return self.now()

    async def sleep(self, seconds: float) -> None:
        self.slept = seconds
        self.asleep.set()
        await anyio.sleep_forever()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(
        tmp_path / "journal.db", "journal", (metadata,), synchronous="NORMAL"
    ) as opened:
        yield opened


async def fill(database: SqliteDatabase, *, old: int) -> None:
    lines = [LogLine(STREAM, NOW_MS - 2 * DAY_MS, "old")] * old
    await JournalWriter(database).append([*lines, LogLine(STREAM, NOW_MS, "new")], now_ms=NOW_MS)
    await LogGroups(database).set_retention(KEY, 1)


async def left(database: SqliteDatabase) -> list[str]:
    return await database.read(lambda c: list(c.scalars(select(log_events.c.message))))


async def test_more_than_one_step_is_swept_in_one_go(database: SqliteDatabase) -> None:
    await fill(database, old=STEP * 2 + 1)
    sweeper = RetentionSweeper(LogGroups(database), Sums(database), StoppedClock())
    assert await sweeper.sweep() == STEP * 2 + 1
    assert await left(database) == ["new"]


async def test_usage_goes_after_its_days(database: SqliteDatabase) -> None:
    ages = (0, 29, 30, 31, 32)
    entries = [
        Usage(
            account=KEY.account,
            region=KEY.region,
            function_name="hello",
            version="1",
            architecture="arm64",
            memory_mib=128,
            ephemeral_storage_mib=512,
            request_id=str(days),
            started_at=NOW_MS / 1000 - days * 86_400,
            duration_ms=1.0,
            init_ms=None,
            billed_ms=1,
            max_memory_mib=1,
            status="success",
        )
        for days in ages
    ]
    await JournalWriter(database).append([], entries, now_ms=NOW_MS)
    await RetentionSweeper(
        LogGroups(database), Sums(database), StoppedClock(), usage_days=30
    ).sweep()
    kept = await database.read(lambda c: c.scalar(select(func.count()).select_from(usage)))
    assert kept == 3


async def test_minutes_go_before_hours_and_a_series_with_its_last_one(
    database: SqliteDatabase,
) -> None:
    day, now = 86_400, NOW_MS // 1000
    ages = {"today": 0, "last month": 30 * day, "long ago": 401 * day}
    entries = [
        ONE._replace(function_name=name, started_at=float(now - age)) for name, age in ages.items()
    ]
    await JournalWriter(database).append([], entries, now_ms=NOW_MS)
    await RetentionSweeper(LogGroups(database), Sums(database), StoppedClock()).sweep()
    reader = UsageReader(database)

    async def kept(seconds: int) -> set[str]:
        sums = await reader.sums(Choice(SCOPE), seconds=seconds, since=0, until=now + 1)
        return {item.series.function_name for item in sums}

    assert await kept(60) == {"today"}
    assert await kept(3_600) == {"today", "last month"}
    assert await kept(0) == {"today", "last month"}
    assert set(await reader.last_invocations(Choice(SCOPE))) == {"today", "last month"}


async def test_serve_sweeps_at_once_and_then_waits_ten_minutes(database: SqliteDatabase) -> None:
    await fill(database, old=3)
    clock = StoppedClock()
    sweeper = RetentionSweeper(LogGroups(database), Sums(database), clock)
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: sweeper.serve(task_status=task_status))
        with anyio.fail_after(10):
            await clock.asleep.wait()
        tasks.cancel_scope.cancel()
    assert clock.slept == SWEEP_SECONDS
    assert await left(database) == ["new"]
