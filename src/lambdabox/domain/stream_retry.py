"""Decide what happens after a function had a batch of a stream's records.

The rules of AWS in a pure function: records stay in order, so a batch that fails blocks its
shard until it succeeds, is split, or is given up.
"""

from lambdabox.domain.retry import GiveUp, RetryAfter
from lambdabox.domain.values import dataclass

RETRIES_EXHAUSTED = "RetryAttemptsExhausted"
TOO_OLD = "RecordAgeExceeded"
TOO_LARGE = "MaximumPayloadSizeExceeded"

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt at `count` records. `failed_at` is the index of the first that failed, None
    if none did; `retries` is how often these records were tried again before."""

    count: int
    failed_at: int | None
    retries: int


@dataclass(frozen=True, slots=True)
class Succeeded:
    pass


@dataclass(frozen=True, slots=True)
class GoOnFrom:
    """What is before the index is done; the rest is a batch of its own, not yet retried."""

    index: int


@dataclass(frozen=True, slots=True)
class SplitAt:
    """Two batches, one after the other. That does not count as a retry."""

    index: int


Decision = Succeeded | GoOnFrom | SplitAt | RetryAfter | GiveUp


def decide(tried: Tried, *, bisects: bool, max_retries: int) -> Decision:
    """Return what to do with the batch. A negative `max_retries` stands for any number."""
    if tried.failed_at is None:
        return Succeeded()
    if tried.failed_at > 0:
        return GoOnFrom(tried.failed_at)
    if bisects and tried.count > 1:
        return SplitAt(tried.count // 2)
    if 0 <= max_retries <= tried.retries:
        return GiveUp(RETRIES_EXHAUSTED)
    return RetryAfter(delay_after(tried.retries))


def delay_after(retries: int) -> float:
    return min(FIRST_DELAY_SECONDS * 2.0 ** min(retries, 20), LONGEST_DELAY_SECONDS)
