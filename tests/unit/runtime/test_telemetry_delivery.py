"""Telemetry on its way to listeners that accept, refuse, hang and answer without end."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from lambdabox.runtime import telemetry_delivery
from lambdabox.runtime.telemetry_delivery import Buffer, Subscriber
from lambdabox.runtime.telemetry_subscription import Buffering, Destination, SubscriptionRequest

pytestmark = pytest.mark.anyio

PATIENCE = 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Listener:
    """Keeps the requests it gets, and gives the answers it is told; then 200s."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self._answers = answers
        self._grown = asyncio.Event()

    @property
    def batches(self) -> list[Any]:
        return [json.loads(body) for body in self.bodies]

    async def requests(self, count: int) -> None:
        with anyio.fail_after(PATIENCE):
            while len(self.bodies) < count:
                self._grown.clear()
                await self._grown.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            self.heads.append(head)
            self.bodies.append(await reader.readexactly(length))
            self._grown.set()
            answer = self._answers.pop(0) if self._answers else OK
            if answer is None:  # hang until the other side gives up
                await reader.read()
            else:
                writer.write(answer)
        writer.close()


@asynccontextmanager
async def listening(*answers: bytes | None) -> AsyncIterator[Listener]:
    listener = Listener(list(answers))
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


async def connect(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


def dropped(records: int, size: int) -> bytes:
    return json.dumps({"dropped": records, "bytes": size}).encode()


@asynccontextmanager
async def subscribed(
    destination: Destination,
    *,
    buffering: Buffering | None = None,
    connect: Callable[[int], Awaitable[socket.socket]] = connect,
) -> AsyncIterator[Subscriber]:
    buffering = buffering or Buffering(timeout_ms=25)
    request = SubscriptionRequest("telemetry", "2022-07-01", ("platform",), buffering, destination)
    subscriber = Subscriber(request, connect, dropped)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscriber.serve)
        yield subscriber
        subscriber.close()
        subscriber.close()


async def test_events_are_posted_as_an_array() -> None:
    async with (
        listening() as listener,
        subscribed(Destination("HTTP", listener.port, "sandbox", "/a?b")) as subscriber,
    ):
        subscriber.add(b'{"a":1}')
        subscriber.add(b'"b"')
        await listener.requests(1)
        assert listener.batches == [[{"a": 1}, "b"]]
    [head] = listener.heads
    assert head.startswith(f"POST /a?b HTTP/1.1\r\nHost: sandbox:{listener.port}\r\n")
    assert "Content-Type: application/json\r\n" in head


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\n\r\n",
        b"HTTP/1.1\r\n",
        b"",
        b"nonsense\r\n\r\n",
        b"x" * 100_000,
        None,
    ],
    ids=["500", "no status", "closed", "nonsense", "endless", "hangs"],
)
async def test_a_batch_is_sent_again_until_it_is_accepted(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_delivery, "ATTEMPT_SECONDS", 0.2)
    async with (
        listening(answer, answer) as listener,
        subscribed(Destination("HTTP", listener.port)) as subscriber,
    ):
        subscriber.add(b"1")
        await listener.requests(3)
        subscriber.add(b"2")
        await listener.requests(4)
    assert listener.batches == [[1], [1], [1], [2]]


async def test_a_listener_that_comes_late_is_found() -> None:
    attempts = 0

    async def late(port: int) -> socket.socket:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise ConnectionRefusedError
        return await connect(port)

    async with (
        listening() as listener,
        subscribed(Destination("HTTP", listener.port), connect=late) as subscriber,
    ):
        subscriber.add(b"1")
        await listener.requests(1)
    assert attempts == 3


async def test_a_full_batch_does_not_wait() -> None:
    buffering = Buffering(max_items=1_000, timeout_ms=30_000)
    async with (
        listening() as listener,
        subscribed(Destination("HTTP", listener.port), buffering=buffering) as subscriber,
    ):
        for number in range(1_001):
            subscriber.add(str(number).encode())
        await listener.requests(1)
    assert listener.batches == [list(range(1_000))]


