"""Function URLs: from an HTTP request to an invocation, and from its result to a response.

Meant for browsers and the public, unlike the API: any page may ask, the function's policy
decides, and only CORS settings let a page of another origin see the answer.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio.to_thread
import orjson

from lambdabox.api.operations.invoke import trace_of
from lambdabox.api.request import BodyTooLarge, ClientGone
from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.api.streaming import Channel, ResponseBrokenError, WireStream
from lambdabox.control.urls import FunctionUrls, OwnedUrl
from lambdabox.domain import limits
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import (
    AccessDeniedException,
    ApiError,
    InvalidSignatureException,
    RequestTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
    TooManyRequestsException,
    UnrecognizedClientException,
)
from lambdabox.domain.invocations import Invocation
from lambdabox.domain.urls import AWS_IAM, NONE, RESPONSE_STREAM
from lambdabox.gateway.url_cors import is_preflight, preflight, with_cors
from lambdabox.gateway.url_requests import UrlCall, event_of
from lambdabox.gateway.url_responses import JSON, BadResponseError, response_of
from lambdabox.gateway.url_signatures import UrlSignatures
from lambdabox.gateway.url_streams import UrlSink
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.permissions import FORBIDDEN_URL, Permissions
from lambdabox.ports import Clock

T = TypeVar("T")

ON_LOOP_BYTES = 256 * 1024
"""Longer bodies are turned into events, and results into responses, off the event loop."""

# A page at a path of the node has the node's own origin. In a sandbox it has none, and may
# not do what the node's own pages may.
SANDBOXED = (
    b"content-security-policy",
    b"sandbox allow-forms allow-modals allow-popups allow-scripts",
)
_TOLD = (
    AccessDeniedException,
    InvalidSignatureException,
    RequestTooLargeException,
    ResourceConflictException,
    TooManyRequestsException,
    UnrecognizedClientException,
)
"""Errors that are the caller's business; of all others it learns that the function failed."""

log = logging.getLogger(__name__)


class UrlFrontEnd:
    def __init__(
        self,
        urls: FunctionUrls,
        permissions: Permissions,
        signatures: UrlSignatures,
        invoker: Invoker,
        clock: Clock,
    ) -> None:
        self._urls = urls
        self._permissions = permissions
        self._signatures = signatures
        self._invoker = invoker
        self._clock = clock

    async def answer(self, call: UrlCall) -> WireResponse | WireStream:
        """Return the response. Raises ClientGone only: an unexpected failure is a logged 500."""
        try:
            owned = await self._urls.find(call.target.id)
            if owned is None:
                # As on AWS of a URL whose alias is gone; which those were nobody remembers.
                message = f"There is no function URL {call.target.id[:64]!r}."
                return _error(403, message, AccessDeniedException.__name__)
            cors = owned.record.cors
            if cors is not None and is_preflight(call.method, call.headers):
                return preflight(cors, call.headers)
            return await self._answer(call, owned)
        except ClientGone:
            raise
        except Exception as exc:
            # The outermost handler: the caller learns the request id, the log the reason.
            return _failure(exc, call.request_id)

    async def _answer(self, call: UrlCall, owned: OwnedUrl) -> WireResponse | WireStream:
        dress = partial(_dressed, call, owned)
        try:
            invocation = await self._invocation(call, owned)
            call.extra_headers.append((b"x-amzn-trace-id", invocation.trace.encode()))
            if owned.record.invoke_mode == RESPONSE_STREAM:
                return WireStream(partial(self._stream, call, owned, invocation))
            response = await self._buffered(owned, invocation)
        except ClientGone:
            raise
        except Exception as exc:
            # As in `answer`; this one lets pages see it as they see other answers.
            response = _failure(exc, call.request_id)
        return WireResponse(response.status, dress(response.headers), response.body)

    async def _invocation(self, call: UrlCall, owned: OwnedUrl) -> Invocation:
        """Return the invocation that the request stands for, if it may pass."""
        is_signed = owned.record.auth_type == AWS_IAM
        reference = _reference(owned)
        if not is_signed:
            await self._permissions.check_url(reference, NONE, source_ip=call.source_ip)
        body = await _body(call)
        caller = None
        if is_signed:
            caller = self._signatures.verified(call, owned.key.region, body)
            await self._permissions.check_url(
                reference, AWS_IAM, caller_arn=caller.arn, source_ip=call.source_ip
            )
        now = self._clock.now()
        trace = trace_of(call.headers.get("x-amzn-trace-id"), now)
        make = partial(event_of, call, owned.key.region, body, caller=caller, trace=trace, now=now)
        event = await off_loop(make, len(body))
        if len(event) > limits.PAYLOAD_BYTES:
            raise _too_large()
        return Invocation(
            request_id=call.request_id, invoked_arn=reference.arn, payload=event, trace=trace
        )

    async def _buffered(self, owned: OwnedUrl, invocation: Invocation) -> WireResponse:
        outcome = await self._invoker.invoke(_reference(owned), invocation)
        if outcome.function_error is not None:
            return _failed()
        payload = outcome.payload
        try:
            return await off_loop(partial(response_of, payload), len(payload))
        except BadResponseError as exc:
            return _no_response(owned, exc)

    async def _stream(
        self, call: UrlCall, owned: OwnedUrl, invocation: Invocation, channel: Channel
    ) -> WireResponse | None:
        sink = UrlSink(channel, partial(_dressed, call, owned))
        instead = _failed()
        try:
            outcome = await self._invoker.invoke(_reference(owned), invocation, sink)
            if outcome.function_error is None:
                sink.finish()
                return None
        except BadResponseError as exc:
            instead = _no_response(owned, exc)
        except Exception as exc:
            # As in `answer`, for what happens after it.
            instead = _failure(exc, call.request_id)
        if sink.has_begun:
            raise ResponseBrokenError
        return WireResponse(instead.status, _dressed(call, owned, instead.headers), instead.body)


