"""Pass requests for other AWS services on to where those are, and their answers back.

Bodies stream both ways, so that an object of any size passes through without being held.
Account and region stay apart: a process of the node's own is told the caller's account, an
endpoint of the operator's gets the request as it was signed, or signed anew.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import orjson
from anyio.abc import TaskStatus

from lambdabox.api.request import BodyTooLarge, ClientGone, Request
from lambdabox.aws_ports import AwsCallError, Endpoint, Neighbours
from lambdabox.backends import http_client
from lambdabox.backends.http_client import HttpError
from lambdabox.events.relayed import Interceptor, Reads, ServiceAnswer, ServiceRequest
from lambdabox.gateway.body import Receive
from lambdabox.gateway.destination import S3, object_path
from lambdabox.gateway.outbound import must_be_whole, outbound
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

READ_BYTES = 20 * 1024 * 1024
"""The longest body that an interceptor reads: more than any operation's that is not S3's."""
ANSWER_BYTES = 64 * 1024 * 1024

# Of the connection to the service, or what our own server says.
_NOT_RETURNED = frozenset({
    b"connection", b"keep-alive", b"transfer-encoding", b"date", b"server", b"upgrade",
})  # fmt: skip


_OF_A_BODY = frozenset({b"content-length", b"transfer-encoding"})


Interceptors = Callable[[str], Awaitable[Sequence[Interceptor]]]
"""Return what reads requests for a service, which has its signing name."""


class Relay:
    def __init__(
        self,
        neighbours: Neighbours,
        interceptors: Interceptors,
        clock: Clock,
    ) -> None:
        self._neighbours = neighbours
        self._interceptors = interceptors
        self._clock = clock
        self._under_way: set[anyio.CancelScope] = set()
        self._is_stopping = False

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; then what waits for a service, a long poll for example, is ended."""
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            self._is_stopping = True
            for scope in self._under_way:
                scope.cancel()

    async def answer(
        self,
        request: Request,
        service: str,
        *,
        headers: Sequence[tuple[bytes, bytes]],
        source_ip: str,
        receive: Receive,
        send: Any,
    ) -> None:
        """Answer a request for `service`. `headers` are the client's, as they came."""
        passing = _Passing(request, service, headers, receive, send, source_ip)
        async with anyio.create_task_group() as tasks:
            self._under_way.add(tasks.cancel_scope)
            tasks.start_soon(passing.watch_client, tasks.cancel_scope)
            try:
                await self._pass_or_refuse(passing)
            finally:
                self._under_way.discard(tasks.cancel_scope)
            tasks.cancel_scope.cancel()
        if self._is_stopping and not passing.has_begun:
            await passing.refuse(503, "ServiceUnavailable", "The node is stopping.")

    async def _pass_or_refuse(self, passing: "_Passing") -> None:
        try:
            await self._pass(passing)
        except ClientGone:
            return
        except BodyTooLarge:
            message = f"Request must be smaller than {READ_BYTES} bytes."
            await passing.refuse(413, "RequestEntityTooLargeException", message)
        except (AwsCallError, HttpError) as exc:
            log.warning("a request for %s was not answered: %s", passing.service, exc)
            if not passing.has_begun:
                if isinstance(exc, AwsCallError) and exc.is_final:
                    await passing.refuse(501, exc.code, exc.message)
                else:
                    await passing.refuse(503, "ServiceUnavailable", str(exc))
        except Exception:
            # The outermost handler: an event could not be stored, say. The client, which has no
            # answer yet, tries again.
            log.exception("request %s for %s failed", passing.request.request_id, passing.service)
            if not passing.has_begun:
                message = "An internal error occurred. Look for the request id in the node's log."
                await passing.refuse(500, "InternalError", message)

    async def _pass(self, passing: "_Passing") -> None:
        seen = passing.seen
        for interceptor in await self._interceptors(passing.service):
            reads = interceptor.reads(seen)
            if reads is Reads.NOTHING:
                continue
            if reads is Reads.BODY:
                seen = replace(seen, body=await passing.whole_body())
            await self._intercept(passing, interceptor, seen)
            return
        endpoint = await self._neighbours.endpoint(passing.service)
        if must_be_whole(endpoint, seen):
            seen = replace(seen, body=await passing.whole_body())
        async with self._sent(passing, endpoint, seen) as answer:
            await passing.begin(answer.status, answer.headers)
            async for chunk in answer.body:
                await passing.more(chunk)
            await passing.end()

    async def _intercept(
        self, passing: "_Passing", interceptor: Interceptor, seen: ServiceRequest
    ) -> None:
        async def forward(request: ServiceRequest) -> ServiceAnswer:
            endpoint = await self._neighbours.endpoint(passing.service)
            async with self._sent(passing, endpoint, request) as answer:
                body = bytearray()
                async for chunk in answer.body:
                    body += chunk
                    if len(body) > ANSWER_BYTES:
                        raise HttpError(f"the answer is longer than {ANSWER_BYTES} bytes")
                return ServiceAnswer(answer.status, answer.headers, bytes(body))

        answer = await interceptor.handle(seen, forward)
        await passing.begin(answer.status, answer.headers)
        await passing.more(answer.body)
        await passing.end()

    def _sent(self, passing: "_Passing", endpoint: Endpoint, seen: ServiceRequest) -> Any:
        is_changed = seen.body is not None and seen.body is not passing.read
        sent = outbound(
            passing.headers,
            passing.request.raw_path,
            endpoint,
            seen,
            is_changed=is_changed,
            now=self._clock.now(),
        )
        body = passing.rest() if seen.body is None else seen.body
        return http_client.request(endpoint.url, seen.method, sent.target, sent.headers, body)


