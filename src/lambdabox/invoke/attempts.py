"""What came of one attempt at an asynchronous event, and how the event counts it.

The consumer acts on it; `domain/retry` decides from it whether there is another.
"""

import logging
from dataclasses import dataclass, replace

from lambdabox.domain.errors import (
    ApiError,
    ResourceNotFoundException,
    SnapStartException,
    SnapStartTimeoutException,
)
from lambdabox.domain.invocations import Outcome
from lambdabox.domain.retry import Result
from lambdabox.queue_ports import Message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of an attempt."""

    result: Result
    outcome: Outcome | None = None
    error: ApiError | None = None


def tried(message: Message, result: Outcome | Exception) -> Tried:
    """Return what the result of an attempt means for the event."""
    id = message.id
    match result:
        case Outcome():
            failed = result.function_error is not None
            return Tried(Result.FUNCTION_ERROR if failed else Result.SUCCEEDED, result)
        case ResourceNotFoundException():
            return Tried(Result.GONE, error=result)
        case SnapStartException() | SnapStartTimeoutException():
            log.info("event %s failed: %s", id, result.message)
            return Tried(Result.FUNCTION_ERROR, error=result)
        case ApiError():
            log.info("event %s put back: %s", id, result.message)
            return Tried(Result.THROTTLED, error=result)
        case _:
            # The platform failed, not the function, and may not fail again.
            log.error("event %s put back", id, exc_info=result)
            return Tried(Result.THROTTLED)


def counted(message: Message, result: Result) -> Message:
    """Return the message with this attempt counted."""
    if result is Result.THROTTLED:
        return replace(message, throttles=message.throttles + 1)
    return replace(message, retries=message.retries + 1, throttles=0)
