"""The private channel against peers that are slow, wrong, hostile, or dead."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
)

pytestmark = pytest.mark.anyio

PATIENCE = 20
ARN = "arn:aws:lambda:eu-west-1:000000000000:function:f"
EVENT = Invocation("r1", ARN, b'{"a":1}', client_context='{"c":2}', trace="Root=1", tenant_id="t")


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


class Peer:
    """A bootstrap's side of the channel."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.far.setblocking(False)
        self.session = RuntimeSession()
        self.transport: ChannelTransport

    async def send(self, data: bytes) -> None:
        with anyio.fail_after(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.far, data)

    async def ready(self) -> None:
        await self.send(frame(b"N"))
        with anyio.fail_after(PATIENCE):
            assert await self.session.initialized() is None
            assert await self.session.free()

    async def receive(self, size: int) -> bytes:
        data = bytearray()
        with anyio.fail_after(PATIENCE):
            while len(data) < size:
                chunk = await asyncio.get_running_loop().sock_recv(self.far, size - len(data))
                assert chunk, "the channel was closed"
                data += chunk
        return bytes(data)

    async def receive_event(self) -> tuple[list[str], bytes]:
        length, kind = struct.unpack("!IB", await self.receive(5))
        assert kind == ord("I")
        body = await self.receive(length)
        (head,) = struct.unpack_from("!I", body)
        return body[4 : 4 + head].decode().split("\0"), body[4 + head :]

    async def answer(self, future: "asyncio.Future[Answer]") -> Answer:
        with anyio.fail_after(PATIENCE):
            return await asyncio.shield(future)

    async def closed(self) -> str | None:
        with anyio.fail_after(PATIENCE):
            return await asyncio.shield(self.transport.closed)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    peer.transport = ChannelTransport(peer.near, peer.session)
    try:
        yield peer
    finally:
        peer.transport.close()
        peer.far.close()


def frame(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack("!I", len(body)) + kind + body


def error_body(error_type: str, payload: bytes) -> bytes:
    head = f"{error_type}\0".encode()
    return struct.pack("!I", len(head)) + head + payload


async def test_an_event_goes_out_and_its_answer_comes_back(peer: Peer) -> None:
    await peer.ready()
    answer = peer.session.invoke(EVENT, 1234)
    head, payload = await peer.receive_event()
    assert head == ["r1", "1234", ARN, "Root=1", '{"c":2}', "", "t"]
    assert payload == EVENT.payload
    await peer.send(frame(b"R", b"result"))
    assert await peer.answer(answer) == Response(b"result")


async def test_an_answer_and_the_next_call_may_come_in_one_piece(peer: Peer) -> None:
    await peer.ready()
    for number in range(3):
        answer = peer.session.invoke(EVENT, 0)
        await peer.receive_event()
        await peer.send(frame(b"R", b"%d" % number) + frame(b"N"))
        assert await peer.answer(answer) == Response(b"%d" % number)
        assert peer.session.state is State.IDLE


async def test_frames_may_come_byte_by_byte(peer: Peer) -> None:
    await peer.ready()
    answer = peer.session.invoke(EVENT, 0)
    for byte in frame(b"R", b"slow") + frame(b"N"):
        await peer.send(bytes([byte]))
        await asyncio.sleep(0)
    assert await peer.answer(answer) == Response(b"slow")
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()


async def test_errors_come_back_with_their_type(peer: Peer) -> None:
    await peer.ready()
    answer = peer.session.invoke(EVENT, 0)
    await peer.send(frame(b"E", error_body("Function.Bad", b'{"errorMessage":"x"}')))
    assert await peer.answer(answer) == Error(b'{"errorMessage":"x"}', "Function.Bad")


async def test_an_init_error_comes_back(peer: Peer) -> None:
    await peer.send(frame(b"X", error_body("Runtime.ImportModuleError", b"{}")))
    with anyio.fail_after(PATIENCE):
        assert await peer.session.initialized() == Error(b"{}", "Runtime.ImportModuleError")


@pytest.mark.parametrize(
    "size", [0, 1, 16_378, 16_379, 16_380, 16_384, 100_000, limits.RESPONSE_BYTES]
)
async def test_answers_of_every_size_are_whole(peer: Peer, size: int) -> None:
    content = os.urandom(size)
    await peer.ready()
    answer = peer.session.invoke(EVENT, 0)
    await peer.send(frame(b"R", content) + frame(b"N"))
    assert await peer.answer(answer) == Response(content)
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()


@pytest.mark.parametrize("size", [65_536 - 100, 65_537, 6 * limits.MEBIBYTE])
async def test_events_of_every_size_are_whole(peer: Peer, size: int) -> None:
    content = os.urandom(size)
    await peer.ready()
    peer.session.invoke(Invocation("r1", ARN, content), 0)
    assert (await peer.receive_event())[1] == content


@pytest.mark.parametrize("kind", [b"R", b"E"])
async def test_a_longer_answer_is_thrown_away_and_the_runtime_lives_on(
    peer: Peer, kind: bytes
) -> None:
    await peer.ready()
    answer = peer.session.invoke(EVENT, 0)
    await peer.receive_event()
    await peer.send(frame(kind, bytes(limits.RESPONSE_BYTES + 1)) + frame(b"N"))
    assert await peer.answer(answer) == ResponseTooLarge()
    with anyio.fail_after(PATIENCE):
        assert await peer.session.free()
    answer = peer.session.invoke(EVENT, 0)
    await peer.receive_event()
    await peer.send(frame(b"R", b"fine"))
    assert await peer.answer(answer) == Response(b"fine")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(frame(b"R", b"x"), "not allowed while init", id="answer before a request"),
        pytest.param(frame(b"N", b"x"), "has a body", id="next with a body"),
        pytest.param(frame(b"N") * 2, "not allowed while idle", id="next twice"),
        pytest.param(frame(b"I", b"x"), "unknown", id="the node's own frame"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "unknown", id="HTTP"),
        pytest.param(frame(b"X"), "no head", id="error without head"),
        pytest.param(frame(b"X", b"\xff" * 9), "cannot have a head", id="endless head"),
        pytest.param(struct.pack("!I", 2**32 - 1) + b"X", "longer than", id="endless X"),
        pytest.param(frame(b"N") + frame(b"X", error_body("a", b"")), "while idle", id="late X"),
    ],
)
async def test_a_broken_rule_closes_the_channel(peer: Peer, data: bytes, reason: str) -> None:
    await peer.send(data)
    broken = await peer.closed()
    assert broken is not None
    assert reason in broken
    assert peer.near.fileno() == -1


