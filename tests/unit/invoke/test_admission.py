"""How many run at once, and who is refused."""

import pytest
from support.clock import ManualClock
from support.records import KEY, deployment, key

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.concurrency import Share
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.invoke import admission
from lambdabox.invoke.admission import LocalLedger

ACCOUNT, REGION = KEY.account, KEY.region


def test_the_limit_holds_for_all_functions_of_an_account_together() -> None:
    ledger = LocalLedger(account_concurrency=2)
    with ledger.lease(deployment(of=key("a"))), ledger.lease(deployment(of=key("b"))):
        assert ledger.running(ACCOUNT, REGION) == 2
        with pytest.raises(TooManyRequestsException) as refused, ledger.lease(deployment()):
            pytest.fail("there was no room")
    assert refused.value.reason == "ConcurrentInvocationLimitExceeded"
    assert refused.value.message == "Rate Exceeded."


def test_a_refusal_takes_nothing() -> None:
    ledger = LocalLedger(account_concurrency=1)
    with ledger.lease(deployment()):
        for _ in range(3):
            with pytest.raises(TooManyRequestsException), ledger.lease(deployment()):
                pytest.fail("there was no room")
        assert ledger.running(ACCOUNT, REGION) == 1
    with ledger.lease(deployment()):
        pass


def test_what_ends_gives_its_unit_back_however_it_ends() -> None:
    ledger = LocalLedger(account_concurrency=1)
    with pytest.raises(ValueError, match="broke"), ledger.lease(deployment()):
        raise ValueError("broke")
    assert ledger.running(ACCOUNT, REGION) == 0
    with ledger.lease(deployment()):
        pass


@pytest.mark.parametrize(
    "elsewhere",
    [FunctionKey("999999999999", REGION, "hello"), FunctionKey(ACCOUNT, "eu-west-1", "hello")],
)
def test_accounts_and_regions_have_limits_of_their_own(elsewhere: FunctionKey) -> None:
    ledger = LocalLedger(account_concurrency=1)
    with ledger.lease(deployment()), ledger.lease(deployment(of=elsewhere)):
        assert ledger.running(elsewhere.account, elsewhere.region) == 1


def test_functions_that_nobody_uses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "REMEMBERED", 10)
    clock = ManualClock()
    ledger = LocalLedger(account_concurrency=5, idle_seconds=60, now=clock.monotonic)
    ledger.allot(key("reserved"), Share(reserved=1))
    with ledger.lease(deployment("running", of=key("running"))):
        for number in range(50):
            other = FunctionKey(f"{number:012}", REGION, "hello")
            with ledger.lease(deployment(str(number), of=other)):
                clock.advance(61)
        assert len(ledger._functions) < 12
        assert {key("running"), key("reserved")} < ledger._functions.keys()
        assert len(ledger._accounts) < 12
        assert len(ledger._lanes) < 12
        assert ledger.running_of(key("running")) == 1
    assert ledger.running(ACCOUNT, REGION) == 0


def test_a_unit_can_be_held_without_a_block() -> None:
    ledger = LocalLedger(account_concurrency=2)
    with ledger.lease(deployment()):
        assert ledger.acquire(deployment())
        assert not ledger.acquire(deployment())
        ledger.release(deployment())
        assert ledger.running(ACCOUNT, REGION) == 1
    assert ledger.running(ACCOUNT, REGION) == 0
