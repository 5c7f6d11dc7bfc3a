"""Values of metrics: added up in memory, stored with the journal, bounded."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text
from support.clock import ManualClock
from support.usage_rows import NOON, SCOPE, open_journal

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.metrics import THROTTLES, Datum, Metric, of_function
from lambdabox.domain.summaries import Summary
from lambdabox.repositories import metric_points
from lambdabox.repositories.journal import JournalEntry, JournalWriter
from lambdabox.repositories.metric_points import MetricReader
from lambdabox.telemetry import journal as journal_module
from lambdabox.telemetry.function_metrics import FunctionMetrics
from lambdabox.telemetry.journal import BufferedJournal

pytestmark = pytest.mark.anyio

KEY = FunctionKey(SCOPE.account, SCOPE.region, "hello")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_journal(tmp_path) as opened:
        yield opened


def own(name: str, *dimensions: tuple[str, str], account: str = SCOPE.account) -> Metric:
    return Metric(account, SCOPE.region, "Shop", name, dimensions)


async def stored(database: SqliteDatabase, metric: Metric) -> list[tuple[int, Summary]]:
    reader = MetricReader(database)
    series = await reader.find(metric)
    if series is None:
        return []
    points = await reader.points([series.id], seconds=60, since=0, until=NOON * 2)
    return [(point.start, point.values) for point in points]


async def test_values_are_stored_by_the_minute_in_which_they_were_taken(
    database: SqliteDatabase,
) -> None:
    clock = ManualClock(float(NOON))
    journal = BufferedJournal(JournalWriter(database), clock)
    metrics = FunctionMetrics(journal)
    metrics.add(KEY, THROTTLES, resource="7")
    clock.advance(59.0)
    metrics.add(KEY, THROTTLES, count=4)
    clock.advance(1.0)
    metrics.add(KEY, THROTTLES)
    await journal.flush()
    found = await stored(database, of_function(KEY, THROTTLES))
    assert [(start, values.total) for start, values in found] == [(NOON, 5.0), (NOON + 60, 1.0)]
    (version,) = await stored(database, of_function(KEY, THROTTLES, "hello:7"))
    assert version[1] == Summary.of([1.0])


async def test_a_flush_of_values_alone_writes_them(database: SqliteDatabase) -> None:
    journal = BufferedJournal(JournalWriter(database), ManualClock(float(NOON)))
    for _ in range(3):
        journal.measure(own("n"), 2.0)
        await journal.flush()
    ((_, values),) = await stored(database, own("n"))
    assert (values.count, values.total) == (3, 6.0)


async def let(writer: "HeldWriter") -> None:
    writer.let.set()


class HeldWriter(JournalWriter):
    """Writes when it is let, and reports each attempt."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self.begun, self.let = anyio.Event(), anyio.Event()
        self.fails = False

    async def append_entries(self, entries: Sequence[JournalEntry], *, now_ms: int) -> None:
        self.begun.set()
        await self.let.wait()
        if self.fails:
            self.fails = False
            raise OSError("the disk is full")
        await super().append_entries(entries, now_ms=now_ms)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_flush_waits_for_values_that_are_on_their_way(
    database: SqliteDatabase, fails: bool
) -> None:
    writer = HeldWriter(database)
    writer.fails = fails
    journal = BufferedJournal(writer, ManualClock(float(NOON)))
    journal.measure(own("n"), 2.0)

    async def flush_first() -> None:
        with suppress(OSError):
            await journal.flush()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flush_first)
        await writer.begun.wait()
        tasks.start_soon(let, writer)
        await journal.flush()
        ((_, values),) = await stored(database, own("n"))
    assert values.count == 1


async def test_too_many_metrics_at_once_are_counted_and_dropped(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MEASURED", 2)
    journal = BufferedJournal(JournalWriter(database), ManualClock(float(NOON)))
    for number in range(5):
        journal.measure(own(f"n{number}"), 1.0)
    assert journal.dropped_values == 3
    await journal.flush()
    journal.measure(own("n4"), 1.0)
    await journal.flush()
    assert await stored(database, own("n4"))


async def test_an_account_has_a_bounded_number_of_metrics_and_the_platform_all(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_points, "MAX_SERIES", 3)
    writer = JournalWriter(database)

    def data(*metrics: Metric) -> list[Datum]:
        return [Datum(metric, float(NOON), Summary.of([1.0])) for metric in metrics]

    await writer.append_entries(data(own("a"), own("b")), now_ms=0)
    flood = [own("c", ("id", str(number))) for number in range(10)]
    neighbour = own("a", account="999999999999")
    entries = data(*flood, neighbour, of_function(KEY, THROTTLES), own("a"))
    await writer.append_entries(entries, now_ms=0)
    names = [series.metric.name for series in await MetricReader(database).series(SCOPE)]
    assert sorted(names) == ["Throttles", "a", "b", "c"]
    assert await stored(database, neighbour)
    ((_, values),) = await stored(database, own("a"))
    assert values.count == 2, "one that exists goes on"


async def test_sums_are_read_through_their_key(database: SqliteDatabase) -> None:
    plans = []
    for table in ("usage_rollups", "metric_points"):
        query = (
            f"EXPLAIN QUERY PLAN SELECT * FROM {table} JOIN json_each('[]') ON"  # noqa: S608  # names of ours
            " series_id = json_extract(value, '$[0]') AND seconds = json_extract(value, '$[1]')"
            " AND start = json_extract(value, '$[2]')"
        )
        rows = await database.read(lambda c, query=query: c.execute(text(query)).all())  # type: ignore[misc]  # a default binds the loop's value
        plans.append(" ".join(row.detail for row in rows))
    for plan in plans:
        assert "USING PRIMARY KEY (series_id=? AND seconds=? AND start=?)" in plan
