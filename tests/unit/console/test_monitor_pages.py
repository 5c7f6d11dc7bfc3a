"""What the charts get, and the parts of an invocation's time."""

from dataclasses import replace
from decimal import Decimal

from lambdabox.console.pages.invocation import timeline
from lambdabox.console.pages.monitor import CHARTS, RANGES, _value
from lambdabox.repositories.usage_records import Attempt, UsageRecord
from lambdabox.telemetry.figures import MAX_PERIODS, Figures

WARM = UsageRecord(
    id=1,
    function_name="f",
    version="$LATEST",
    qualifier="",
    request_id="r",
    started_ms=10_000,
    duration_ms=100.0,
    billed_ms=100,
    status="success",
    error_type=None,
    architecture="x86_64",
    memory_mib=128,
    ephemeral_storage_mib=512,
    max_memory_mib=40,
    init_ms=None,
    restore_ms=None,
    queue_ms=None,
    initialization="on-demand",
    stream_id=None,
)


def parts(*records: UsageRecord) -> list[list[tuple[str, float, float]]]:
    lines = timeline([Attempt(record, None, ()) for record in records])
    return [[(span.kind, span.left, span.width) for span in line.spans] for line in lines]


def test_a_warm_invocation_is_one_part() -> None:
    assert parts(WARM) == [[("run", 0.0, 100.0)]]


def test_the_queue_comes_before_the_start_and_the_start_before_the_run() -> None:
    record = replace(WARM, init_ms=60.0, queue_ms=40.0)
    assert parts(record) == [[("waiting", 0.0, 20.0), ("start", 20.0, 30.0), ("run", 50.0, 50.0)]]


def test_a_restore_stands_in_the_place_of_an_init() -> None:
    record = replace(WARM, init_ms=900.0, restore_ms=100.0)
    assert parts(record) == [[("start", 0.0, 50.0), ("run", 50.0, 50.0)]]


def test_retries_share_one_scale_and_failed_ones_look_so() -> None:
    failed = replace(WARM, status="error", error_type="ValueError")
    later = replace(WARM, id=2, started_ms=10_900)
    assert parts(failed, later) == [[("failed", 0.0, 10.0)], [("run", 90.0, 10.0)]]


def test_an_invocation_without_any_length_is_survived() -> None:
    [[(kind, left, width)]] = parts(replace(WARM, duration_ms=0.0))
    assert (kind, left, width) == ("run", 0.0, 0.0)


def test_where_nothing_ran_there_is_no_duration_and_a_count_of_nothing() -> None:
    nothing, something = Figures(0), Figures(0, invocations=1, p95_ms=2.5, cost_usd=Decimal("0.5"))
    assert (_value(nothing, "p95_ms"), _value(something, "p95_ms")) == (None, 2.5)
    assert (_value(nothing, "invocations"), _value(nothing, "concurrency")) == (0, 0)
    cost = _value(something, "cost_usd")
    assert (cost, type(cost)) == (0.5, float)


def test_every_range_has_as_many_steps_as_a_chart_can_show() -> None:
    assert all(50 <= span.seconds // span.step <= 100 for span in RANGES.values())
    assert all(span.seconds / span.step < MAX_PERIODS for span in RANGES.values())


def test_the_charts_draw_what_is_measured() -> None:
    drawn = {field for _id, _title, _unit, lines in CHARTS for field, _name in lines}
    assert drawn <= set(Figures.__dataclass_fields__)
