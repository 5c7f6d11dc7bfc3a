"""A small HTTP client that streams: requests go out and answers come in piece by piece.

For relaying. It changes nothing but the framing, and follows, retries and decodes nothing.
Each request has a connection of its own: moto's server closes each, and a connection that was
left open could fail a request that must not be sent twice.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import httptools
from anyio.abc import ByteStream

from lambdabox.domain.values import dataclass

Headers = Sequence[tuple[bytes, bytes]]

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 120.0
"""How long nothing may arrive before the other side is given up."""
_CHUNK_BYTES = 64 * 1024
_HEAD_BYTES = 1024 * 1024


class HttpError(Exception):
    """There was no answer, or not a whole one. The message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Headers
    """Names in lower case."""
    body: AsyncIterator[bytes]


@asynccontextmanager
async def request(
    url: str,
    method: str,
    target: bytes,
    headers: Headers,
    body: AsyncIterable[bytes] | bytes,
) -> AsyncIterator[Answer]:
    """Send a request to the server of `url`; the answer is there for the block.

    `headers` are sent as they are; without content-length, a body that is iterated goes in
    chunks. Raises HttpError, also while the answer's body is read, and whatever `body` raises.
    """
    stream = await _connect(url)
    reader = _Reader(stream, has_body=method != "HEAD")
    try:
        async with anyio.create_task_group() as tasks:
            # Beside reading: a server may answer, and refuse, before it has read everything.
            tasks.start_soon(_send, stream, method, target, headers, body)
            status = await reader.head()
            yield Answer(status, reader.headers, reader.body())
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _cause(group) from None
    finally:
        await anyio.aclose_forcefully(stream)


def _cause(group: BaseException) -> BaseException:
    """Return the one exception that a task group's is about."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


async def _connect(url: str) -> ByteStream:
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            if not is_tls:
                return await anyio.connect_tcp(host, port)
            return await anyio.connect_tcp(
                host, port, ssl_context=ssl.create_default_context(), tls_standard_compatible=False
            )
    except (OSError, TimeoutError) as exc:
        reason = str(exc) or f"no connection within {CONNECT_SECONDS:g} seconds"
        raise HttpError(f"{url} cannot be reached: {reason}") from exc


async def _send(
    stream: ByteStream,
    method: str,
    target: bytes,
    headers: Headers,
    body: AsyncIterable[bytes] | bytes,
) -> None:
    lines = [b"%b: %b\r\n" % header for header in headers]
    is_chunked = not isinstance(body, bytes) and not any(n == b"content-length" for n, _ in headers)
    if is_chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    head = b"%b %b HTTP/1.1\r\n%bconnection: close\r\n\r\n" % (
        method.encode(), target, b"".join(lines),
    )  # fmt: skip
    try:
        if isinstance(body, bytes):
            await stream.send(head + body)
            return
        await stream.send(head)
        async for chunk in body:
            if chunk:
                await stream.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
        if is_chunked:
            await stream.send(b"0\r\n\r\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # it wants no more; what it answers, or that it does not, is read elsewhere


class _Reader:
    """An answer, as it arrives. Its methods without underscore, but two, are httptools'."""

    def __init__(self, stream: ByteStream, *, has_body: bool) -> None:
        self._stream = stream
        self._has_body = has_body
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._head_bytes = 0
        self._has_head = False
        self._is_complete = False
        self._is_framed = False
        self.headers: list[tuple[bytes, bytes]] = []

    async def head(self) -> int:
        """Read until the headers are complete; return the status."""
        while not self._has_head:
            self._head_bytes += await self._read()
            if self._head_bytes > _HEAD_BYTES:
                raise HttpError("the answer's headers exceed 1 MB")
        status: int = self._parser.get_status_code()
        if not self._has_body or status in (204, 304):
            self._is_complete = True
        return status

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            chunks, self._chunks = self._chunks, []
            for chunk in chunks:
                yield chunk
            if self._is_complete:
                return
            await self._read()

    async def _read(self) -> int:
        try:
            with anyio.fail_after(SILENCE_SECONDS):
                data = await self._stream.receive(_CHUNK_BYTES)
            self._parser.feed_data(data)
            return len(data)
        except TimeoutError as exc:
            raise HttpError(f"nothing arrived for {SILENCE_SECONDS:g} seconds") from exc
        except httptools.HttpParserError as exc:
            raise HttpError(f"the answer is no HTTP: {exc}") from exc
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            if not self._has_head or self._is_framed:
                raise HttpError("the connection ended before the answer did") from exc
            self._is_complete = True  # its end is how the length is told
            return 0

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._is_framed |= name in (b"content-length", b"transfer-encoding")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # "100 Continue": the answer follows
            self.headers, self._is_framed = [], False
        else:
            self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._is_complete = self._has_head
