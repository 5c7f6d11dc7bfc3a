"""Invocations on behalf of an API: of the functions behind its routes, and of authorizers.

The function's policy says whether an API may invoke it. A function that is slower than API
Gateway waits runs on to its end, as on AWS: its task belongs to `serve`, not to the request.
"""

import logging
from contextlib import suppress

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import (
    AccessDeniedException,
    ApiError,
    RequestTooLargeException,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from lambdabox.domain.http_apis import Api
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.events.delivery import function_of
from lambdabox.gateway.api_responses import Trouble, TroubleError
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.permissions import INVOKE, Permissions

PRINCIPAL = "apigateway.amazonaws.com"

log = logging.getLogger(__name__)


class ApiFunctions:
    def __init__(self, permissions: Permissions, invoker: Invoker, *, drain_seconds: float) -> None:
        """`drain_seconds` is how long invocations may go on when the node stops."""
        self._permissions = permissions
        self._invoker = invoker
        self._drain_seconds = drain_seconds
        self._tasks: TaskGroup | None = None

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold the invocations of requests until cancelled, and until those have ended."""
        stopping = anyio.Event()
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._hold, stopping)
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                stopping.set()

    async def _hold(self, stopping: anyio.Event, *, task_status: TaskStatus[None]) -> None:
        # Shielded: requests that were accepted are answered while the node stops.
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                task_status.started()
                await stopping.wait()
                tasks.cancel_scope.deadline = anyio.current_time() + self._drain_seconds

    async def find(
        self, api: Api, arn: str, source_arn: str, *, acts_in_role: bool
    ) -> FunctionReference:
        """Return the function to invoke, if the API may for this source. Raises TroubleError."""
        reference = function_of(arn)
        if reference is None:
            log.warning("API %s leads to %r, which is no function", api.id, arn[:200])
            raise TroubleError(Trouble.NOT_ALLOWED)
        if acts_in_role:
            return reference
        try:
            await self._permissions.check_service(
                PRINCIPAL,
                INVOKE,
                reference,
                source_arn=source_arn,
                source_account=api.scope.account,
            )
        except AccessDeniedException:
            log.warning("%s does not let %s invoke it", arn, source_arn)
            raise TroubleError(Trouble.NOT_ALLOWED) from None
        return reference

    async def invoke(
        self, reference: FunctionReference, invocation: Invocation, seconds: float
    ) -> Outcome:
        """Return what a function answers within this time. Raises TroubleError."""
        result = await self._run(reference, invocation, seconds)
        if isinstance(result, Outcome):
            return result
        raise _trouble(result)

    async def _run(
        self, reference: FunctionReference, invocation: Invocation, seconds: float
    ) -> Outcome | Exception:
        if self._tasks is None:
            raise RuntimeError("APIs are not being served")
        send, receive = anyio.create_memory_object_stream[Outcome | Exception](1)

        async def run() -> None:
            with send:
                try:
                    result: Outcome | Exception = await self._invoker.invoke(reference, invocation)
                except Exception as exc:
                    # Told to whoever waits, who knows what it means; others go on being served.
                    result = exc
                with suppress(anyio.BrokenResourceError):  # nobody waits any more
                    send.send_nowait(result)

        self._tasks.start_soon(run)
        # The stream ends when the node has stopped.
        with receive, anyio.move_on_after(seconds), suppress(anyio.EndOfStream):
            return await receive.receive()
        raise TroubleError(Trouble.TIMED_OUT)


def _trouble(error: Exception) -> Exception:
    """Return what is raised for a failed invocation; one that is not for clients stays itself."""
    match error:
        case TooManyRequestsException():
            return TroubleError(Trouble.THROTTLED)
        case RequestTooLargeException():
            return TroubleError(Trouble.TOO_LARGE)
        case ResourceNotFoundException():
            return TroubleError(Trouble.NOT_ALLOWED)
        case ApiError():
            return TroubleError(Trouble.FAILED)
    return error
