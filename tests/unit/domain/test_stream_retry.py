import pytest

from lambdabox.domain.retry import GiveUp, RetryAfter
from lambdabox.domain.stream_retry import (
    RETRIES_EXHAUSTED,
    Decision,
    GoOnFrom,
    SplitAt,
    Succeeded,
    Tried,
    decide,
)


@pytest.mark.parametrize(
    ("tried", "bisects", "max_retries", "expected"),
    [
        pytest.param(Tried(3, None, 9), True, 0, Succeeded(), id="success ends everything"),
        pytest.param(Tried(3, 0, 0), False, -1, RetryAfter(0.2), id="retried without end"),
        pytest.param(Tried(3, 0, 50), False, -1, RetryAfter(30.0), id="but ever more slowly"),
        pytest.param(Tried(3, 0, 1), False, 1, GiveUp(RETRIES_EXHAUSTED), id="retries are counted"),
        pytest.param(Tried(3, 0, 0), False, 0, GiveUp(RETRIES_EXHAUSTED), id="none allowed"),
        pytest.param(Tried(5, 0, 7), True, 0, SplitAt(2), id="a split is no retry"),
        pytest.param(Tried(1, 0, 0), True, 0, GiveUp(RETRIES_EXHAUSTED), id="one is not split"),
        pytest.param(Tried(5, 3, 9), True, 0, GoOnFrom(3), id="what is before is done"),
    ],
)
def test_decide(tried: Tried, bisects: bool, max_retries: int, expected: Decision) -> None:
    assert decide(tried, bisects=bisects, max_retries=max_retries) == expected
