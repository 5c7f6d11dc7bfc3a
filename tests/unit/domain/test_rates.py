"""How often something may happen."""

from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdabox.domain.rates import Rate

NOW = 1_000.0


def test_a_seconds_worth_may_come_at_once() -> None:
    rate = Rate(10)
    assert [rate.take(NOW) for _ in range(11)] == [True] * 10 + [False]
    assert rate.delay(NOW) == pytest.approx(0.1)
    assert not rate.take(NOW + 0.09)
    assert rate.take(NOW + 0.11)
    assert not rate.take(NOW + 0.11)


def test_what_is_not_used_is_not_saved_up() -> None:
    rate = Rate(10)
    assert rate.take(NOW)
    later = NOW + 3_600
    assert sum(rate.take(later) for _ in range(100)) == 10


def test_what_did_not_happen_is_given_back() -> None:
    rate = Rate(1)
    for _ in range(50):
        assert rate.take(NOW)
        rate.give_back()
    assert rate.take(NOW)
    assert not rate.take(NOW)


def test_a_longer_stretch_allows_more_at_once() -> None:
    rate = Rate(1_000 / 10, seconds=10)
    assert sum(rate.take(NOW) for _ in range(2_000)) == 1_000
    assert sum(rate.take(NOW + 1) for _ in range(2_000)) == 100


@settings(deadline=None)
@given(per_second=st.integers(1, 500), steps=st.lists(st.floats(0.0, 0.5), max_size=200))
def test_no_second_has_more_than_two_seconds_worth(per_second: int, steps: list[float]) -> None:
    rate, now, taken = Rate(per_second), NOW, []
    for step in steps:
        now += step
        taken += [now for _ in range(per_second) if rate.take(now)]
    for begin in taken:
        within = bisect_left(taken, begin + 1) - bisect_left(taken, begin)
        assert within <= 2 * per_second + 1
