"""How long a rule or a schedule tries to reach its target, and what it says if that was in vain.

It is about handing an event over: what a function makes of it, and how often it is run, is the
asynchronous path's business. The defaults are EventBridge's and Scheduler's: 185 times, a day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdabox.domain.retry import GiveUp, RetryAfter

MAX_RETRIES = 185
MAX_AGE_SECONDS = 86_400
MIN_AGE_SECONDS = 60
# The last of the 185 is tried about a day after the first.
MAX_BACKOFF_SECONDS = 480.0

ATTEMPTS, AGE = "MaximumRetryAttempts", "MaximumEventAgeInSeconds"

# What EventBridge calls the errors of others; the first whose word is in an error's code.
_CODES = (
    ("accessdenied", "NO_PERMISSIONS"),
    ("notauthorized", "NO_PERMISSIONS"),
    ("authorizationerror", "NO_PERMISSIONS"),
    ("nonexistent", "NO_RESOURCE"),
    ("notfound", "NO_RESOURCE"),
    ("doesnotexist", "NO_RESOURCE"),
    ("throttl", "THROTTLING"),
    ("toomanyrequests", "THROTTLING"),
    ("unreachable", "CONNECTION_FAILURE"),
    ("invalidparameter", "INVALID_PARAMETER"),
)


class BadTerms(ValueError):
    """A retry policy out of its bounds. The message is AWS's."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How often and how long a target is tried, and the queue that hears of failure."""

    max_retries: int = MAX_RETRIES
    max_age_seconds: int = MAX_AGE_SECONDS
    dead_letter_arn: str = ""


def terms_of(target: Mapping[str, Any]) -> Terms:
    """Return the terms of a target, as the API of rules and that of schedules have it."""
    policy = members_of(target, "RetryPolicy")
    return Terms(
        max_retries=policy.get(ATTEMPTS, MAX_RETRIES),
        max_age_seconds=policy.get(AGE, MAX_AGE_SECONDS),
        dead_letter_arn=members_of(target, "DeadLetterConfig").get("Arn") or "",
    )


def message_group_of(target: Mapping[str, Any]) -> str:
    """Return the message group of a target that is a FIFO queue."""
    return members_of(target, "SqsParameters").get("MessageGroupId") or ""


def members_of(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the members of a structure in a request; none if it is something else."""
    found = given.get(name)
    return found if isinstance(found, Mapping) else {}


def check_terms(target: Mapping[str, Any], where: str) -> None:
    """Raise BadTerms for a policy out of its bounds, of the target that `where` names."""
    policy = members_of(target, "RetryPolicy")
    for name, least, most in (
        (ATTEMPTS, 0, MAX_RETRIES),
        (AGE, MIN_AGE_SECONDS, MAX_AGE_SECONDS),
    ):
        value = policy.get(name, least)
        if not isinstance(value, int) or not least <= value <= most:
            is_more = isinstance(value, int) and value > most
            bound = (
                f"less than or equal to {most}" if is_more else f"greater than or equal to {least}"
            )
            path = f"{where}.retryPolicy.{name[0].lower()}{name[1:]}"
            raise BadTerms(
                f"1 validation error detected: Value '{str(value)[:100]}' at '{path}' failed to "
                f"satisfy constraint: Member must have value {bound}"
            )


def decide(
    terms: Terms, retries: int, age_seconds: float, *, is_final: bool
) -> RetryAfter | GiveUp:
    """Return what to do after an attempt that failed, the `retries`th after the first.

    `is_final` says that the target refused, and would again. The condition is then empty.
    """
    if is_final:
        return GiveUp("")
    if retries >= terms.max_retries:
        return GiveUp(ATTEMPTS)
    delay = min(2.0 ** min(retries, 20), MAX_BACKOFF_SECONDS)
    if age_seconds + delay > terms.max_age_seconds:
        return GiveUp(AGE)
    return RetryAfter(delay)


def rule_error_code(code: str) -> str:
    """Return what EventBridge calls an error of a target's."""
    word = code.lower()
    return next((name for part, name in _CODES if part in word), "ERROR_FROM_TARGET")
