"""Streamed results on the private channel, from peers that are slow, wrong or dead."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Exit
from lambdabox.runtime.channel import ChannelTransport
from lambdabox.runtime.session import (
    Answer,
    Error,
    Response,
    ResponseTooLarge,
    RuntimeSession,
    State,
    Truncated,
)
from lambdabox.runtime.streams import HIGH_WATER_BYTES, ResponseBuffer

pytestmark = pytest.mark.anyio

PATIENCE = 20
EVENT = Invocation("r1", "arn", b"{}")


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


def frame(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack("!I", len(body)) + kind + body


def error(kind: bytes, error_type: str, payload: bytes) -> bytes:
    head = f"{error_type}\0".encode()
    return frame(kind, struct.pack("!I", len(head)) + head + payload)


class Peer:
    """A bootstrap that has been given EVENT, and who takes its response."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.far = far
        self.session = RuntimeSession()
        self.transport = ChannelTransport(near, self.session)
        self.buffer = ResponseBuffer()
        self._answer: asyncio.Future[Answer]

    async def invoke(self, *, streamed: bool = True) -> None:
        await self.send(frame(b"N"))
        with anyio.fail_after(PATIENCE):
            assert await self.session.initialized() is None
            assert await self.session.free()
        self._answer = self.session.invoke(EVENT, 0, self.buffer if streamed else None)

    async def send(self, data: bytes) -> None:
        with anyio.fail_after(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.far, data)

    async def answer(self) -> Answer:
        with anyio.fail_after(PATIENCE):
            return await asyncio.shield(self._answer)

    async def read(self) -> bytes:
        data = b""
        with anyio.fail_after(PATIENCE):
            while piece := await self.buffer.read():
                data += piece
        return data

    async def closed(self) -> str | None:
        with anyio.fail_after(PATIENCE):
            return await asyncio.shield(self.transport.closed)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    near, far = socket.socketpair()
    far.setblocking(False)
    with far:
        peer = Peer(near, far)
        yield peer
        peer.transport.close()


STREAM = frame(b"B", b"text/plain") + frame(b"C", b"one ") + frame(b"C") + frame(b"C", b"two")


async def test_a_result_comes_piece_by_piece(peer: Peer) -> None:
    await peer.invoke()
    await peer.send(frame(b"B", b"text/plain"))
    with anyio.fail_after(PATIENCE):
        assert await peer.buffer.begun() == "text/plain"
        await peer.send(frame(b"C", b"one"))
        assert await peer.buffer.read() == b"one"
    assert peer.session.state is State.STREAMING
    await peer.send(frame(b"C", b"two") + frame(b"F") + frame(b"N"))
    assert await peer.read() == b"two"
    assert await peer.answer() == Response(b"")
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()


@pytest.mark.parametrize("streamed", [True, False])
async def test_frames_may_come_byte_by_byte(peer: Peer, streamed: bool) -> None:
    await peer.invoke(streamed=streamed)
    for byte in STREAM + frame(b"F") + frame(b"N"):
        await peer.send(bytes([byte]))
        await asyncio.sleep(0)
    if streamed:
        assert await peer.read() == b"one two"
    assert await peer.answer() == Response(b"" if streamed else b"one two")


@pytest.mark.parametrize("size", [16_378, 16_379, 16_380, 16_384, 1_000_000])
async def test_pieces_of_every_size_are_whole(peer: Peer, size: int) -> None:
    content = os.urandom(size)
    await peer.invoke()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(peer.send, STREAM + frame(b"C", content) + frame(b"F") + frame(b"N"))
        assert await peer.read() == b"one two" + content
    assert await peer.answer() == Response(b"")


async def test_without_a_reader_the_runtime_is_stopped(peer: Peer) -> None:
    await peer.invoke()
    sent = 0
    await peer.send(frame(b"B", b"a/b") + struct.pack("!IB", 100_000_000, ord("C")))
    with anyio.move_on_after(0.3):
        while True:
            await asyncio.get_running_loop().sock_sendall(peer.far, bytes(65_536))
            sent += 65_536
    assert sent < 4_000_000
    assert len(await peer.buffer.read()) < HIGH_WATER_BYTES + 32_768


async def test_an_error_within_the_stream_follows_what_came_before(peer: Peer) -> None:
    await peer.invoke()
    await peer.send(STREAM + error(b"L", "Function.Late", b'{"a":1}') + frame(b"N"))
    assert await peer.read() == b"one two"
    assert await peer.answer() == Error(b'{"a":1}', "Function.Late")
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()


async def test_a_collected_result_has_the_limit_of_any_other(peer: Peer) -> None:
    await peer.invoke(streamed=False)
    await peer.send(frame(b"B", b"a/b") + frame(b"C", bytes(limits.RESPONSE_BYTES)))
    await peer.send(frame(b"C", b"x"))
    assert await peer.answer() == ResponseTooLarge(limits.RESPONSE_BYTES)
    await peer.send(frame(b"C", bytes(1_000_000)) + frame(b"F") + frame(b"N"))
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()