class _Passing:
    """One request on its way through, and what its client has been told."""

    def __init__(
        self,
        request: Request,
        service: str,
        headers: Sequence[tuple[bytes, bytes]],
        receive: Receive,
        send: Any,
        source_ip: str,
    ) -> None:
        self.request = request
        self.service = service
        self.headers = headers
        self.has_begun = False
        self.read: bytes | None = None
        """The body, if it was read as a whole."""
        self._receive = receive
        self._send = send
        path = request.raw_path
        if service == S3:
            path = object_path(request.headers.get("host", ""), path).path
        self.seen = ServiceRequest(
            service=service,
            method=request.method,
            path=path.decode("latin-1"),
            query=request.query_string.decode("latin-1"),
            headers=request.headers,
            scope=request.scope,
            request_id=request.request_id,
            source_ip=source_ip,
        )

        self._is_all_here = anyio.Event()

    async def whole_body(self) -> bytes:
        self.read = await self.request.read_body(READ_BYTES)
        self._is_all_here.set()
        return self.read

    def rest(self) -> AsyncIterator[bytes] | bytes:
        """Return the body to send on, if it has not been read: nothing where there is none."""
        if any(name in _OF_A_BODY for name, _ in self.headers):
            return self._body()
        self._is_all_here.set()
        return b""

    async def _body(self) -> AsyncIterator[bytes]:
        """What the client sends, as it comes."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            yield message.get("body", b"")
        self._is_all_here.set()

    async def watch_client(self, scope: anyio.CancelScope) -> None:
        """Cancel `scope` when the client hangs up: nobody waits for a long poll any more."""
        await self._is_all_here.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.has_begun = True
        kept = [(name, value) for name, value in headers if name not in _NOT_RETURNED]
        if not any(name in (b"x-amzn-requestid", b"x-amz-request-id") for name, _ in kept):
            kept.append((b"x-amzn-requestid", self.request.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": kept})

    async def more(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, status: int, code: str, message: str) -> None:
        """Tell the client an error of ours, in the way its service tells its own."""
        content_type, body = error_body(self.seen, code, message)
        headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"x-amzn-errortype", code.encode()),
        ]
        await self.begin(status, headers)
        if self.request.method != "HEAD":
            await self.more(body)
        await self.end()


def error_body(request: ServiceRequest, code: str, message: str) -> tuple[bytes, bytes]:
    """Return the content type and body of an error, as the request's service writes one."""
    if request.service == S3 or "x-www-form-urlencoded" in request.headers.get("content-type", ""):
        return b"application/xml", _error_xml(request, code, message)
    document = {"__type": code, "message": message}
    return b"application/json", orjson.dumps(document)


def _error_xml(request: ServiceRequest, code: str, message: str) -> bytes:
    # Imported here, as parsing XML is rare.
    from xml.sax.saxutils import escape

    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    request_id = f"<RequestId>{escape(request.request_id)}</RequestId>"
    if request.service == S3:
        return f"<Error>{error}{request_id}</Error>".encode()
    return f"<ErrorResponse><Error>{error}</Error>{request_id}</ErrorResponse>".encode()
