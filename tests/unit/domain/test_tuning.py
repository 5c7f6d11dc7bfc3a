"""Which sizes are run, what counts of each, and which is called best."""

from dataclasses import replace

import pytest

from lambdabox.domain.prices import price
from lambdabox.domain.reports import Report
from lambdabox.domain.tuning import (
    MAX_SIZES,
    Failed,
    Goal,
    Measured,
    Plan,
    Tally,
    choose,
    parse_sizes,
)

SMALL = Measured(128, 800.0, 900.0, 100.0, 60, 1.9)
MIDDLE = Measured(512, 210.0, 260.0, 90.0, 60, 2.0)
LARGE = Measured(1769, 200.0, 240.0, 90.0, 60, 6.0)

COLD = Report(300.0, 500, 128, 70, init_ms=200.0)
WARM = Report(10.0, 10, 128, 60)


def tally(*sizes: int, invocations: int = 2, goal: Goal = Goal.BALANCED) -> Tally:
    return Tally(Plan(sizes, invocations, goal), architecture="arm64", storage_mib=512)


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


def test_each_size_is_run_once_cold_and_then_warm_in_turn() -> None:
    tuning, ran = tally(128, 512), []
    while (size := tuning.size) is not None:
        ran.append(size)
        tuning.ran(WARM)
    assert ran == [128] * 3 + [512] * 3
    assert tuning.done == tuning.plan.total == 6


def test_only_warm_invocations_count_for_duration_and_cost() -> None:
    tuning = tally(256)
    for report in (COLD, WARM, replace(WARM, duration_ms=20.5, billed_ms=21)):
        tuning.ran(report)
    cost = price("arm64", 256, 512, 2, 31) * 500_000
    assert tuning.measured == [Measured(256, 15.25, 20.5, 200.0, 70, float(cost))]
    assert tuning.best is tuning.measured[0]


def test_nothing_is_best_before_a_size_is_done() -> None:
    tuning = tally(128)
    tuning.ran(COLD)
    assert tuning.best is None
    assert tuning.done == 1


def test_a_size_that_fails_is_left_out_and_the_others_go_on() -> None:
    tuning = tally(128, 256)
    tuning.ran(COLD)
    tuning.fail("ValueError: too small")
    assert (tuning.size, tuning.done) == (256, 3)
    for report in (COLD, WARM, WARM):
        tuning.ran(report)
    assert tuning.failed == [Failed(128, "ValueError: too small")]
    assert [each.memory_mib for each in tuning.measured] == [256]
    assert (tuning.size, tuning.done) == (None, 6)


def test_sizes_are_sorted_and_each_is_tried_once() -> None:
    assert parse_sizes(" 512,128, 512,,10240 ") == [128, 512, 10_240]


@pytest.mark.parametrize(
    "text", ["", ",", "127", "10241", "128,much", "-128", "1e3", "\u00b2", "9" * 99]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give sizes from 128 to 10240 MiB"):
        parse_sizes(text)


def test_more_sizes_than_anybody_waits_for_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at most {MAX_SIZES} sizes"):
        parse_sizes(",".join(str(128 + at) for at in range(MAX_SIZES + 1)))
