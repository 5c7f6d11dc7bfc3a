"""Run a function with another memory than its own, and change nothing about it.

For those who look for the best size. What is stored stays as it is, so nothing has to be put
back however the search ends, and other invocations neither notice nor get in the way: a trial
has environments of its own. It is admitted, logged and billed like every other invocation.
"""

from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import ApiError
from lambdabox.domain.invocations import Invocation, Outcome, new_request_id, new_trace
from lambdabox.execution_ports import Executor
from lambdabox.invoke.invoker import Invoker
from lambdabox.ports import Clock


class TrialRuns:
    def __init__(self, invoker: Invoker, executor: Executor, clock: Clock) -> None:
        self._invoker = invoker
        self._executor = executor
        self._clock = clock

    async def run(self, reference: FunctionReference, event: bytes, memory_mib: int) -> Outcome:
        """Run to an outcome, with the end of the log. Raises as `Invoker.invoke` does."""
        invocation = Invocation(
            request_id=new_request_id(),
            invoked_arn=reference.arn,
            payload=event,
            trace=new_trace(self._clock.now()),
            wants_log_tail=True,
        )
        return await self._invoker.invoke(reference, invocation, memory_mib=memory_mib)

    async def let_go(self, reference: FunctionReference) -> None:
        """End the environments of a function's trials. Never raises."""
        try:
            deployment = await self._invoker.resolve(reference)
        except ApiError:
            return  # it is gone, or cannot run any more: so are they
        key, version = deployment.key, deployment.version
        self._executor.retire(key, number=version, keep=deployment.id)
