"""Functions with units of their own, limits on rates, and what those who are refused hear."""

from contextlib import ExitStack

import pytest
from support.clock import ManualClock
from support.records import KEY, SCOPE, deployment, key

from lambdabox.domain.concurrency import Share
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.domain.functions import Deployment
from lambdabox.invoke.admission import LocalLedger, Usage

OTHER = deployment("other", of=key("other"))
MINE = deployment()


def take(ledger: LocalLedger, deployment: Deployment, count: int) -> int:
    """Take up to `count` units; return how many there were."""
    return sum(ledger.acquire(deployment) for _ in range(count))


def reason(ledger: LocalLedger, deployment: Deployment) -> TooManyRequestsException:
    with pytest.raises(TooManyRequestsException) as refused, ledger.lease(deployment):
        pytest.fail("there was room")
    return refused.value


def test_reserved_concurrency_is_a_cap_and_a_guarantee() -> None:
    ledger = LocalLedger(account_concurrency=10)
    ledger.allot(KEY, Share(reserved=3))
    assert take(ledger, OTHER, 20) == 7
    assert take(ledger, MINE, 20) == 3
    assert reason(ledger, MINE).reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert reason(ledger, OTHER).reason == "ConcurrentInvocationLimitExceeded"
    ledger.release(MINE)
    assert not ledger.acquire(OTHER)
    assert ledger.acquire(MINE)


def test_versions_of_a_function_share_what_is_reserved() -> None:
    ledger = LocalLedger(account_concurrency=10)
    ledger.allot(KEY, Share(reserved=3))
    assert take(ledger, MINE, 2) == 2
    assert take(ledger, deployment("v1", version="1"), 2) == 1


def test_a_reservation_of_nothing_switches_off() -> None:
    ledger = LocalLedger(account_concurrency=10)
    assert not ledger.is_switched_off(KEY)
    ledger.allot(KEY, Share(reserved=0))
    assert ledger.is_switched_off(KEY)
    assert reason(ledger, MINE).reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    ledger.allot(KEY, Share())
    assert not ledger.is_switched_off(KEY)
    assert take(ledger, MINE, 20) == 10


def test_what_runs_goes_on_when_shares_change() -> None:
    ledger = LocalLedger(account_concurrency=10)
    assert take(ledger, MINE, 6) == 6
    ledger.allot(KEY, Share(reserved=2))
    assert not ledger.acquire(MINE)
    assert take(ledger, OTHER, 20) == 4, "no more may run than the account has"
    for _ in range(5):
        ledger.release(MINE)
    assert take(ledger, MINE, 20) == 1
    assert take(ledger, OTHER, 20) == 4
    ledger.allot(KEY, Share())
    assert take(ledger, MINE, 20) == 0
    for _ in range(8):
        ledger.release(OTHER)
    assert take(ledger, MINE, 20) == 8
    assert ledger.running_of(KEY) == 10


def test_a_limit_that_was_lowered_holds_for_what_is_reserved_too() -> None:
    ledger = LocalLedger(account_concurrency=5)
    ledger.allot(KEY, Share(reserved=8))
    assert not ledger.acquire(OTHER)
    assert take(ledger, MINE, 20) == 5
    assert reason(ledger, MINE).reason == "ConcurrentInvocationLimitExceeded"


def test_provisioned_units_are_one_versions_and_the_rest_spills_over() -> None:
    ledger = LocalLedger(account_concurrency=10)
    ledger.allot(KEY, Share(provisioned={"1": 4}))
    first, second = deployment("v1", version="1"), deployment("v2", version="2")
    assert take(ledger, second, 20) == 6
    assert take(ledger, first, 20) == 4
    assert reason(ledger, first).reason == "ConcurrentInvocationLimitExceeded"
    ledger.release(second)
    assert ledger.acquire(first), "what exceeds the provisioned runs on demand"
    ledger.release(first)
    assert ledger.acquire(second)


def test_provisioned_units_count_within_the_reserved() -> None:
    ledger = LocalLedger(account_concurrency=10)
    ledger.allot(KEY, Share(3, {"1": 2}))
    assert take(ledger, OTHER, 20) == 7
    assert take(ledger, deployment("v1", version="1"), 20) == 3


