"""The front end of one AWS service: from a request to a response, whatever happens.

Matches the operation, reads a body no longer than the operation accepts, checks it
against the service model, calls the handler and writes its output, or its error, in the
service's own wire form.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, partial
from typing import Any

import anyio.to_thread

from lambdabox.api.event_stream import EventSource, EventStreamSink
from lambdabox.api.model import ServiceApi
from lambdabox.api.parse import Match
from lambdabox.api.request import BodyTooLarge, ClientGone, Handler, Request
from lambdabox.api.serialize import WireResponse
from lambdabox.api.service_model import OperationModel
from lambdabox.api.streaming import Channel, ResponseBrokenError, WireStream
from lambdabox.domain import limits
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import (
    ApiError,
    NotImplementedException,
    RequestEntityTooLargeException,
    RequestTooLargeException,
    ServiceException,
)
from lambdabox.execution_ports import ConsumerGoneError

log = logging.getLogger(__name__)

PARSED_ON_LOOP_BYTES = 256 * 1024
"""A longer body is parsed off the event loop, which it would hold for too long."""

CODE_OPERATIONS = frozenset({"CreateFunction", "UpdateFunctionCode", "PublishLayerVersion"})
INVOKE_OPERATIONS = frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream"})


class ServiceFrontEnd:
    def __init__(self, load: Callable[[], ServiceApi], handlers: Mapping[str, Handler]) -> None:
        self._load = load
        self._handlers = handlers

    @cached_property
    def _service(self) -> ServiceApi:
        """Loaded when it is first asked: a node that nobody asks for logs starts without."""
        return self._load()

    async def answer(self, request: Request) -> WireResponse | WireStream:
        """Return the response. Raises ClientGone only: an unexpected failure is a logged 500."""
        try:
            return await self._answer(request)
        except ClientGone:
            raise
        except Exception as exc:
            # The outermost handler: the caller learns the request id, the log the reason.
            return self.failure(exc, request.request_id)

    def failure(self, exc: Exception, request_id: str) -> WireResponse:
        """Return what a client is told of `exc`; one that is not for clients goes to the log."""
        if isinstance(exc, ApiError):
            return self._service.serialize_error(exc)
        log.error("request %s failed", request_id, exc_info=exc)
        message = "An internal error occurred. Look for the request id in the node's log."
        return self._service.serialize_error(ServiceException(message))

    async def _answer(self, request: Request) -> WireResponse | WireStream:
        match = self._match(request)
        operation = match.operation
        handler = self._handlers.get(operation.name)
        if handler is None:
            raise NotImplementedException(
                f"{operation.name} is not implemented in this release of lambdabox."
            )
        body = await _read(request, operation)
        parameters = await self._parse(match, request, body)
        output = await handler(request, parameters)
        response = self._service.serialize_output(operation, output)
        events = output.get("EventStream")
        if events is None:
            return response
        return WireStream(partial(self._send_events, response, events, request.request_id))

    async def _send_events(
        self, head: WireResponse, source: EventSource, request_id: str, channel: Channel
    ) -> WireResponse | None:
        sink = EventStreamSink(channel, head.status, head.headers)
        try:
            await source(sink)
        except ConsumerGoneError:
            pass
        except Exception as exc:
            # The outermost handler of what happens after `answer`.
            failure = self.failure(exc, request_id)
            if sink.has_begun:
                raise ResponseBrokenError from exc
            return failure
        return None

    async def _parse(self, match: Match, request: Request, body: bytes) -> dict[str, Any]:
        if len(body) <= PARSED_ON_LOOP_BYTES:
            return self._service.parse(match, request.headers, body)
        return await anyio.to_thread.run_sync(self._service.parse, match, request.headers, body)

    def _match(self, request: Request) -> Match:
        target = request.headers.get("x-amz-target")
        if target is not None and not self._service.is_rest:
            return Match(self._service.match_target(target), {}, {})
        return self._service.match(request.method, request.raw_path, request.query_string)


async def _read(request: Request, operation: OperationModel) -> bytes:
    limit, error = _body_limit(operation.name)
    try:
        return await request.read_body(limit)
    except BodyTooLarge:
        raise error from None


def _body_limit(operation: str) -> tuple[int, ApiError]:
    """Return how long a body may be, and what is said of a longer one."""
    if operation in INVOKE_OPERATIONS:
        return limits.PAYLOAD_BYTES, RequestTooLargeException(
            f"Request must be smaller than {limits.PAYLOAD_BYTES} bytes for the InvokeFunction "
            "operation"
        )
    carries_code = operation in CODE_OPERATIONS
    limit = limits.REQUEST_BODY_BYTES if carries_code else limits.PAYLOAD_BYTES
    return limit, RequestEntityTooLargeException(
        f"Request must be smaller than {limit} bytes for the {operation} operation"
    )


ScopedHandler = Callable[[Scope, Any], Awaitable[Mapping[str, Any]]]


def scoped(handlers: Mapping[str, ScopedHandler]) -> dict[str, Handler]:
    """Adapt handlers that need nothing of a request but its scope."""

    def adapt(handler: ScopedHandler) -> Handler:
        return lambda request, parameters: handler(request.scope, parameters)

    return {name: adapt(handler) for name, handler in handlers.items()}
