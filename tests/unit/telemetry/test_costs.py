"""Costs by function and day, what was for nothing, and a month on AWS's price list."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from support.usage_rows import NOON, ONE, SCOPE, open_journal

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.metrics import PLATFORM_NAMESPACE, Datum, Metric
from lambdabox.domain.summaries import Summary
from lambdabox.repositories.journal import JournalWriter
from lambdabox.telemetry.costs import Costs, bill, compute_cost

DAY = 86_400
MIDNIGHT = NOON // DAY * DAY


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_journal(tmp_path) as opened:
        yield opened


async def flush() -> None:
    pass


@pytest.mark.parametrize(
    ("architecture", "used", "cost"),
    [
        ("x86_64", 0, "0"),
        ("x86_64", 1_000, "0.0166667"),
        ("x86_64", 6_000_000_000, "100000.2"),
        ("x86_64", 16_000_000_000, "248333.6"),  # 100,000.20 + 9 B * 0.000015 + 1 B * 0.0000133334
        ("arm64", 7_500_000_000, "100000.5"),
        ("arm64", 20_000_000_000, "248335"),  # 100,000.50 + 135,001.125 + 13,333.375
    ],
)
def test_compute_is_priced_tier_by_tier(architecture: str, used: int, cost: str) -> None:
    assert compute_cost(architecture, Decimal(used)) == Decimal(cost)


def test_a_small_month_is_free() -> None:
    month = bill(1_000_000, {"x86_64": Decimal(400_000)}, Decimal("0.20"))
    assert month.before_free_tier == Decimal("6.86668")
    assert month.total == 0


def test_a_month_beyond_the_free_tier() -> None:
    # AWS's worked example: 3 million requests of 120 ms at 1,536 MB on x86.
    requests, used = 3_000_000, Decimal("1.5") * Decimal("0.120") * 3_000_000
    month = bill(requests, {"x86_64": used}, requests * Decimal("0.0000002"))
    assert used == 540_000
    assert round(month.total, 2) == Decimal("2.73")  # 2.33 for compute, 0.40 for requests


def test_the_free_tier_is_shared_by_both_architectures() -> None:
    both = bill(0, {"x86_64": Decimal(400_000), "arm64": Decimal(400_000)}, Decimal(0))
    assert both.free_tier == 200_000 * (Decimal("0.0000166667") + Decimal("0.0000133334"))


@pytest.mark.anyio
async def test_costs_by_day_and_what_they_are_for(database: SqliteDatabase) -> None:
    entries = [
        ONE._replace(billed_ms=1_000),
        ONE._replace(billed_ms=1_000, started_at=NOON + DAY),
        ONE._replace(billed_ms=2_000, started_at=NOON + DAY, ephemeral_storage_mib=512 + 1024),
        ONE._replace(function_name="arm", architecture="arm64", restore_ms=5.0, memory_mib=2048),
        ONE._replace(function_name="tomorrow", started_at=NOON + 2 * DAY),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    costs = Costs(database, flush)
    hello, arm = sorted(
        await costs.by_function(SCOPE, since=NOON + 5, until=MIDNIGHT + 2 * DAY),
        key=lambda each: -each.invocations,
    )
    second = Decimal("0.0000166667")
    assert hello.cost.compute == 4 * second
    assert hello.cost.storage == 2 * Decimal("0.0000000309")
    assert hello.cost.requests == Decimal("0.0000006")
    assert hello.gb_seconds == 4
    assert {day: cost.compute for day, cost in hello.days.items()} == {
        MIDNIGHT: second, MIDNIGHT + DAY: 3 * second,
    }  # fmt: skip
    assert hello.other_architecture == pytest.approx(4 * Decimal("0.0000133334"))
    assert (arm.function_name, arm.cost.restores) == ("arm", 2 * Decimal("0.0001397998"))
    assert arm.cost.compute == Decimal("0.2") * Decimal("0.0000133334")


@pytest.mark.anyio
async def test_memory_that_was_never_used_is_waste(database: SqliteDatabase) -> None:
    entries = [
        ONE._replace(billed_ms=1_000, max_memory_mib=200),
        ONE._replace(billed_ms=1_000, max_memory_mib=400),
        ONE._replace(function_name="full", billed_ms=1_000, max_memory_mib=900),
        ONE._replace(function_name="least", billed_ms=1_000, memory_mib=128, max_memory_mib=10),
    ]
    await JournalWriter(database).append([], entries, now_ms=0)
    found = await Costs(database, flush).by_function(SCOPE, since=NOON, until=NOON + 1)
    waste = {each.function_name: each.waste.memory for each in found}
    # 480 of 1,024 MiB are a fifth more than was ever used.
    assert waste["hello"] == 2 * Decimal("0.0000166667") * (1024 - 480) / 1024
    assert waste["full"] == waste["least"] == 0


@pytest.mark.anyio
async def test_what_was_kept_ready_is_paid_for_and_idle_time_is_waste(
    database: SqliteDatabase,
) -> None:
    provisioned = ONE._replace(
        version="7", initialization="provisioned-concurrency", billed_ms=25_000
    )
    named = (("Architecture", "x86_64"), ("FunctionName", "hello"), ("Resource", "hello:7"))
    metric = Metric(
        SCOPE.account, SCOPE.region, PLATFORM_NAMESPACE, "ProvisionedGigabyteSeconds", named
    )
    data = [Datum(metric, NOON + 5.0 * n, Summary.of([10.0])) for n in range(10)]
    await JournalWriter(database).append_entries([provisioned, *data], now_ms=0)
    costs = Costs(database, flush)
    (hello,) = await costs.by_function(SCOPE, since=NOON, until=NOON + DAY)
    kept = Decimal("0.0000041667")
    assert hello.cost.provisioned == 100 * kept
    assert hello.cost.compute == 25 * Decimal("0.0000097222")
    assert hello.waste.provisioned == 75 * kept
    month = await costs.month(SCOPE, since=NOON, until=NOON + DAY)
    assert month.before_free_tier == hello.cost.total
    assert month.free_tier == Decimal("0.0000002"), "nothing but the request is in the free tier"


@pytest.mark.anyio
async def test_the_overview_is_what_all_days_of_all_functions_add_up_to(
    database: SqliteDatabase,
) -> None:
    entries = [
        ONE._replace(function_name=f"f{at}", billed_ms=1_000 * (at + 1), started_at=NOON + day)
        for at in range(5)
        for day in (0, DAY)
    ]
    entries.append(
        ONE._replace(function_name="f0", memory_mib=512, initialization="provisioned-concurrency")
    )
    named = (("Architecture", "arm64"), ("FunctionName", "f1"), ("Resource", "f1:2"))
    metric = Metric(
        SCOPE.account, SCOPE.region, PLATFORM_NAMESPACE, "ProvisionedGigabyteSeconds", named
    )
    kept = Datum(metric, float(NOON), Summary.of([100.0]))
    await JournalWriter(database).append_entries([*entries, kept], now_ms=0)
    costs, period = Costs(database, flush), {"since": NOON, "until": NOON + 2 * DAY}
    found = await costs.overview(SCOPE, **period, dearest=2)
    whole = await costs.by_function(SCOPE, **period)
    assert [each.function_name for each in found.functions] == [
        each.function_name for each in whole
    ]
    for one, other in zip(found.functions, whole, strict=True):
        assert replace(one, days={}) == replace(other, days={})
        assert one.days in ({}, other.days)
    assert [bool(each.days) for each in found.functions[:2]] == [True, True]
    assert sum(1 for each in found.functions if not each.days) >= 2
    by_day = {
        day: sum((each.days[day].total for each in whole if day in each.days), Decimal(0))
        for day in (MIDNIGHT, MIDNIGHT + DAY)
    }
    assert found.by_day == by_day