def test_a_reserved_function_has_a_rate_of_its_own() -> None:
    clock = ManualClock()
    ledger = LocalLedger(account_concurrency=10, requests_per_concurrency=10, now=clock.monotonic)
    ledger.allot(KEY, Share(reserved=2))

    def run(deployment: Deployment, count: int) -> int:
        done = 0
        for _ in range(count):
            if ledger.acquire(deployment):
                ledger.release(deployment)
                done += 1
        return done

    assert run(MINE, 50) == 20
    refused = reason(ledger, MINE)
    assert refused.reason == "ReservedFunctionInvocationRateLimitExceeded"
    assert (refused.message, refused.retry_after_seconds) == ("Rate Exceeded.", 1)
    assert run(OTHER, 500) == 100
    refused = reason(ledger, OTHER)
    assert refused.reason == "CallerRateLimitExceeded"
    assert (refused.message, refused.retry_after_seconds) == ("Rate exceeded", 1)
    clock.advance(0.5)
    assert (run(MINE, 50), run(OTHER, 500)) == (10, 50)


def test_a_unit_that_was_not_used_is_not_a_request() -> None:
    ledger = LocalLedger(
        account_concurrency=1, requests_per_concurrency=10, now=ManualClock().monotonic
    )
    for _ in range(100):
        assert ledger.acquire(MINE)
        ledger.release(MINE, is_unused=True)
    assert ledger.acquire(MINE)


def test_a_function_scales_so_fast_and_reuses_what_it_has() -> None:
    clock = ManualClock()
    ledger = LocalLedger(
        account_concurrency=1_000, scaling_environments=10, idle_seconds=60, now=clock.monotonic
    )
    assert take(ledger, MINE, 100) == 10
    refused = reason(ledger, MINE)
    assert refused.reason == "FunctionInvocationRateLimitExceeded"
    assert (refused.message, refused.retry_after_seconds) == ("Rate Exceeded.", 1)
    assert take(ledger, OTHER, 5) == 5, "each function has a pace of its own"
    for _ in range(10):
        ledger.release(MINE)
    assert take(ledger, MINE, 100) == 10, "the environments are still there"
    clock.advance(2)
    assert take(ledger, MINE, 100) == 2
    for _ in range(12):
        ledger.release(MINE)
    clock.advance(61)
    assert take(ledger, MINE, 100) == 10, "they are gone by now"


def test_a_refusal_takes_nothing_from_any_limit() -> None:
    clock = ManualClock()
    ledger = LocalLedger(
        account_concurrency=1, requests_per_concurrency=10, scaling_environments=10,
        now=clock.monotonic,
    )  # fmt: skip
    assert ledger.acquire(MINE)
    assert take(ledger, MINE, 1_000) == 0
    ledger.release(MINE)
    assert ledger.acquire(MINE)


def test_throttles_are_counted_and_told() -> None:
    told: list[tuple[str, str]] = []
    ledger = LocalLedger(
        account_concurrency=10,
        on_throttle=lambda deployment, reason: told.append((deployment.key.name, reason)),
    )
    ledger.allot(KEY, Share(reserved=1))
    with ExitStack() as leases:
        leases.enter_context(ledger.lease(MINE))
        leases.enter_context(ledger.lease(OTHER))
        for _ in range(3):
            reason(ledger, MINE)
        assert not ledger.acquire(MINE), "asked for without saying why: `lease` follows, and counts"
        assert ledger.usage(SCOPE) == {"hello": Usage(1, 3, 1), "other": Usage(1, 0, None)}
    assert told == [("hello", "ReservedFunctionConcurrentInvocationLimitExceeded")] * 3
    assert ledger.usage(SCOPE) == {"hello": Usage(0, 3, 1), "other": Usage(0, 0, None)}


def test_a_function_without_a_share_is_not_made_known() -> None:
    ledger = LocalLedger(account_concurrency=10)
    ledger.allot(KEY, Share())
    assert ledger.usage(SCOPE) == {}
