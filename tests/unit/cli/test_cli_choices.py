"""What `tune` calls best, what `top` makes of two looks, and how a report is read."""

from dataclasses import replace

import pytest

from lambdabox.cli.reports import Report, parse_report
from lambdabox.cli.top import Look, lines
from lambdabox.cli.tune import Goal, Measured, choose

SMALL = Measured(128, 800.0, 900.0, 100.0, 60, 1.9)
MIDDLE = Measured(512, 210.0, 260.0, 90.0, 60, 2.0)
LARGE = Measured(1769, 200.0, 240.0, 90.0, 60, 6.0)


@pytest.mark.parametrize(
    ("goal", "best"), [(Goal.COST, SMALL), (Goal.SPEED, LARGE), (Goal.BALANCED, MIDDLE)]
)
def test_the_best_size_depends_on_what_it_is_for(goal: Goal, best: Measured) -> None:
    assert choose([SMALL, MIDDLE, LARGE], goal) is best


def test_between_equals_the_other_figure_decides() -> None:
    quicker = replace(SMALL, duration_ms=700.0)
    cheaper = replace(LARGE, cost=5.0)
    assert choose([SMALL, quicker], Goal.COST) is quicker
    assert choose([LARGE, cheaper], Goal.SPEED) is cheaper


def test_the_last_report_counts_with_its_init() -> None:
    log = (
        "REPORT RequestId: a\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 30 MB\t\n"
        "REPORT RequestId: b\tDuration: 3.01 ms\tBilled Duration: 113 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n"
    )
    assert parse_report(log) == Report(3.01, 113, 36, 110.1)


@pytest.mark.parametrize("log", ["", "REPORT of mine\n", '{"type": "platform.report", "x": 1}\n'])
def test_a_log_without_a_report_has_none(log: str) -> None:
    assert parse_report(log) is None


def look(at: float, invocations: int, billed_ms: int, errors: int = 0) -> Look:
    function = {"FunctionName": "f", "State": "Active", "MemorySize": 128}
    row = {
        "FunctionName": "f", "Invocations": invocations, "Errors": errors,
        "BilledMilliseconds": billed_ms, "Cost": 0.5,
    }  # fmt: skip
    idle = {**function, "FunctionName": "idle"}
    return Look(at, {}, [idle, function], {"f": row})


def test_rates_are_differences_and_the_busiest_is_first() -> None:
    busy, idle = lines(look(10.0, 100, 1_000), look(12.0, 110, 1_500, errors=1))
    assert (busy.name, busy.rate, busy.billed_ms, busy.errors) == ("f", 5.0, 50.0, 1)
    assert (idle.name, idle.rate, idle.billed_ms, idle.invocations) == ("idle", 0.0, None, 0)


def test_what_leaves_the_last_day_is_no_negative_rate() -> None:
    line, _ = lines(look(10.0, 100, 1_000), look(11.0, 90, 900))
    assert (line.rate, line.billed_ms) == (0.0, None)