async def test_a_streamed_result_has_a_limit_of_its_own(peer: Peer) -> None:
    peer.buffer = ResponseBuffer(limit=100)
    await peer.invoke()
    await peer.send(frame(b"B", b"a/b") + frame(b"C", bytes(100)) + frame(b"C", b"x"))
    assert await peer.answer() == ResponseTooLarge(100)
    await peer.send(frame(b"C", bytes(1_000_000)) + frame(b"F") + frame(b"N"))
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()


async def test_what_a_dead_process_sent_is_taken_in_however_slowly_it_is_read(peer: Peer) -> None:
    await peer.invoke()
    data = STREAM + frame(b"C", bytes(2 * HIGH_WATER_BYTES)) + frame(b"F")
    assert peer.far.send(data) == len(data)
    peer.transport.drain()
    peer.session.end(Exit(status=0))
    assert await peer.answer() == Response(b"")
    assert await peer.read() == b"one two" + bytes(2 * HIGH_WATER_BYTES)


async def test_a_process_that_ends_in_the_middle_truncates_the_response(peer: Peer) -> None:
    await peer.invoke()
    assert peer.far.send(STREAM) == len(STREAM)
    peer.transport.drain()
    peer.session.end(Exit(status=1))
    assert await peer.answer() == Truncated(Exit(status=1))
    assert await peer.read() == b"one two"


async def test_a_process_without_memory_in_the_middle_is_that(peer: Peer) -> None:
    await peer.invoke()
    peer.far.send(STREAM)
    peer.transport.drain()
    peer.session.end(Exit(signal=9, out_of_memory=True))
    assert await peer.answer() == Exit(signal=9, out_of_memory=True)


async def test_after_the_deadline_pieces_are_dropped(peer: Peer) -> None:
    await peer.invoke()
    await peer.send(STREAM)
    with anyio.fail_after(PATIENCE):
        assert await peer.buffer.begun() == "text/plain"
    peer.session.expire()
    await peer.send(frame(b"C", bytes(10 * HIGH_WATER_BYTES)) + frame(b"F") + frame(b"N"))
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()
    assert await peer.read() == b"one two"


@pytest.mark.parametrize("content_type", [b"", b"a\r\nb: c", b"caf\xe9", b"x" * 257])
async def test_a_content_type_that_cannot_be_a_header_is_that_of_bytes(
    peer: Peer, content_type: bytes
) -> None:
    await peer.invoke()
    await peer.send(frame(b"B", content_type))
    with anyio.fail_after(PATIENCE):
        assert await peer.buffer.begun() == "application/octet-stream"


@pytest.mark.parametrize(
    ("before", "data", "reason"),
    [
        pytest.param(b"", frame(b"C", b"x"), "C is not allowed while busy", id="piece first"),
        pytest.param(b"", frame(b"F"), "F is not allowed while busy", id="end first"),
        pytest.param(b"", error(b"L", "x", b""), "L is not allowed while busy", id="late first"),
        pytest.param(STREAM, frame(b"B"), "B is not allowed while streaming", id="begin twice"),
        pytest.param(STREAM, frame(b"R", b"x"), "R is not allowed while streaming", id="result"),
        pytest.param(STREAM, error(b"E", "x", b""), "E is not allowed while streaming", id="E"),
        pytest.param(STREAM, frame(b"N"), "N is not allowed while streaming", id="next"),
        pytest.param(STREAM, frame(b"F", b"x"), "F has a body", id="end with a body"),
        pytest.param(STREAM, frame(b"L"), "no head", id="late error without head"),
        pytest.param(STREAM, struct.pack("!IB", 2**32 - 1, ord("L")), "longer than", id="long L"),
        pytest.param(b"", struct.pack("!IB", 2000, ord("B")), "longer than 1024", id="long B"),
        pytest.param(STREAM + frame(b"F"), frame(b"C", b"x"), "while answered", id="after end"),
    ],
)
async def test_a_broken_rule_closes_the_channel(
    peer: Peer, before: bytes, data: bytes, reason: str
) -> None:
    await peer.invoke()
    await peer.send(before + data)
    broken = await peer.closed()
    assert broken is not None
    assert reason in broken


async def test_a_stream_without_an_event_closes_the_channel(peer: Peer) -> None:
    await peer.send(frame(b"N") + frame(b"B", b"a/b"))
    assert "not allowed while idle" in str(await peer.closed())


async def test_closing_in_the_middle_leaves_nothing(peer: Peer) -> None:
    await peer.invoke()
    await peer.send(frame(b"B", b"a/b") + struct.pack("!IB", 10_000_000, ord("C")))
    await peer.send(bytes(HIGH_WATER_BYTES + 20_000))
    with anyio.fail_after(PATIENCE):
        assert await peer.buffer.begun() == "a/b"
    peer.transport.close()
    peer.transport.resume()
    assert await peer.closed() is None
    peer.session.end(Exit())
    assert await peer.answer() == Truncated(Exit())
