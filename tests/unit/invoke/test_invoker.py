"""What every invocation goes through, with and without somewhere to stream to."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from support.executor import KeptSink
from support.records import KEY, deployment

from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution_ports import ResponseSink
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.invoker import Invoker

pytestmark = pytest.mark.anyio

EVENT = Invocation("r1", "arn", b"{}")
REFERENCE = FunctionReference(KEY, None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class OneDeployment:
    async def resolve(self, reference: FunctionReference) -> Deployment:
        return deployment()


@dataclass
class Streaming:
    """An executor whose functions stream, and notice how many run meanwhile."""

    ledger: LocalLedger
    running: list[int] = field(default_factory=list)

    async def run(
        self, deployment: Deployment, invocation: Invocation, sink: ResponseSink | None = None
    ) -> Outcome:
        self.running.append(self.ledger.running(KEY.account, KEY.region))
        if sink is None:
            return Outcome(b"collected")
        await sink.begin("text/plain")
        await sink.write(b"streamed")
        return Outcome(b"")


@pytest.fixture
def ledger() -> LocalLedger:
    return LocalLedger(account_concurrency=1)


@pytest.fixture
def executor(ledger: LocalLedger) -> Streaming:
    return Streaming(ledger)


@pytest.fixture
def invoker(ledger: LocalLedger, executor: Streaming) -> Invoker:
    return Invoker(cast(Any, OneDeployment()), ledger, cast(Any, executor))


async def test_a_response_is_streamed_to_the_sink_that_is_given(invoker: Invoker) -> None:
    sink = KeptSink()
    assert await invoker.invoke(REFERENCE, EVENT, sink) == Outcome(b"")
    assert (sink.content_type, sink.data) == ("text/plain", b"streamed")
    assert await invoker.invoke(REFERENCE, EVENT) == Outcome(b"collected")


async def test_a_stream_is_admitted_and_counted_like_any_other(
    invoker: Invoker, executor: Streaming, ledger: LocalLedger
) -> None:
    await invoker.invoke(REFERENCE, EVENT, KeptSink())
    assert executor.running == [1]
    sink = KeptSink()
    with ledger.lease(deployment()), pytest.raises(TooManyRequestsException):
        await invoker.invoke(REFERENCE, EVENT, sink)
    assert sink.content_type is None
    assert ledger.running(KEY.account, KEY.region) == 0
