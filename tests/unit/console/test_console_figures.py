"""Quantities as people read them, and the small charts."""

from decimal import Decimal

import pytest

from lambdabox.console import formatting
from lambdabox.console.sparkline import sparkline


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KB"), (50 * 1024, "50 KB"),
     (12 * 1024**2, "12 MB"), (5 * 1024**4, "5120 GB")],
)  # fmt: skip
def test_sizes(value: int, text: str) -> None:
    assert formatting.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\u2013"), (0.84, "0.8 ms"), (120.4, "120 ms"), (1_250, "1.25 s"),
     (125_000, "2 min 5 s")],
)  # fmt: skip
def test_durations(value: float | None, text: str) -> None:
    assert formatting.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\u2013"), (0, "just now"), (42, "42 s ago"), (61, "1 min ago"), (7_300, "2 h ago"),
     (200_000, "2 d ago")],
)  # fmt: skip
def test_how_long_ago(value: float | None, text: str) -> None:
    assert formatting.ago(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "$0"), ("0.00001", "< $0.0001"), ("0.01234", "$0.0123"), ("1234.5", "$1,234.50")],
)
def test_money(value: str, text: str) -> None:
    assert formatting.usd(Decimal(value)) == text


def test_large_numbers_are_in_groups() -> None:
    assert formatting.count(1_234_567) == "1\u202f234\u202f567"


def test_a_bar_is_as_high_as_its_share_and_what_happened_is_seen() -> None:
    chart = sparkline([0, 1, 1_000, 500], [0, 1, 0, 250])
    assert chart.good == "M8 0h3v24h-3zM12 12h3v6h-3z"
    assert chart.bad == "M4 22h3v2h-3zM12 18h3v6h-3z"
    assert chart.empty == "M0 23h3v1h-3z"
    assert chart.label == "1501 invocations, 251 errors in 4 hours"


def test_where_nothing_happened_nothing_is_drawn() -> None:
    chart = sparkline([0] * 24, [0] * 24)
    assert (chart.good, chart.bad, chart.width) == ("", "", 96)
