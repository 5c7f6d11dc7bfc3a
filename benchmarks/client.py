"""An HTTP client that costs little, so that what is measured is the platform.

It keeps its connections open, sends requests that were made beforehand and reads no more
of an answer than its status, its length and whether the function failed.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
)


class BadAnswer(Exception):
    """An answer that a benchmark must not count."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes


def request(method: str, path: str, body: bytes = b"", extra: str = "") -> bytes:
    """Return the bytes of a request. The signature is none: neither platform verifies it."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Amz-Date: 20260101T000000Z\r\nAuthorization: {AUTHORIZATION}\r\n"
        f"{extra}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def invocation(name: str) -> bytes:
    return request("POST", f"/2015-03-31/functions/{name}/invocations", b"{}")


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def send(self, message: bytes) -> "asyncio.Future[Answer]":
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        body = self._body(head, self._received[end + 4 :])
        if body is None or self._answer is None:
            return
        answer, self._answer, self._received = self._answer, None, b""
        if not answer.done():
            answer.set_result(Answer(int(head[9:12]), head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the platform closed the connection"))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _body(self, head: bytes, rest: bytes) -> bytes | None:
        """Return the body once all of it is there."""
        _, _, length = head.partition(b"content-length:")
        if length:
            size = int(length.partition(b"\r\n")[0])
            return rest[:size] if len(rest) >= size else None
        return rest if rest.endswith(b"0\r\n\r\n") else None


class Client:
    """Sends one request at a time, over a connection that is replaced when it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    async def ask(self, message: bytes) -> Answer:
        for attempt in range(2):
            if self._connection is None or self._connection.is_closed:
                self._connection = await Connection.open(self._port)
            try:
                return await self._connection.send(message)
            except ConnectionError:
                # Servers close a connection after a number of requests, maybe just now.
                self._connection = None
                if attempt:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def check(answer: Answer, expected: bytes) -> None:
    if (
        answer.status != 200
        or b"x-amz-function-error" in answer.head
        or expected not in answer.body
    ):
        raise BadAnswer(f"{answer.status} {answer.body[:300]!r}")


@dataclass(slots=True)
class Load:
    """What a number of connections got through in a time."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


async def drive(port: int, name: str, *, connections: int, seconds: float, warm_up: int) -> Load:
    """Invoke over `connections` at once for `seconds`, after `warm_up` invocations on each."""
    message = invocation(name)
    clients = [Client(port) for _ in range(connections)]
    load = Load()
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.callback(client.close)
        await asyncio.gather(*(_repeat(client, message, warm_up) for client in clients))
        began = time.perf_counter()
        until = began + seconds
        await asyncio.gather(
            *(_until(client, message, until, load.latencies) for client in clients)
        )
        load.seconds = time.perf_counter() - began
    return load


async def _repeat(client: Client, message: bytes, times: int) -> None:
    for _ in range(times):
        check(await client.ask(message), b"ok")


async def _until(client: Client, message: bytes, end: float, latencies: list[float]) -> None:
    while (began := time.perf_counter()) < end:
        check(await client.ask(message), b"ok")
        latencies.append(time.perf_counter() - began)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of `values` lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered)) - 1))]
