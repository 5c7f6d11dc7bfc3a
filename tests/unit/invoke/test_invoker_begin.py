"""What `begin` may do at once, and that a unit of concurrency is given back exactly once."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from support.records import KEY, deployment

from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.invoker import Invoker

HELLO = FunctionReference(KEY, None)
EVENT = Invocation("r1", "arn", b"{}")

Done = Callable[[Outcome | Exception], None]


class KnownFunctions:
    def __init__(self, *known: FunctionReference) -> None:
        self._known = known
        self.given_back: list[FunctionReference] = []

    def known(self, reference: FunctionReference) -> Deployment | None:
        return deployment() if reference in self._known else None

    def give_back(self, reference: FunctionReference, deployment: Deployment) -> None:
        self.given_back.append(reference)


class FakeExecutor:
    def __init__(self, *, begins: bool = True, trouble: Exception | None = None) -> None:
        self._begins = begins
        self._trouble = trouble
        self.done: list[Done] = []

    def begin(self, deployment: Deployment, invocation: Invocation, done: Done) -> bool:
        if self._trouble is not None:
            raise self._trouble
        if self._begins:
            self.done.append(done)
        return self._begins


class Setting:
    def __init__(self, executor: FakeExecutor, *, concurrency: int = 1) -> None:
        self.ledger = LocalLedger(account_concurrency=concurrency)
        self.resolver = KnownFunctions(HELLO)
        self.invoker = Invoker(cast(Any, self.resolver), self.ledger, cast(Any, executor))
        self.told: list[Outcome | Exception] = []

    def begin(self, reference: FunctionReference = HELLO) -> bool:
        return self.invoker.begin(reference, EVENT, self.told.append)

    @property
    def running(self) -> int:
        return self.ledger.running(KEY.account, KEY.region)


@pytest.mark.parametrize("result", [Outcome(b"1"), OSError("broken")])
def test_a_unit_is_held_until_the_result_is_told(result: Outcome | Exception) -> None:
    executor = FakeExecutor()
    setting = Setting(executor)
    assert setting.begin()
    assert setting.running == 1
    assert not setting.begin()  # the limit is reached: `invoke` says so
    assert setting.resolver.given_back == [HELLO]
    [done] = executor.done
    done(result)
    assert setting.told == [result]
    assert setting.running == 0


def test_an_unknown_function_is_left_to_invoke() -> None:
    executor = FakeExecutor()
    setting = Setting(executor)
    assert not setting.begin(FunctionReference(KEY, "8"))
    assert (setting.running, executor.done) == (0, [])


def test_a_cold_function_takes_nothing() -> None:
    setting = Setting(FakeExecutor(begins=False))
    assert not setting.begin()
    assert setting.running == 0
    assert setting.resolver.given_back == [HELLO]


def test_an_executor_in_trouble_takes_nothing() -> None:
    setting = Setting(FakeExecutor(trouble=OSError("broken")))
    with pytest.raises(OSError, match="broken"):
        setting.begin()
    assert setting.running == 0
    assert setting.resolver.given_back == [HELLO]
