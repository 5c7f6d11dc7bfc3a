"""The price of an invocation and the bill of a period, on a real SQLite file."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import Scope
from lambdabox.domain.prices import gb_seconds, price
from lambdabox.ports import Usage
from lambdabox.repositories.journal import JournalWriter
from lambdabox.repositories.journal_tables import metadata
from lambdabox.telemetry.billing import FunctionBill, billed_ms, summary

SCOPE = Scope("123456789012", "us-east-1")
NOON = 1_795_003_200.0

ONE = Usage(
    account=SCOPE.account,
    region=SCOPE.region,
    function_name="hello",
    version="$LATEST",
    architecture="x86_64",
    memory_mib=1024,
    ephemeral_storage_mib=512,
    request_id="r",
    started_at=NOON,
    duration_ms=999.5,
    init_ms=None,
    billed_ms=1_000,
    max_memory_mib=60,
    status="success",
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(
        tmp_path / "journal.db", "journal", (metadata,), synchronous="NORMAL"
    ) as opened:
        yield opened


@pytest.mark.parametrize(
    ("duration", "init", "billed"),
    [
        pytest.param(3.01, 110.10, 114, id="init is billed with the run"),
        pytest.param(2.0, None, 2, id="a whole millisecond is not rounded"),
        pytest.param(2.001, None, 3, id="rounded up"),
        pytest.param(1.1, 1.9, 3, id="a sum that is whole but for floating point"),
        pytest.param(0.1 + 0.2, 99.7, 100, id="floating point dust is not billed"),
        pytest.param(0.0, None, 1, id="at least one"),
    ],
)
def test_billed_ms(duration: float, init: float | None, billed: int) -> None:
    assert billed_ms(duration, init) == billed


def price_of(entry: Usage) -> Decimal:
    return price(
        entry.architecture,
        entry.memory_mib,
        entry.ephemeral_storage_mib,
        1,
        entry.billed_ms,
        restores=entry.restore_ms is not None,
        initialization=entry.initialization,
    )


@pytest.mark.parametrize(
    ("entry", "cost"),
    [
        pytest.param(ONE, "0.0000168667", id="x86: a GB-second and a request"),
        pytest.param(ONE._replace(architecture="arm64"), "0.0000135334", id="arm64"),
        pytest.param(ONE._replace(memory_mib=512), "0.00000853335", id="half the memory"),
        pytest.param(
            ONE._replace(ephemeral_storage_mib=512 + 2048), "0.0000169285", id="2 GB more storage"
        ),
        pytest.param(ONE._replace(restore_ms=0.0), "0.0001566665", id="a GB restored"),
        pytest.param(
            ONE._replace(initialization="provisioned-concurrency"), "0.0000099222", id="provisioned"
        ),
    ],
)
def test_price(entry: Usage, cost: str) -> None:
    assert price_of(entry) == Decimal(cost)


def test_a_million_requests_at_128_mb_for_100_ms_cost_what_the_price_page_says() -> None:
    million = gb_seconds(128, 100) * 1_000_000
    assert million == 12_500
    assert (price_of(ONE._replace(memory_mib=128, billed_ms=100)) * 1_000_000) == Decimal(
        "0.20"
    ) + million * Decimal("0.0000166667")


@pytest.mark.anyio
async def test_a_bill_adds_up_each_function_over_its_sizes(database: SqliteDatabase) -> None:
    entries = [
        ONE,
        ONE._replace(memory_mib=2048, status="error", error_type="E"),
        ONE._replace(architecture="arm64", status="timeout"),
        ONE._replace(function_name="other", billed_ms=1),
        ONE._replace(function_name="restored", restore_ms=12.5, memory_mib=512),
        ONE._replace(function_name="restored", memory_mib=512),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    assert await summary(database, SCOPE, NOON, NOON + 1) == [
        FunctionBill("hello", 3, 2, 3_000, Decimal(4), Decimal("0.0000639335")),
        FunctionBill("other", 1, 0, 1, Decimal("0.001"), Decimal("0.0000002167")),
        FunctionBill("restored", 2, 0, 2_000, Decimal(1), Decimal("0.0000869666")),
    ]


@pytest.mark.anyio
async def test_a_bill_has_only_its_own_scope_and_period(database: SqliteDatabase) -> None:
    entries = [
        ONE._replace(account="999999999999"),
        ONE._replace(region="eu-west-1"),
        ONE._replace(started_at=NOON - 0.001),
        ONE._replace(started_at=NOON + 86_400),
        ONE._replace(started_at=NOON + 86_399.999),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    (bill,) = await summary(database, SCOPE, NOON, NOON + 86_400)
    assert bill.invocations == 1


@pytest.mark.anyio
async def test_a_bill_reads_sums_and_not_records(database: SqliteDatabase) -> None:
    await JournalWriter(database).append([], [ONE], now_ms=0)
    await database.write(lambda c: c.execute(text("DELETE FROM usage")))
    (bill,) = await summary(database, SCOPE, NOON + 1_800, NOON + 3_600)
    assert bill.invocations == 1, "of the hour that the period begins in all counts"


@pytest.mark.anyio
async def test_the_bill_of_days_is_that_of_their_hours(database: SqliteDatabase) -> None:
    midnight = NOON // 86_400 * 86_400
    entries = [
        ONE._replace(started_at=midnight + hour * 3_600, billed_ms=100 + hour, function_name=name)
        for hour in range(30)
        for name in ("hello", "other")
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    until = midnight + 2 * 86_400
    by_hour = await summary(database, SCOPE, midnight, until)
    assert [(bill.function_name, bill.invocations) for bill in by_hour] == [
        ("hello", 30), ("other", 30),
    ]  # fmt: skip
    assert await summary(database, SCOPE, midnight, until, width=86_400) == by_hour
    (day,) = await summary(
        database, SCOPE, midnight + 5, midnight + 6, width=86_400, function_names=["other"]
    )
    assert (day.function_name, day.invocations) == ("other", 24)
