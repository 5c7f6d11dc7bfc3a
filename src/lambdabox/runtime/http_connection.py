"""HTTP/1.1 for one hostile client: the wire below the Runtime API.

Parsed by httptools, without a framework: a sandbox's client is a handful of runtimes'
HTTP libraries, and whatever else user code cares to send. So everything here is bounded:
heads, bodies, requests waiting in a pipeline, and answers the client does not read.
Requests are handed on one at a time and answered in their order.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import field
from http import HTTPStatus
from typing import Protocol, cast

import httptools
import orjson

from lambdabox.domain import limits
from lambdabox.domain.values import dataclass

# A head may carry an X-Ray cause of 64 KiB.
_HEAD_BYTES = 128 * 1024
_PIPELINED_REQUESTS = 16
_JOINED_BYTES = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request. `headers` have lower-case names; a chunked body's trailers are apart."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = b""
    """None if it was longer than allowed; empty if it was streamed."""
    is_streamed: bool = False
    keep_alive: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    """Values free of control characters."""

    def head(self, *, keep_alive: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            "Content-Type: application/json",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        if not keep_alive:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode(errors="replace")


def error_reply(status: int, error_type: str, message: str, *headers: tuple[str, str]) -> Reply:
    body = orjson.dumps({"errorMessage": message, "errorType": error_type})
    return Reply(status, body, headers)


class Application(Protocol):
    """What answers the requests of all connections of one sandbox."""

    def opened(self, connection: "HttpConnection") -> bool:
        """Return False to refuse the connection."""

    def stream(
        self, request: Request, connection: "HttpConnection"
    ) -> Callable[[bytes], None] | None:
        """Return what takes the body of a request, of which only the head is there, as it
        comes; None to have it collected. The request is handled at its end in any case, or
        the connection is `left` before. Must not raise, and neither must what it returns.
        """

    def handle(self, request: Request, connection: "HttpConnection") -> Reply | None:
        """Return the reply, or None to give it later through `connection.reply`."""

    def reserve(self, size: int) -> bool:
        """Take `size` bytes of memory for a body, or give them back if negative."""

    def left(self, connection: "HttpConnection") -> None:
        """No more requests come, and a reply still owed can no longer be given."""

    def closed(self, connection: "HttpConnection") -> None:
        """Nothing of the connection is left. Always follows `left`."""


class HttpConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._request = Request()
        self._is_receiving = False
        self._body: bytes | bytearray = b""
        self._reserved = 0
        self._is_too_long = False
        self._take: Callable[[bytes], None] | None = None
        self._in_trailers = False
        self._unproductive = 0
        self._is_choked = self._is_paused = False
        self._may_pause = True
        self._waiting: deque[Request] = deque()
        self._owing: Request | None = None
        self._is_gone = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._application.opened(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        # Counts what came since the last byte of a body, so that neither a head nor
        # trailers nor chunk extensions can go on for ever.
        self._unproductive += len(data)
        self._feed(data)
        if self._unproductive > _HEAD_BYTES:
            self._refuse(431, "RequestHeaderFieldsTooLarge", "The request's head is too large.")
        self._proceed()
        if len(self._waiting) > _PIPELINED_REQUESTS:
            self.abort()

    def eof_received(self) -> None:
        if self._is_receiving and self._owing is None:
            self._refuse(400, "TruncatedHTTPRequest", "The request ended before its body did.")
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's name)
        self._leave()
        self._application.closed(self)

    def pause_writing(self) -> None:
        self._is_choked = True
        self._read_or_not()

    def resume_writing(self) -> None:
        self._is_choked = False
        self._read_or_not()

    # Called by the application.

    def reply(self, reply: Reply) -> None:
        """Give the reply owed since `handle` returned None."""
        if self._owing is not None:
            request, self._owing = self._owing, None
            self._write(reply, request)
            if self._waiting:
                self._loop.call_soon(self._proceed)

    def pause(self) -> None:
        """Read no more until `resume`: whoever takes the body is behind."""
        self._is_paused = self._may_pause
        self._read_or_not()

    def resume(self) -> None:
        self._is_paused = False
        self._read_or_not()

    def drain(self) -> None:
        """Read to the end, however slowly it is taken. For a client that has ended."""
        self._may_pause = False
        self.resume()

    def abort(self) -> None:
        """Drop the connection and all that is unsent."""
        if self._transport is not None:
            self._transport.abort()
        self._leave()

    # Called by the parser. Exceptions would be taken for the client's mistakes, so nothing
    # but bookkeeping happens here.

    def on_message_begin(self) -> None:
        self._request = Request()
        self._is_receiving = True
        self._url = self._body = b""
        self._is_too_long = self._in_trailers = False
        self._take = None

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._request.trailers if self._in_trailers else self._request.headers
        headers[name.decode("latin-1").lower()] = value.decode(errors="replace")

    def on_headers_complete(self) -> None:
        self._request.method = self._parser.get_method().decode("latin-1")
        self._request.path = _path(self._url)
        self._request.keep_alive = self._parser.should_keep_alive()
        self._in_trailers = True
        expects = self._request.headers.get("expect", "").lower() == "100-continue"
        is_next = self._owing is None and not self._waiting
        if is_next:
            self._take = self._application.stream(self._request, self)
            self._request.is_streamed = self._take is not None
        if expects and is_next and self._parser.get_http_version() == "1.1":
            self._send(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        self._unproductive = 0
        if self._take is not None:
            self._take(data)
            return
        if self._is_too_long:
            return
        total = len(self._body) + len(data)
        if total > limits.RESPONSE_BYTES or not self._application.reserve(len(data)):
            self._is_too_long = True
            self._release()
            self._body = b""
            return
        self._reserved += len(data)
        if not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def on_message_complete(self) -> None:
        self._request.body = None if self._is_too_long else bytes(self._body)
        self._waiting.append(self._request)
        self._is_receiving, self._body, self._take = False, b"", None
        self._unproductive = 0

    def _feed(self, data: bytes) -> None:
        while data and not self._is_gone:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # An offer of HTTP/2 or WebSocket may be ignored: go on in HTTP/1.1.
                self._parser = httptools.HttpRequestParser(self)
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                self._proceed()
                self._refuse(400, "InvalidRequestFormat", f"Not a valid HTTP request: {error}")
                return

    def _proceed(self) -> None:
        """Handle the requests that wait, up to one that cannot be answered yet."""
        while self._waiting and self._owing is None and not self._is_gone:
            request = self._waiting.popleft()
            self._owing = request
            reply = self._application.handle(request, self)
            if not self._waiting and not self._is_receiving:
                self._release()
            if reply is not None and self._owing is request:
                self._owing = None
                self._write(reply, request)

    def _write(self, reply: Reply, request: Request) -> None:
        head = reply.head(keep_alive=request.keep_alive)
        if request.method == "HEAD":
            self._send(head)
        elif len(reply.body) <= _JOINED_BYTES:
            self._send(head + reply.body)
        else:
            self._send(head, reply.body)
        if not request.keep_alive:
            self._finish()

    def _refuse(self, status: int, error_type: str, message: str) -> None:
        if not self._is_gone and self._owing is None:
            reply = error_reply(status, error_type, message)
            self._send(reply.head(keep_alive=False) + reply.body)
        self._finish()

    def _send(self, *parts: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(parts) if len(parts) > 1 else self._transport.write(parts[0])

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_choked or self._is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _finish(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._leave()

    def _leave(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._waiting.clear()
            self._release()
            self._application.left(self)

    def _release(self) -> None:
        self._application.reserve(-self._reserved)
        self._reserved = 0


def _path(url: bytes) -> str:
    try:
        path = httptools.parse_url(url).path or b"/"
    except httptools.HttpParserInvalidURLError:
        path = url
    return path.decode("latin-1")
