"""The one way to run an invocation.

The API, the asynchronous consumer and every event source to come go through here, so
that admission, logging and billing cannot be bypassed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution_ports import ConcurrencyLedger, Executor, ResponseSink
from lambdabox.invoke.event_rules import RuleBook
from lambdabox.invoke.resolve import Resolver

if TYPE_CHECKING:
    from lambdabox.telemetry.traces import Tracer


class Invoker:
    def __init__(
        self,
        resolver: Resolver,
        ledger: ConcurrencyLedger,
        executor: Executor,
        rules: RuleBook | None = None,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._resolver = resolver
        self._rules = rules
        self._ledger = ledger
        self._tracer = tracer
        self._executor = executor

    async def resolve(self, reference: FunctionReference) -> Deployment:
        """Return what an invocation of `reference` would run; a dry run stops here."""
        deployment = await self._resolver.resolve(reference)
        self._resolver.give_back(reference, deployment)
        return deployment

    async def invoke(
        self,
        reference: FunctionReference,
        invocation: Invocation,
        sink: ResponseSink | None = None,
        *,
        chosen: Callable[[Deployment], None] | None = None,
        memory_mib: int | None = None,
    ) -> Outcome:
        """Run to an outcome; what a function answers goes to the sink, if there is one.

        `chosen` is told what is about to run. With `memory_mib` that is tried with another
        memory than its own, in environments of its own.

        Raises ResourceNotFoundException, ResourceConflictException, TooManyRequestsException,
        RecursiveInvocationException, or any exception if the platform failed; never for the
        function.
        """
        if self._rules is not None:
            await self._rules.check(reference, invocation)
        deployment = await self._resolver.resolve(reference)
        if memory_mib is not None:
            deployment = deployment.at_memory(memory_mib)
        with self._ledger.lease(deployment):
            if chosen is not None:
                chosen(deployment)
            if self._tracer is not None:
                invocation = self._tracer.begin(invocation)
            return await self._executor.run(deployment, invocation, sink)

    def is_known(self, reference: FunctionReference) -> bool:
        """Whether it is remembered that there is something to run."""
        deployment = self._resolver.known(reference)
        if deployment is not None:
            self._resolver.give_back(reference, deployment)
        return deployment is not None

    def begin(
        self,
        reference: FunctionReference,
        invocation: Invocation,
        done: Callable[[Outcome | Exception], None],
    ) -> bool:
        """Run if nothing has to be waited for: known, admitted, warm. Return whether it does.

        `done` is told, once and later, what `invoke` would have returned or raised; it must not
        raise. If False is returned nothing has happened, and `invoke` waits, or says why not.
        Whether the invocation is part of a loop is for the caller to see.
        """
        deployment = self._resolver.known(reference)
        if deployment is None:
            return False
        if not self._ledger.acquire(deployment):
            self._resolver.give_back(reference, deployment)
            return False

        def finish(result: Outcome | Exception) -> None:
            self._ledger.release(deployment)
            done(result)

        begun = False
        if self._tracer is not None:
            invocation = self._tracer.begin(invocation)
        try:
            begun = self._executor.begin(deployment, invocation, finish)
        finally:
            if not begun:
                self._ledger.release(deployment, is_unused=True)
                self._resolver.give_back(reference, deployment)
        return begun
