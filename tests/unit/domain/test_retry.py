"""What happens after an attempt at an asynchronous invocation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.retry import Attempt, Decision, Done, GiveUp, Result, RetryAfter, decide

SIX_HOURS = 21_600


def attempt(result: Result, *, retries: int = 0, throttles: int = 0, age: float = 1.0) -> Attempt:
    return Attempt(result, retries, throttles, age)


ERROR, THROTTLED, SUCCEEDED = Result.FUNCTION_ERROR, Result.THROTTLED, Result.SUCCEEDED


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(attempt(SUCCEEDED), Done(), id="success ends it"),
        pytest.param(attempt(SUCCEEDED, age=SIX_HOURS * 2), Done(), id="however late"),
        pytest.param(attempt(ERROR), RetryAfter(60), id="first error waits a minute"),
        pytest.param(attempt(ERROR, retries=1), RetryAfter(120), id="second waits two"),
        pytest.param(attempt(ERROR, retries=2), GiveUp("RetriesExhausted"), id="third is last"),
        pytest.param(attempt(ERROR, throttles=50), RetryAfter(60), id="throttles do not count"),
        pytest.param(attempt(THROTTLED), RetryAfter(1), id="first throttle waits a second"),
        pytest.param(attempt(THROTTLED, throttles=3), RetryAfter(8), id="which doubles"),
        pytest.param(attempt(THROTTLED, throttles=9), RetryAfter(300), id="to five minutes"),
        pytest.param(attempt(THROTTLED, throttles=10**6), RetryAfter(300), id="and no overflow"),
        pytest.param(attempt(THROTTLED, retries=2), RetryAfter(1), id="throttled last retry"),
        pytest.param(attempt(ERROR, age=SIX_HOURS - 60), RetryAfter(60), id="just within the age"),
        pytest.param(
            attempt(ERROR, age=SIX_HOURS - 59), GiveUp("EventAgeExceeded"), id="just beyond"
        ),
        pytest.param(
            attempt(THROTTLED, age=SIX_HOURS), GiveUp("EventAgeExceeded"), id="throttled too long"
        ),
        pytest.param(
            attempt(ERROR, retries=2, age=SIX_HOURS),
            GiveUp("RetriesExhausted"),
            id="retries are named before age",
        ),
    ],
)
def test_decide(given: Attempt, expected: Decision) -> None:
    assert decide(given) == expected


def test_no_retries_means_none() -> None:
    assert decide(attempt(ERROR), max_retries=0) == GiveUp("RetriesExhausted")


def test_delays_may_be_shorter_and_the_last_one_repeats() -> None:
    delays = [
        decide(attempt(ERROR, retries=n), max_retries=9, retry_delays=(0.5, 2.0)) for n in range(4)
    ]
    assert delays == [RetryAfter(0.5), RetryAfter(2.0), RetryAfter(2.0), RetryAfter(2.0)]


@given(
    st.sampled_from([ERROR, THROTTLED]),
    st.integers(0, 100),
    st.integers(0, 10_000),
    st.floats(0, 10**6),
)
def test_no_event_is_tried_beyond_its_age(
    result: Result, retries: int, throttles: int, age: float
) -> None:
    decision = decide(Attempt(result, retries, throttles, age))
    if isinstance(decision, RetryAfter):
        assert decision.seconds > 0
        assert age + decision.seconds <= SIX_HOURS
    else:
        assert isinstance(decision, GiveUp)
