"""Summaries of many values: exact sums, and percentiles within one per cent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.summaries import ACCURACY, Summary, bucket_of, pack, unpack, value_of

VALUES = st.lists(
    st.floats(min_value=-1e30, max_value=1e30, allow_subnormal=False).filter(
        lambda value: value == 0 or abs(value) > 1e-30
    ),
    min_size=1,
    max_size=200,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def nearest_rank(values: list[float], per_cent: float) -> float:
    return sorted(values)[max(math.ceil(len(values) * per_cent / 100), 1) - 1]


@given(VALUES, st.floats(min_value=0, max_value=100))
def test_a_percentile_is_within_one_per_cent_of_the_value_at_its_rank(
    values: list[float], per_cent: float
) -> None:
    expected = nearest_rank(values, per_cent)
    assert Summary.of(values).percentile(per_cent) == pytest.approx(
        expected, rel=ACCURACY * 1.000001
    )


@given(VALUES)
def test_percentiles_never_fall_and_stay_between_the_extremes(values: list[float]) -> None:
    found = Summary.of(values).percentiles([0, 1, 25, 50, 75, 99, 99.9, 100])
    assert found == sorted(found)
    assert min(values) <= found[0]
    assert found[-1] == max(values)


@given(VALUES, VALUES)
def test_two_summaries_add_up_to_that_of_all_values(one: list[float], other: list[float]) -> None:
    merged, whole = Summary.of(one), Summary.of([*one, *other])
    merged.merge(Summary.of(other))
    assert merged.buckets == whole.buckets
    assert (merged.count, merged.minimum, merged.maximum) == (
        whole.count, whole.minimum, whole.maximum,
    )  # fmt: skip
    assert merged.total == pytest.approx(whole.total, rel=1e-9, abs=1e18)


@given(VALUES)
def test_buckets_survive_being_stored(values: list[float]) -> None:
    buckets = Summary.of(values).buckets
    assert unpack(pack(buckets)) == buckets


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_buckets_are_numbered_in_the_order_of_their_values(one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert bucket_of(smaller) <= bucket_of(larger)


def test_exact_figures_of_known_values() -> None:
    summary = Summary.of([1.0, 2.0, 3.0, 4.0])
    summary.add(10.0, count=6)
    assert (summary.count, summary.total, summary.minimum, summary.maximum) == (10, 70.0, 1.0, 10.0)
    assert summary.average == 7.0
    assert summary.percentile(100) == 10.0
    assert summary.percentile(10) == 1.0, "no less than the least"
    assert summary.count_up_to(3.5) == 3


def test_one_value_is_its_own_percentile() -> None:
    assert Summary.of([123.456]).percentiles([1, 50, 99]) == [123.456] * 3


def test_nothing_has_no_figures() -> None:
    assert Summary().percentile(50) == 0.0
    assert Summary().average == 0.0


def test_zero_has_a_bucket_of_its_own() -> None:
    assert value_of(bucket_of(0.0)) == 0.0
    assert Summary.of([0.0, 0.0, 5.0]).percentile(50) == 0.0
