"""How long a target is tried, and what its failure is called."""

from typing import Any

import pytest

from lambdabox.domain.retry import GiveUp, RetryAfter
from lambdabox.domain.target_delivery import (
    AGE,
    ATTEMPTS,
    BadTerms,
    Terms,
    check_terms,
    decide,
    message_group_of,
    rule_error_code,
    terms_of,
)


@pytest.mark.parametrize(
    ("terms", "retries", "age", "expected"),
    [
        pytest.param(Terms(), 0, 0, RetryAfter(1), id="at once"),
        pytest.param(Terms(), 4, 40, RetryAfter(16), id="later and later"),
        pytest.param(Terms(), 100, 40_000, RetryAfter(480), id="never much later"),
        pytest.param(Terms(), 185, 80_000, GiveUp(ATTEMPTS), id="185 times"),
        pytest.param(Terms(), 150, 86_000, GiveUp(AGE), id="a day"),
        pytest.param(Terms(max_retries=0), 0, 0, GiveUp(ATTEMPTS), id="not once more"),
        pytest.param(Terms(max_age_seconds=60), 6, 63, GiveUp(AGE), id="a minute"),
    ],
)
def test_a_target_in_trouble_is_tried_as_its_terms_say(
    terms: Terms, retries: int, age: float, expected: RetryAfter | GiveUp
) -> None:
    assert decide(terms, retries, age, is_final=False) == expected


def test_a_refusal_is_final() -> None:
    assert decide(Terms(), 0, 0, is_final=True) == GiveUp("")


def test_all_185_retries_fit_into_about_a_day() -> None:
    age, retries = 0.0, 0
    while isinstance(decision := decide(Terms(), retries, age, is_final=False), RetryAfter):
        age, retries = age + decision.seconds, retries + 1
    assert retries > 180
    assert age > 80_000


def test_what_is_not_given_is_the_default() -> None:
    assert terms_of({"Arn": "a"}) == Terms()
    given = {
        "RetryPolicy": {ATTEMPTS: 0, AGE: 60},
        "DeadLetterConfig": {"Arn": "arn:aws:sqs:r:1:q"},
    }
    assert terms_of(given) == Terms(0, 60, "arn:aws:sqs:r:1:q")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({ATTEMPTS: 186}, ("'186' at 't.retryPolicy.maximumRetryAttempts' failed to satisfy "
         "constraint: Member must have value less than or equal to 185")),
        ({ATTEMPTS: -1}, "greater than or equal to 0"),
        ({AGE: 59}, ("'59' at 't.retryPolicy.maximumEventAgeInSeconds' failed to satisfy "
         "constraint: Member must have value greater than or equal to 60")),
        ({AGE: 86_401}, "less than or equal to 86400"),
        ({AGE: "x"}, "greater than or equal to 60"),
    ],
)  # fmt: skip
def test_terms_out_of_bounds_are_refused(policy: Any, expected: str) -> None:
    with pytest.raises(BadTerms, match=expected):
        check_terms({"RetryPolicy": policy}, "t")


@pytest.mark.parametrize("given", ["text", [], 5, None])
def test_what_is_no_structure_says_nothing(given: Any) -> None:
    target = dict.fromkeys(("RetryPolicy", "DeadLetterConfig", "SqsParameters"), given)
    check_terms(target, "t")
    assert terms_of(target) == Terms()
    assert message_group_of(target) == ""


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", "NO_RESOURCE"),
        ("QueueDoesNotExist", "NO_RESOURCE"),
        ("ResourceNotFoundException", "NO_RESOURCE"),
        ("AccessDeniedException", "NO_PERMISSIONS"),
        ("RequestThrottled", "THROTTLING"),
        ("Unreachable", "CONNECTION_FAILURE"),
        ("SomethingElse", "ERROR_FROM_TARGET"),
    ],
)
def test_errors_have_eventbridges_names(code: str, name: str) -> None:
    assert rule_error_code(code) == name
