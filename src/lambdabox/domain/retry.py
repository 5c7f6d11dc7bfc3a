"""Decide what happens after one attempt at an asynchronous invocation.

The rules live in a pure function, away from queue and clock, because users build on
them (two retries, six hours, throttles not counted) and we want to read and test them
in one place.
"""

from collections.abc import Sequence
from enum import Enum, auto

from lambdabox.domain import limits
from lambdabox.domain.values import dataclass

RETRY_DELAYS = (60.0, 120.0)
MAX_BACKOFF_SECONDS = 300.0


class Result(Enum):
    SUCCEEDED = auto()
    FUNCTION_ERROR = auto()
    THROTTLED = auto()
    """Also any failure of the platform: returned to the queue, not counted as a retry."""
    REFUSED = auto()
    """It was not run, and is not to be."""
    GONE = auto()
    """There is nothing left to run it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt's result, and what came before it."""

    result: Result
    retries: int
    throttles: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class RetryAfter:
    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    condition: str
    """RetriesExhausted or EventAgeExceeded, as destination records name it."""


DELIVERY_SECONDS = 21_600.0
"""How long an outcome is offered to a destination that cannot be reached."""


Decision = Done | RetryAfter | GiveUp


def decide(
    attempt: Attempt,
    *,
    max_retries: int = limits.ASYNC_MAX_RETRIES,
    max_age_seconds: float = limits.ASYNC_MAX_AGE_SECONDS,
    retry_delays: Sequence[float] = RETRY_DELAYS,
) -> Decision:
    """Return what to do with the event after `attempt`."""
    if attempt.result is Result.SUCCEEDED:
        return Done()
    if attempt.result is Result.THROTTLED:
        delay = _backoff(attempt.throttles)
    elif attempt.retries >= max_retries:
        return GiveUp("RetriesExhausted")
    else:
        delay = retry_delays[min(attempt.retries, len(retry_delays) - 1)]
    if attempt.age_seconds + delay > max_age_seconds:
        return GiveUp("EventAgeExceeded")
    return RetryAfter(delay)


def decide_delivery(failures: int, age_seconds: float) -> RetryAfter | GiveUp:
    """Return what to do with an outcome that its destination could not take, but might yet."""
    delay = _backoff(failures)
    if age_seconds + delay > DELIVERY_SECONDS:
        return GiveUp("DeliveryFailed")
    return RetryAfter(delay)


def _backoff(failures: int) -> float:
    return min(2.0 ** min(failures, 20), MAX_BACKOFF_SECONDS)