async def test_a_peer_that_hangs_up_breaks_no_rule(peer: Peer) -> None:
    peer.far.close()
    assert await peer.closed() is None


async def test_an_event_for_a_peer_that_is_gone_is_no_error(peer: Peer) -> None:
    await peer.ready()
    peer.far.close()
    answer = peer.session.invoke(EVENT, 0)
    assert await peer.closed() is None
    peer.session.end(Exit(signal=9))
    assert await peer.answer(answer) == Exit(signal=9)


async def test_drain_takes_in_at_once_what_a_dead_process_left(peer: Peer) -> None:
    await peer.ready()
    answer = peer.session.invoke(EVENT, 0)
    left = frame(b"R", bytes(100_000))
    assert peer.far.send(left) == len(left)
    peer.transport.drain()
    assert answer.result() == Response(bytes(100_000))
    peer.transport.drain()
    peer.far.close()
    peer.transport.drain()
    assert peer.transport.closed.done()


async def test_close_may_be_called_twice_and_ends_everything(peer: Peer) -> None:
    await peer.ready()
    peer.session.invoke(Invocation("r1", ARN, bytes(6 * limits.MEBIBYTE)), 0)
    peer.transport.close()
    peer.transport.close()
    peer.transport.drain()
    assert await peer.closed() is None


async def test_a_callers_nul_does_not_reach_other_fields(peer: Peer) -> None:
    await peer.ready()
    peer.session.invoke(Invocation("r1", ARN, b"", client_context="a\0cognito\0tenant"), 0)
    head, _ = await peer.receive_event()
    assert head == ["r1", "0", ARN, "", "acognitotenant", "", ""]


async def test_a_callers_lone_surrogate_does_not_stop_the_event(peer: Peer) -> None:
    await peer.ready()
    peer.session.invoke(Invocation("r1", ARN, b"", client_context="\ud800"), 0)
    head, _ = await peer.receive_event()
    assert head[4] == "?"


FRAMES = st.one_of(
    st.builds(
        frame,
        st.sampled_from([b"N", b"R", b"E", b"X", b"I", b"B", b"C", b"F", b"L", b"S", b"H", b"\0"]),
        st.binary(),
    ),
    st.builds(
        lambda kind, length, body: struct.pack("!I", length) + kind + body,
        st.sampled_from([b"N", b"R", b"E", b"X", b"B", b"C", b"F", b"L", b"S", b"H"]),
        st.integers(0, 2**32 - 1),
        st.binary(),
    ),
    st.builds(
        lambda kind, name, body: frame(kind, error_body(name, body)),
        st.sampled_from([b"E", b"X", b"L"]),
        st.text(max_size=10),
        st.binary(),
    ),
    st.binary(),
    st.just(frame(b"R", b"ok") + frame(b"N")),
    st.just(frame(b"B", b"a/b") + frame(b"C", b"ok")),
    st.just(frame(b"F") + frame(b"N")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAMES, max_size=12), st.integers(1, 4096))
def test_garbage_never_raises_and_never_confuses_the_session(
    frames: list[bytes], piece: int
) -> None:
    async def run() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, ctx: failures.append(ctx))
        near, far = socket.socketpair()
        with far:
            session = RuntimeSession()
            transport = ChannelTransport(near, session)
            data = frame(b"N") + b"".join(frames)
            answer = None
            for start in range(0, len(data), piece):
                if transport.closed.done():
                    break
                far.sendall(data[start : start + piece])
                transport.drain()
                if session.state is State.IDLE and not transport.closed.done():
                    answer = session.invoke(EVENT, 0)
                if session.state is State.BUSY:
                    assert answer is not None
                    assert not answer.done()
                elif session.state is State.ANSWERED:
                    assert answer is None or answer.done()
            session.end(Exit())
            assert answer is None or answer.done()
            transport.close()
        assert not failures

    asyncio.run(run())


async def test_an_answer_that_comes_with_the_next_call_is_told_when_both_are_in(
    peer: Peer,
) -> None:
    await peer.ready()
    told: asyncio.Future[tuple[Answer, State]] = asyncio.get_running_loop().create_future()
    session = peer.session
    session.hand_over(EVENT, 0, lambda answer: told.set_result((answer, session.state)))
    await peer.receive_event()
    await peer.send(frame(b"R", b"x" * 100) + frame(b"N"))
    with anyio.fail_after(PATIENCE):
        assert await told == (Response(b"x" * 100), State.IDLE)


async def test_an_answer_in_advance_of_its_event_closes_the_channel(peer: Peer) -> None:
    await peer.ready()
    answer = peer.session.invoke(EVENT, 0)
    await peer.receive_event()
    await peer.send(frame(b"R", b"1") + frame(b"N") + frame(b"R", b"2") + frame(b"N"))
    assert await peer.answer(answer) == Response(b"1")
    assert await peer.closed() == "frame R is not allowed while idle"
