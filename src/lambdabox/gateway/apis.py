"""APIs of API Gateway: from an HTTP request to an invocation, and back.

API Gateway, or what stands for it, keeps the APIs; requests to them are served here. The
function's policy says whether an API may invoke it. A function that is slower than API
Gateway waits runs on to its end, as on AWS: its task belongs to `serve`, not to the request.
"""

import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.api.operations.invoke import trace_of
from lambdabox.api.request import BodyTooLarge, ClientGone
from lambdabox.api.serialize import WireResponse
from lambdabox.aws_ports import AwsCallError
from lambdabox.domain import limits
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import (
    AccessDeniedException,
    ApiError,
    RequestTooLargeException,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from lambdabox.domain.http_apis import Api, ApiKind, Integration
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.urls import Cors
from lambdabox.events.api_definitions import ApiDefinitions
from lambdabox.events.delivery import function_of
from lambdabox.gateway.api_requests import ApiCall, api_event
from lambdabox.gateway.api_responses import (
    Trouble,
    api_response,
    message_response,
    trouble_response,
)
from lambdabox.gateway.url_cors import is_preflight, preflight, with_cors
from lambdabox.gateway.url_requests import UrlCall, printable
from lambdabox.gateway.url_responses import BadResponseError
from lambdabox.gateway.urls import SANDBOXED, off_loop
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.permissions import INVOKE, Permissions
from lambdabox.ports import Clock

PRINCIPAL = "apigateway.amazonaws.com"

log = logging.getLogger(__name__)


class TroubleError(Exception):
    """A request has no answer of a function's."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class ApiFrontEnd:
    def __init__(
        self,
        definitions: ApiDefinitions,
        permissions: Permissions,
        invoker: Invoker,
        clock: Clock,
        *,
        drain_seconds: float,
    ) -> None:
        """`drain_seconds` is how long invocations may go on when the node stops."""
        self._definitions = definitions
        self._permissions = permissions
        self._invoker = invoker
        self._clock = clock
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

    async def answer(self, call: UrlCall) -> WireResponse:
        """Return the response. Raises ClientGone only: an unexpected failure is a logged 500."""
        try:
            response = await self._answer(call)
        except ClientGone:
            raise
        except AwsCallError as exc:
            log.warning("what API %s is could not be read: %s", call.target.id, exc)
            response = message_response(503, "Service Unavailable")
        except Exception:
            # The outermost handler: the caller learns the request id, the log the reason.
            log.exception("request %s failed", call.request_id)
            response = message_response(500, "Internal Server Error")
        if call.target.is_by_path:
            response = replace(response, headers=[*response.headers, SANDBOXED])
        return response

    async def _answer(self, call: UrlCall) -> WireResponse:
        api = await self._definitions.find(call.target.id, call.target.region)
        if api is None:
            return trouble_response(Trouble.NO_ROUTE, ApiKind.HTTP)
        cors = None if api.cors is None else _for_origin(api.cors, call)
        if cors is not None and is_preflight(call.method, call.headers):
            return replace(preflight(cors, call.headers), status=204)
        try:
            response = await self._routed(call, api)
        except TroubleError as exc:
            response = trouble_response(exc.trouble, api.kind)
        return replace(response, headers=with_cors(cors, call.headers, response.headers))

    async def _routed(self, call: UrlCall, api: Api) -> WireResponse:
        """Return the answer of the function that the request's route leads to."""
        asked = _routed_call(call, api)
        route = asked.match.route
        if route.authorization != "NONE":
            return _unsupported(f"Route {route.key!r} wants {route.authorization} authorization")
        integration = route.integration
        if integration is None or not integration.function_arn:
            return _unsupported(f"Route {route.key!r} leads to no function")
        reference = await self._reference(asked, integration)
        try:
            body = await call.read_body(limits.PAYLOAD_BYTES)
        except BodyTooLarge:
            raise TroubleError(Trouble.TOO_LARGE) from None
        outcome = await self._invoke(asked, integration, reference, body)
        if outcome.function_error is not None:
            raise TroubleError(Trouble.FAILED)
        try:
            make = partial(api_response, asked, outcome.payload)
            return await off_loop(make, len(outcome.payload))
        except BadResponseError as exc:
            log.info("what %s answered is no response: %s", reference.arn, exc)
            raise TroubleError(Trouble.BAD_RESPONSE) from None

    async def _reference(self, asked: ApiCall, integration: Integration) -> FunctionReference:
        """Return the function to invoke, if the API may."""
        arn = integration.function(asked.stage.variables)
        reference = function_of(arn)
        if reference is None:
            log.warning("API %s leads to %r, which is no function", asked.api.id, arn[:200])
            raise TroubleError(Trouble.NOT_ALLOWED)
        if not integration.acts_in_role:
            source = asked.api.source_arn(asked.stage, asked.match.route, asked.call.method)
            try:
                await self._permissions.check_service(
                    PRINCIPAL,
                    INVOKE,
                    reference,
                    source_arn=source,
                    source_account=asked.api.scope.account,
                )
            except AccessDeniedException:
                log.warning("%s does not let %s invoke it", arn, source)
                raise TroubleError(Trouble.NOT_ALLOWED) from None
        return reference

    async def _invoke(
        self, asked: ApiCall, integration: Integration, reference: FunctionReference, body: bytes
    ) -> Outcome:
        call, now = asked.call, self._clock.now()
        trace = trace_of(call.headers.get("x-amzn-trace-id"), now)
        call.extra_headers.append((b"x-amzn-trace-id", trace.encode()))
        event = await off_loop(partial(api_event, asked, body, trace=trace, now=now), len(body))
        if len(event) > limits.PAYLOAD_BYTES:
            raise TroubleError(Trouble.TOO_LARGE)
        invocation = Invocation(
            request_id=call.request_id, invoked_arn=reference.arn, payload=event, trace=trace
        )
        result = await self._run(reference, invocation, integration.timeout_seconds)
        if isinstance(result, Outcome):
            return result
        raise _trouble(result)

    async def _run(
        self, reference: FunctionReference, invocation: Invocation, seconds: float
    ) -> Outcome | Exception:
        """Invoke; raise TroubleError if that takes longer than the API waits."""
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


def _routed_call(call: UrlCall, api: Api) -> ApiCall:
    """Raises TroubleError if the API has no such stage or route."""
    if api.is_disabled:
        raise TroubleError(Trouble.DISABLED)
    found = api.on_stage(printable(call.target.path))
    if found is None:
        raise TroubleError(Trouble.NO_STAGE)
    stage, path = found
    match = api.match(call.method, path)
    if match is None:
        raise TroubleError(Trouble.NO_ROUTE)
    return ApiCall(call, api, stage, match, path.encode())


def _for_origin(cors: Cors, call: UrlCall) -> Cors:
    """Return settings that name the caller's origin, if `https://*` or `http://*` lets it in."""
    origin, allowed = call.headers.get("origin", ""), cors.allow_origins or ()
    scheme, found, _ = origin.partition("://")
    if found and f"{scheme}://*" in allowed and "*" not in allowed:
        return replace(cors, allow_origins=(origin,))
    return cors


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


def _unsupported(what: str) -> WireResponse:
    """AWS might let the request pass, or not: a node that cannot tell lets nobody in."""
    return message_response(501, f"{what}, which lambdabox does not do.")