async def off_loop(work: Callable[[], T], size: int) -> T:
    """Return what `work` makes of `size` bytes: in a thread if they are many."""
    return work() if size <= ON_LOOP_BYTES else await anyio.to_thread.run_sync(work)


def _reference(owned: OwnedUrl) -> FunctionReference:
    return FunctionReference(owned.key, owned.qualifier or None)


def _dressed(call: UrlCall, owned: OwnedUrl, headers: Headers) -> Headers:
    dressed = with_cors(owned.record.cors, call.headers, headers)
    return [*dressed, SANDBOXED] if call.target.is_by_path else dressed


async def _body(call: UrlCall) -> bytes:
    try:
        return await call.read_body(limits.PAYLOAD_BYTES)
    except BodyTooLarge:
        raise _too_large() from None


def _too_large() -> RequestTooLargeException:
    return RequestTooLargeException(
        f"Request must be smaller than {limits.PAYLOAD_BYTES} bytes for the InvokeFunction "
        "operation"
    )


def _failure(exc: Exception, request_id: str) -> WireResponse:
    """Return what a client is told of `exc`; one that is not for clients goes to the log."""
    match exc:
        case ResourceNotFoundException():  # the alias, or the function, has just gone
            return _error(403, FORBIDDEN_URL, "AccessDeniedException")
        case _ if isinstance(exc, _TOLD):
            return _error(exc.status, exc.message, exc.code)
        case ApiError():
            return _failed()
    log.error("request %s failed", request_id, exc_info=exc)
    return _error(500, "Internal Server Error", "ServiceException")


def _failed() -> WireResponse:
    return _error(502, "Internal Server Error")


def _no_response(owned: OwnedUrl, reason: BadResponseError) -> WireResponse:
    log.info("what %s answered is no response: %s", _reference(owned).arn, reason)
    return _failed()


def _error(status: int, message: str, code: str | None = None) -> WireResponse:
    headers: Headers = [(b"content-type", JSON)]
    if code is not None:
        headers.append((b"x-amzn-errortype", code.encode()))
    return WireResponse(status, headers, orjson.dumps({"Message": message}))
