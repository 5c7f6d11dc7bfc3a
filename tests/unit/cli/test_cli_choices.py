"""What `tune` calls best, what `top` shows, and how a report is read."""

from dataclasses import replace

import pytest

from lambdabox.cli.reports import Report, parse_report
from lambdabox.cli.top import cells, joined
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


def row(name: str, running: int, invocations: int) -> dict[str, object]:
    return {"FunctionName": name, "Running": running, "Invocations": invocations}


def test_the_busiest_is_first_and_all_functions_are_there() -> None:
    page = {"Functions": [row("often", 0, 90), row("gone", 0, 5), row("now", 1, 2)]}
    functions = [
        {"FunctionName": name, "State": state}
        for name, state in (("often", "Active"), ("now", "Active"), ("idle", "Pending"))
    ]
    shown = joined(page, functions)["Functions"]
    assert [(each["FunctionName"], each["State"]) for each in shown] == [
        ("now", "Active"), ("often", "Active"), ("gone", "Deleted"), ("idle", "Pending"),
    ]  # fmt: skip


def test_a_function_that_has_not_run_has_no_figures() -> None:
    idle = joined({"Functions": []}, [{"FunctionName": "idle"}])["Functions"][0]
    assert cells(idle, 60.0) == ("idle", "Active", "0", *"--------")
