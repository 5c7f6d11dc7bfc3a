"""When schedules are due, compared with a clock on the wall of each zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdabox.domain.cron import BadExpression
from lambdabox.domain.schedules import next_due, parse_expression, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 23, 6, 0, 30, tzinfo=UTC).timestamp()  # a Monday


def due(expression: str, after: datetime | float, zone: str = "UTC", count: int = 1) -> list[str]:
    """The local times of the next so many dues."""
    parsed, where = parse_expression(expression), zone_of(zone)
    moment = after if isinstance(after, float) else after.timestamp()
    found: list[str] = []
    for _ in range(count):
        following = next_due(parsed, moment, zone=where)
        if following is None:
            return [*found, "never"]
        assert following > moment
        moment = following
        found.append(datetime.fromtimestamp(moment, where).strftime("%Y-%m-%d %H:%M%z"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 10 * * ? *)", "2026-11-23 10:00"),
        ("cron(15 12 * * ? *)", "2026-11-23 12:15"),
        ("cron(0 18 ? * MON-FRI *)", "2026-11-23 18:00"),
        ("cron(0 8 1 * ? *)", "2026-12-01 08:00"),
        ("cron(0/15 * * * ? *)", "2026-11-23 06:15"),
        ("cron(*/7 6 * * ? *)", "2026-11-23 06:07"),
        ("cron(50/5 6 * * ? *)", "2026-11-23 06:50"),
        ("cron(0 9 ? * 2#1 *)", "2026-12-07 09:00"),
        ("cron(0 9 ? * 3#2 *)", "2026-12-08 09:00"),
        ("cron(0 9 ? * 6L *)", "2026-11-27 09:00"),
        ("cron(0 9 ? * FRIL *)", "2026-11-27 09:00"),
        ("cron(0 9 ? * L *)", "2026-11-28 09:00"),
        ("cron(0 9 L * ? *)", "2026-11-30 09:00"),
        ("cron(0 9 LW FEB ? *)", "2027-02-26 09:00"),
        ("cron(0 9 5W DEC ? *)", "2026-12-04 09:00"),
        ("cron(0 9 6W DEC ? *)", "2026-12-07 09:00"),
        ("cron(0 9 1W AUG ? 2026-2027)", "2027-08-02 09:00"),
        ("cron(0 9 31W * ? *)", "2026-12-31 09:00"),
        ("cron(0 0 29 2 ? *)", "2028-02-29 00:00"),
        ("cron(0 0 ? * FRI-SUN *)", "2026-11-27 00:00"),
        ("cron(0 22-1 * * ? *)", "2026-11-23 22:00"),
        ("cron(0 0 1 1 ? 2199)", "2199-01-01 00:00"),
        ("cron(0 0 1,15 jan,JUL ?)", "2027-01-01 00:00"),
        ("at(2026-11-23T06:00:31)", "2026-11-23 06:00"),
    ],
)
def test_the_next_time_of_an_expression(expression: str, expected: str) -> None:
    assert due(expression, START) == [f"{expected}+0000"]


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 0 30 2 ? *)",
        "cron(0 0 1 1 ? 1999)",
        "at(2026-11-23T06:00:30)",
        "cron(0 0 ? 2 2#5 2027)",
    ],
)
def test_what_never_comes_is_never_due(expression: str) -> None:
    assert due(expression, START) == ["never"]


@pytest.mark.parametrize(
    "expression",
    [
        "", "rate()", "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)", "rate(5 seconds)",
        "rate(-1 hours)", "rate(1.5 hours)", "cron()", "cron(* * * * * *)", "cron(* * ? * ? *)",
        "cron(60 * * * ? *)", "cron(* 24 * * ? *)", "cron(* * 0 * ? *)", "cron(* * 32 * ? *)",
        "cron(* * * 13 ? *)", "cron(* * ? * 0 *)", "cron(* * ? * 8 *)", "cron(* * ? * 2#6 *)",
        "cron(* * ? * 2#0 *)", "cron(* * * * ? 1969)", "cron(* * * * ? 2200)",
        "cron(*/0 * * * ? *)", "cron(1-2-3 * * * ? *)", "cron(a * * * ? *)",
        "cron(* * 40W * ? *)", "cron(, * * * ? *)",
        "cron(² * * * ? *)", "cron(*-5 * * * ? *)", "at(2026-02-30T00:00:00)", "at(tomorrow)",
        "cron(* * * * ? * *)", "at(2026-01-01T00:00:00Z)", "Rate(5 minutes)",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(BadExpression):
        parse_expression(expression)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "\0"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(BadExpression):
        zone_of(name)


def test_a_rate_counts_from_its_beginning() -> None:
    rate = parse_expression("rate(5 minutes)")
    assert next_due(rate, 0, begin=1_000) == 1_000
    assert next_due(rate, 1_000, begin=1_000) == 1_300
    assert next_due(rate, 1_299.9, begin=1_000) == 1_300
    assert next_due(rate, 100_000, begin=1_000) == 100_300 - (100_000 - 1_000) % 300


def test_a_rate_of_days_is_one_of_24_hours() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=BERLIN).timestamp()  # clocks go back that night
    after = next_due(parse_expression("rate(1 day)"), before, zone=BERLIN, begin=before)
    assert after == before + 86_400


def test_nothing_is_due_before_the_beginning() -> None:
    begin = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert next_due(parse_expression("cron(0 0 * * ? *)"), START, begin=begin) == begin
    assert next_due(parse_expression("at(2026-12-01T00:00:00)"), START, begin=begin) is None


def test_a_time_that_clocks_skip_is_skipped() -> None:
    eve = datetime(2026, 3, 28, 12, tzinfo=BERLIN)  # 02:00 becomes 03:00 on the 29th
    assert due("cron(30 2 * * ? *)", eve, "Europe/Berlin", 2) == [
        "2026-03-30 02:30+0200",
        "2026-03-31 02:30+0200",
    ]
    assert due("at(2026-03-29T02:30:00)", eve, "Europe/Berlin") == ["never"]
    assert due("cron(0/30 1-3 * * ? *)", eve, "Europe/Berlin", 4) == [
        "2026-03-29 01:00+0100",
        "2026-03-29 01:30+0100",
        "2026-03-29 03:00+0200",
        "2026-03-29 03:30+0200",
    ]


def test_a_time_that_comes_twice_counts_once_the_first_time() -> None:
    eve = datetime(2026, 10, 24, 12, tzinfo=BERLIN)  # 03:00 becomes 02:00 on the 25th
    assert due("cron(30 2 * * ? *)", eve, "Europe/Berlin", 2) == [
        "2026-10-25 02:30+0200",
        "2026-10-26 02:30+0100",
    ]
    assert due("at(2026-10-25T02:30:00)", eve, "Europe/Berlin") == ["2026-10-25 02:30+0200"]
    second = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert due("cron(30 2 * * ? *)", second, "Europe/Berlin") == ["2026-10-26 02:30+0100"]


ZONES = st.sampled_from([
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
    "Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Kathmandu",
])  # fmt: skip
MOMENTS = st.integers(100_000_000, 4_000_000_000)


@settings(max_examples=60, deadline=None)
@given(zone=ZONES, after=MOMENTS, minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
       hours=st.sets(st.integers(0, 23), min_size=1, max_size=3))  # fmt: skip
def test_a_cron_is_due_when_the_wall_clock_first_shows_it(
    zone: str, after: int, minutes: set[int], hours: set[int]
) -> None:
    """Against a search that looks at every minute of three days."""
    listed = [",".join(map(str, sorted(each))) for each in (minutes, hours)]
    where = ZoneInfo(zone)

    def is_due(moment: int) -> bool:
        shown = datetime.fromtimestamp(moment, where)
        is_first = shown.fold == 0
        return shown.minute in minutes and shown.hour in hours and is_first

    first = after - after % 60 + 60
    expected = next((m for m in range(first, first + 3 * 86_400, 60) if is_due(m)), None)
    found = next_due(parse_expression(f"cron({listed[0]} {listed[1]} * * ? *)"), after, zone=where)
    assert found is not None
    assert found == expected or (expected is None and found >= first + 3 * 86_400)


@settings(max_examples=100, deadline=None)
@given(after=MOMENTS, count=st.integers(1, 10_000), unit=st.sampled_from(["minute", "hour", "day"]),
       begin=MOMENTS)  # fmt: skip
def test_a_rate_is_due_at_whole_multiples(after: int, count: int, unit: str, begin: int) -> None:
    plural = "" if count == 1 else "s"
    seconds = count * {"minute": 60, "hour": 3_600, "day": 86_400}[unit]
    found = next_due(parse_expression(f"rate({count} {unit}{plural})"), after, begin=begin)
    assert found is not None
    assert found > after or found == begin
    assert (found - begin) % seconds == 0
    assert found - max(after, begin) <= seconds


@given(text=st.text(alphabet="0123456789*?-/,LW# MONat(crone)", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for expression in (text, f"cron({text})", f"rate({text})", f"at({text})"):
        try:
            parsed = parse_expression(expression)
        except BadExpression:
            continue
        next_due(parsed, START, zone=UTC)


def test_looking_for_what_never_comes_ends_soon() -> None:
    far = START + timedelta(days=365 * 170).total_seconds()
    assert due("cron(0 0 30 2 ? *)", far) == ["never"]
