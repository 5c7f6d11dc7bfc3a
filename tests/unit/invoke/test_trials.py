"""Trials run with another memory, beside everything else, and leave nothing."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from support.clock import ManualClock
from support.records import KEY, SETTINGS, deployment

from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference
from lambdabox.domain.errors import ResourceNotFoundException, TooManyRequestsException
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution_ports import ResponseSink
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.trials import TrialRuns

pytestmark = pytest.mark.anyio

REFERENCE = FunctionReference(KEY, None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class OneDeployment:
    """A resolver of one function, which may go."""

    is_gone: bool = False

    async def resolve(self, reference: FunctionReference) -> Deployment:
        if self.is_gone:
            raise ResourceNotFoundException("Function not found")
        return deployment()

    def give_back(self, reference: FunctionReference, deployment: Deployment) -> None:
        """Nothing was looked up ahead."""


@dataclass
class KeptRuns:
    """An executor that tells what it ran, and what it was to let go."""

    ran: list[tuple[Deployment, Invocation]] = field(default_factory=list)
    retired: list[tuple[FunctionKey, str | None, str | None]] = field(default_factory=list)

    async def run(
        self, deployment: Deployment, invocation: Invocation, sink: ResponseSink | None = None
    ) -> Outcome:
        self.ran.append((deployment, invocation))
        return Outcome(b"1", log_tail=b"REPORT")

    def retire(
        self, key: FunctionKey, *, number: str | None = None, keep: str | None = None
    ) -> None:
        self.retired.append((key, number, keep))


class Bench:
    def __init__(self, concurrency: int = 10) -> None:
        self.resolver, self.executor = OneDeployment(), KeptRuns()
        ledger = LocalLedger(account_concurrency=concurrency)
        executor = cast(Any, self.executor)
        invoker = Invoker(cast(Any, self.resolver), ledger, executor)
        self.trials = TrialRuns(invoker, executor, ManualClock())


async def test_a_trial_runs_the_same_code_with_another_memory() -> None:
    bench = Bench()
    outcome = await bench.trials.run(REFERENCE, b'{"n":1}', 512)
    assert outcome == Outcome(b"1", log_tail=b"REPORT")
    [(ran, invocation)] = bench.executor.ran
    assert (ran.settings.memory_mib, SETTINGS.memory_mib) == (512, 128)
    assert (ran.key, ran.version, ran.code) == (KEY, LATEST, deployment().code)
    assert (invocation.payload, invocation.wants_log_tail) == (b'{"n":1}', True)
    assert invocation.invoked_arn == KEY.arn


async def test_each_size_has_environments_of_its_own_the_functions_size_too() -> None:
    bench = Bench()
    for size in (128, 256, 256):
        await bench.trials.run(REFERENCE, b"{}", size)
    ids = [ran.id for ran, _invocation in bench.executor.ran]
    assert len({*ids, deployment().id}) == 3
    assert ids[1] == ids[2]


async def test_a_trial_is_admitted_like_any_other_invocation() -> None:
    bench = Bench(concurrency=0)
    with pytest.raises(TooManyRequestsException):
        await bench.trials.run(REFERENCE, b"{}", 256)
    assert bench.executor.ran == []


async def test_letting_go_spares_what_the_function_runs_on() -> None:
    bench = Bench()
    await bench.trials.let_go(REFERENCE)
    assert bench.executor.retired == [(KEY, LATEST, deployment().id)]


async def test_letting_go_of_a_function_that_is_gone_is_nothing() -> None:
    bench = Bench()
    bench.resolver.is_gone = True
    await bench.trials.let_go(REFERENCE)
    assert bench.executor.retired == []
