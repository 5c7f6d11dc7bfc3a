"""How fast a streamed response may go, without waiting for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.limits import MEBIBYTE
from lambdabox.domain.pacing import Pacer


def test_the_first_six_megabytes_go_at_once() -> None:
    pacer = Pacer(100.0)
    assert pacer.delay(6 * MEBIBYTE, 100.0) == 0


def test_what_follows_goes_at_two_megabytes_a_second() -> None:
    pacer = Pacer(100.0)
    pacer.delay(6 * MEBIBYTE, 100.0)
    now = 100.0
    for _ in range(10):
        now += pacer.delay(MEBIBYTE, now)
    assert now == pytest.approx(105.0)


def test_time_without_data_fills_the_allowance_but_not_beyond_its_size() -> None:
    pacer = Pacer(0.0)
    pacer.delay(6 * MEBIBYTE, 0.0)
    assert pacer.delay(4 * MEBIBYTE, 2.0) == 0
    assert pacer.delay(7 * MEBIBYTE, 3600.0) == pytest.approx(0.5)


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    pacer = Pacer(100.0)
    pacer.delay(6 * MEBIBYTE, 100.0)
    assert pacer.delay(0, 50.0) == 0
    assert pacer.delay(MEBIBYTE, 100.0) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 20)), max_size=50))
def test_no_more_is_ever_sent_than_burst_and_rate_allow(steps: list[tuple[int, float]]) -> None:
    pacer = Pacer(0.0, burst=1000, rate=100)
    now, sent = 0.0, 0
    for size, pause in steps:
        now += pause
        now += pacer.delay(size, now)
        sent += size
        assert sent <= 1000 + 100 * now + 1e-6 * (sent + 1)