async def test_a_flush_does_not_wait() -> None:
    buffering = Buffering(timeout_ms=30_000)
    async with (
        listening() as listener,
        subscribed(Destination("HTTP", listener.port), buffering=buffering) as subscriber,
    ):
        subscriber.add(b"1")
        subscriber.flush()
        await listener.requests(1)
        subscriber.add(b"2")
        await listener.requests(2)
    assert listener.batches == [[1], [2]]


async def test_all_is_flushed_once_the_listener_has_accepted_it() -> None:
    buffering = Buffering(max_items=1_000, timeout_ms=30_000)
    refused = b"HTTP/1.1 500 Not yet\r\nContent-Length: 0\r\n\r\n"
    async with (
        listening(refused) as listener,
        subscribed(Destination("HTTP", listener.port), buffering=buffering) as subscriber,
    ):
        with anyio.fail_after(PATIENCE):
            await subscriber.flushed()  # there is nothing
            for number in range(1_500):
                subscriber.add(str(number).encode())
            subscriber.flush()
            await subscriber.flushed()
    assert listener.batches == [list(range(1_000))] * 2 + [list(range(1_000, 1_500))]


async def test_nobody_waits_for_a_flush_after_the_end() -> None:
    async with subscribed(Destination("HTTP", 1), buffering=Buffering()) as subscriber:
        subscriber.add(b"1")
        subscriber.close()
        with anyio.fail_after(PATIENCE):
            await subscriber.flushed()


async def test_a_paused_subscriber_is_sent_nothing_until_it_resumes() -> None:
    async with (
        listening() as listener,
        subscribed(Destination("HTTP", listener.port)) as paused,
        subscribed(Destination("HTTP", listener.port)) as awake,
    ):
        paused.pause()
        paused.add(b"1")
        for count in range(1, 4):  # each due after the paused one's
            awake.add(b"2")
            await listener.requests(count)
        assert listener.batches == [[2], [2], [2]]
        paused.resume()
        await listener.requests(4)
        assert listener.batches[-1] == [1]


async def test_tcp_listeners_get_lines_over_one_connection() -> None:
    lines: list[bytes] = []
    connections = 0
    grown = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while line := await reader.readline():
            lines.append(line)
            grown.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with subscribed(Destination("TCP", port)) as subscriber:
        with anyio.fail_after(PATIENCE):
            for number in range(3):
                subscriber.add(str(number).encode())
                while len(lines) <= number:
                    grown.clear()
                    await grown.wait()
    server.close()
    assert lines == [b"0\n", b"1\n", b"2\n"]
    assert connections == 1


async def test_a_closed_subscriber_stops_in_the_middle_of_a_delivery() -> None:
    async with (
        listening(None) as listener,
        subscribed(Destination("HTTP", listener.port)) as subscriber,
    ):
        subscriber.add(b"1")
        await listener.requests(1)
        subscriber.close()


async def test_what_was_dropped_is_told_first() -> None:
    buffering = Buffering(max_items=1_000, max_bytes=262_144, timeout_ms=25)
    async with (
        listening() as listener,
        subscribed(Destination("HTTP", listener.port), buffering=buffering) as subscriber,
    ):
        for _ in range(2_003):
            subscriber.add(b"1")
        await listener.requests(2)
    [first, second] = listener.batches
    assert first[0] == {"dropped": 3, "bytes": 3}
    assert len(first) == 1_001
    assert len(second) == 1_000


def test_a_buffer_is_bounded_in_bytes_and_always_gives_something() -> None:
    buffer = Buffer(Buffering())
    for _ in range(100):
        buffer.add(b"x" * 50_000)
    assert len(buffer) == 10
    assert (buffer.dropped_records, buffer.dropped_bytes) == (90, 4_500_000)
    assert buffer.is_full
    assert len(buffer.take()) == 5
    assert not buffer.is_full
    assert len(buffer.take()) == 5
    assert buffer.take() == []
    buffer.add(b"x" * 400_000)
    assert len(buffer.take()) == 1
