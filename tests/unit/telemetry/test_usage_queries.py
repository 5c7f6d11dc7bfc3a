"""Figures of functions, from known usage records on a real SQLite file."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.usage_rows import NOON, ONE, SCOPE, STREAM, lasting, open_journal

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.metrics import CONCURRENT_EXECUTIONS, THROTTLES, Datum, of_function
from lambdabox.domain.summaries import Summary
from lambdabox.ports import LogLine
from lambdabox.repositories.journal import JournalWriter
from lambdabox.repositories.journal_reads import GroupQuery, JournalReader
from lambdabox.repositories.usage_records import RecordQuery, enclosed
from lambdabox.telemetry.figures import Period
from lambdabox.telemetry.usage_queries import UsageQueries

pytestmark = pytest.mark.anyio

KEY = FunctionKey(SCOPE.account, SCOPE.region, "hello")
HOUR = Period(NOON, NOON + 3_600, 3_600)
MINUTES = Period(NOON, NOON + 180, 60)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_journal(tmp_path) as opened:
        yield opened


@pytest.fixture
def queries(database: SqliteDatabase) -> UsageQueries:
    async def flush() -> None:
        pass

    return UsageQueries(database, flush, ManualClock(NOON + 600.0))


async def test_the_figures_of_known_records(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    entries = [
        *lasting([10.0] * 98),
        ONE._replace(duration_ms=200.0, init_ms=150.0, billed_ms=350, max_memory_mib=90),
        ONE._replace(duration_ms=3_000.0, status="timeout", billed_ms=3_000),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    first, second, third = await queries.over_time(SCOPE, MINUTES, function_name="hello")
    assert (first.start, second.start, third.start) == (NOON, NOON + 60, NOON + 120)
    assert (first.invocations, first.errors, first.timeouts) == (100, 1, 1)
    assert (first.cold_starts, first.init_average_ms, first.init_max_ms) == (1, 150.0, 150.0)
    assert first.duration_average_ms == pytest.approx(41.8)
    assert (first.duration_min_ms, first.duration_max_ms) == (10.0, 3_000.0)
    assert first.p50_ms == pytest.approx(10.0, rel=0.01)
    assert first.p99_ms == pytest.approx(200.0, rel=0.01)
    assert (first.memory_mib, first.memory_used_mib) == (1024, 90)
    assert first.memory_used_average_mib == pytest.approx(60.3)
    assert first.billed_ms == 98 * 100 + 350 + 3_000
    assert first.cost_usd == Decimal("13.150") * Decimal("0.0000166667") + 100 * Decimal(
        "0.0000002"
    )
    assert second.invocations == third.invocations == 0


async def test_batches_add_up_whatever_their_order(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    writer = JournalWriter(database)
    for at in (NOON + 61.0, NOON, NOON + 59.999, NOON + 60.0):
        await writer.append([], lasting([at - NOON + 1], at=at), now_ms=0)
    steps = await queries.over_time(SCOPE, MINUTES)
    assert [step.invocations for step in steps] == [2, 2, 0]
    (hour,) = await queries.over_time(SCOPE, HOUR)
    assert (hour.invocations, hour.duration_min_ms, hour.duration_max_ms) == (4, 1.0, 62.0)


async def test_versions_and_aliases_are_told_apart(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    entries = [
        ONE,
        ONE._replace(version="1", qualifier="live"),
        ONE._replace(version="2", qualifier="live"),
        ONE._replace(version="2", qualifier="2"),
        ONE._replace(account="999999999999"),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)

    async def count(**choice: str) -> int:
        (step,) = await queries.over_time(SCOPE, HOUR, **choice)
        return step.invocations

    assert await count() == 4
    assert await count(function_name="hello", version="2") == 2
    assert await count(function_name="hello", qualifier="live") == 2
    assert await count(function_name="hello", qualifier="live", version="1") == 1
    assert await count(function_name="hello", qualifier="") == 1


async def test_throttles_and_concurrency_count_without_an_invocation(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    data = [
        Datum(of_function(KEY, THROTTLES), NOON + 5.0, Summary.of([1.0] * 3), "Count"),
        Datum(of_function(KEY, CONCURRENT_EXECUTIONS), NOON + 5.0, Summary.of([2, 7]), "Count"),
    ]
    await JournalWriter(database).append_entries(data, now_ms=0)
    (step,) = await queries.over_time(SCOPE, HOUR, function_name="hello")
    assert (step.throttles, step.concurrency, step.invocations) == (3, 7, 0)
    (listed,) = (await queries.by_function(SCOPE, HOUR)).values()
    assert (listed.function_name, listed.total.throttles) == ("hello", 3)
    total = await queries.total(SCOPE, HOUR, function_name="hello")
    assert (total.throttles, total.concurrency) == (3, 7)


async def test_a_list_has_each_function_with_its_steps(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    entries = [
        *lasting([10.0, 20.0]),
        ONE._replace(function_name="other", started_at=NOON + 130.0, status="error"),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    listed = await queries.by_function(SCOPE, MINUTES)
    assert [step.invocations for step in listed["hello"].steps] == [2, 0, 0]
    assert [step.errors for step in listed["other"].steps] == [0, 0, 1]
    assert listed["hello"].total.duration_average_ms == 15.0
    assert await queries.last_invocations(SCOPE) == {"hello": NOON, "other": NOON + 130}
    assert await queries.last_invocations(SCOPE, ["other", "gone"]) == {"other": NOON + 130}


async def test_an_invocation_has_its_attempts_and_their_lines(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    at = NOON * 1000
    lines = [
        LogLine(STREAM, at - 50, "START RequestId: before Version: 1\n"),
        LogLine(STREAM, at - 40, "REPORT RequestId: before\t\n"),
        LogLine(STREAM, at - 30, "INIT_START Runtime Version: x\n"),
        LogLine(STREAM, at, "START RequestId: wanted Version: 1\n"),
        LogLine(STREAM, at + 1, "hello\n"),
        LogLine(STREAM, at + 2, "REPORT RequestId: wanted\tDuration\n"),
        LogLine(STREAM, at + 3, "START RequestId: after Version: 1\n"),
        LogLine(STREAM, at + 4, "not mine\n"),
    ]
    wanted = ONE._replace(request_id="wanted", init_ms=20.0, stream=STREAM, queue_ms=12.0)
    entries = [
        wanted,
        wanted._replace(started_at=NOON + 60.0, init_ms=None, stream=None),
        wanted._replace(account="999999999999"),
        wanted._replace(request_id="other"),
    ]
    await JournalWriter(database).append(lines, entries, now_ms=at)
    first, second = await queries.invocation(SCOPE, "wanted")
    assert [line.message.split(" ")[0].rstrip() for line in first.lines] == [
        "INIT_START", "START", "hello", "REPORT",
    ]  # fmt: skip
    assert first.stream == STREAM
    assert first.record.queue_ms == 12.0
    assert (second.stream, second.lines) == (None, ())
    assert await queries.invocation(SCOPE, "unknown") == []


async def test_a_record_makes_no_log_group_and_finds_the_one_there_is(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    writer = JournalWriter(database)
    quiet = ONE._replace(stream=STREAM._replace(name="quiet"), request_id="quiet")
    await writer.append([], [quiet], now_ms=0)
    assert await JournalReader(database).groups(
        GroupQuery(SCOPE.account, SCOPE.region), after="", limit=10
    ) == []  # fmt: skip
    await writer.append([LogLine(STREAM, NOON * 1000, "printed\n")], now_ms=0)
    await writer.append([], [ONE._replace(stream=STREAM, request_id="later")], now_ms=0)
    (attempt,) = await queries.invocation(SCOPE, "later")
    assert [line.message for line in attempt.lines] == ["printed\n"]
    assert (await queries.invocation(SCOPE, "quiet"))[0].stream is None


async def test_the_latest_come_first_a_page_at_a_time(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    entries = [
        ONE._replace(
            request_id=f"r{number}",
            started_at=NOON + number // 2,  # two begin at once
            status="error" if number % 3 == 0 else "success",
            init_ms=5.0 if number == 0 else None,
        )
        for number in range(10)
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    query = RecordQuery(SCOPE, "hello")
    seen: list[str] = []
    before: tuple[int, int] | None = None
    while page := await queries.recent(query, limit=3, before=before):
        seen += [record.request_id for record in page]
        before = (page[-1].started_ms, page[-1].id)
    assert seen == [f"r{number}" for number in range(9, -1, -1)]
    failed = await queries.recent(RecordQuery(SCOPE, "hello", failed_only=True))
    assert [record.request_id for record in failed] == ["r9", "r6", "r3", "r0"]
    (cold,) = await queries.recent(RecordQuery(SCOPE, "hello", cold_only=True))
    assert cold.request_id == "r0"


def test_lines_without_the_platforms_are_those_of_the_time() -> None:
    rows = [(1, "one\n"), (2, "two\n")]
    assert enclosed(rows, "r") == rows


@pytest.mark.parametrize("seconds", [0, 59, 90])
async def test_a_step_is_of_whole_minutes(seconds: int) -> None:
    with pytest.raises(ValueError, match=f"not {seconds} seconds"):
        Period(NOON, NOON + 3_600, seconds)


def test_a_period_has_an_end_and_not_too_many_steps() -> None:
    with pytest.raises(ValueError, match="ends before"):
        Period(NOON, NOON, 60)
    with pytest.raises(ValueError, match="more than"):
        Period(0, NOON, 60)


def test_lines_of_the_request_before_are_not_those_of_this_one() -> None:
    texts = [
        "INIT_START", "START RequestId: other", "its own", "REPORT RequestId: other",
        "START RequestId: mine", "ValueError", "END RequestId: mine", "REPORT RequestId: mine",
        "later",
    ]  # fmt: skip
    rows = list(enumerate(texts))
    assert enclosed(rows, "mine") == rows[4:8]


async def test_activity_is_what_the_figures_say_in_short(
    database: SqliteDatabase, queries: UsageQueries
) -> None:
    entries = [
        *lasting([float(at) for at in range(1, 101)]),
        ONE._replace(started_at=NOON + 130.0, status="error", memory_mib=256),
        ONE._replace(function_name="other"),
        ONE._replace(started_at=NOON - 60.0),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    found = await queries.activity(SCOPE, MINUTES, ["hello", "never-run"])
    assert found.keys() == {"hello"}
    figures = (await queries.by_function(SCOPE, MINUTES))["hello"]
    hello = found["hello"]
    assert hello.invocations == [step.invocations for step in figures.steps] == [100, 0, 1]
    assert hello.errors == [0, 0, 1]
    assert hello.durations.percentile(95) == figures.total.p95_ms
    assert await queries.activity(SCOPE, MINUTES, []) == {}
