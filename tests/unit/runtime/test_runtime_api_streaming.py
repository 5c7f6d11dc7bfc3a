"""Streamed responses over the HTTP Runtime API: in any pieces, and broken off anywhere."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runtime_api import EVENT, GET_NEXT, PATIENCE, Client, Node, response_path, serving

from lambdabox.domain import limits
from lambdabox.ports import Exit
from lambdabox.runtime.session import (
    Answer,
    Error,
    Response,
    ResponseTooLarge,
    State,
    Truncated,
)
from lambdabox.runtime.streams import ResponseBuffer

pytestmark = pytest.mark.anyio

HEAD = (
    f"POST {response_path()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    "Content-Type: text/plain\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n"
    "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
)
END = b"0\r\n\r\n"
LATE = b'{"errorMessage":"late","errorType":"Late"}'
FAILED = (
    "0\r\nLambda-Runtime-Function-Error-Type: Function.Late\r\n"
    f"Lambda-Runtime-Function-Error-Body: {base64.b64encode(LATE).decode()}\r\n\r\n"
).encode()


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with serving() as node:
        yield node


def head(*lines: str) -> bytes:
    return "\r\n".join([HEAD.rstrip("\r\n"), *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Streaming:
    """A runtime that has been given EVENT, and who takes its response."""

    def __init__(self, node: Node, *, limit: int = limits.STREAMED_RESPONSE_BYTES) -> None:
        self.node = node
        self.buffer = ResponseBuffer(limit=limit)
        self.client: Client
        self._answer: asyncio.Future[Answer]

    async def begin(self) -> "Streaming":
        self.client = await self.node.connect()
        await self.again()
        return self

    async def again(self) -> None:
        await self.client.send(GET_NEXT)
        await self.node.is_free()
        self._answer = self.node.session.invoke(EVENT, 1234, self.buffer)
        assert (await self.client.receive()).status == 200

    async def answer(self) -> Answer:
        return await self.node.answer(self._answer)

    async def read(self) -> bytes:
        data = b""
        with anyio.fail_after(PATIENCE):
            while piece := await self.buffer.read():
                data += piece
        return data


async def test_a_response_reaches_its_taker_before_it_is_complete(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head())
    with anyio.fail_after(PATIENCE):
        assert await runtime.buffer.begun() == "text/plain"
        for data in (b"one", b"two"):
            await runtime.client.send(chunk(data))
            assert await runtime.buffer.read() == data
    assert node.session.state is State.STREAMING
    await runtime.client.send(END)
    reply = await runtime.client.receive()
    assert (reply.status, reply.body) == (202, b'{"status":"OK"}')
    assert await runtime.answer() == Response(b"")
    await runtime.again()


async def test_a_response_may_come_byte_by_byte(node: Node) -> None:
    runtime = await Streaming(node).begin()
    for byte in head() + chunk(b"abc") + chunk(b"d") + END:
        await runtime.client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await runtime.client.receive()).status == 202
    assert await runtime.read() == b"abcd"


async def test_a_response_of_known_length_may_be_streamed_too(node: Node) -> None:
    runtime = await Streaming(node).begin()
    text = HEAD.replace("Transfer-Encoding: chunked", "Content-Length: 5") + "\r\n"
    await runtime.client.send(text.encode() + b"ab")
    with anyio.fail_after(PATIENCE):
        assert await runtime.buffer.read() == b"ab"
    await runtime.client.send(b"cde")
    assert (await runtime.client.receive()).status == 202
    assert await runtime.read() == b"cde"


async def test_a_client_that_expects_it_is_told_to_continue(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head("Expect: 100-continue"))
    assert (await runtime.client.receive()).status == 100
    await runtime.client.send(chunk(b"a") + END)
    assert (await runtime.client.receive()).status == 202


async def test_an_error_in_the_trailers_follows_what_came_before(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head() + chunk(b"begun") + FAILED)
    assert (await runtime.client.receive()).status == 202
    assert await runtime.read() == b"begun"
    assert await runtime.answer() == Error(LATE, "Function.Late")
    await runtime.again()


async def test_a_runtime_is_not_read_from_while_its_taker_is_behind(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head())
    sent = 0
    with anyio.move_on_after(0.5):
        while True:
            await runtime.client.send(chunk(bytes(1_000_000)))
            sent += 1_000_000
    assert sent < 40_000_000
    healthy = await node.connect()
    assert (await healthy.call("GET", "/ping")).body == b"pong"
    held = len(await runtime.buffer.read())
    assert 0 < held < 1_000_000
    with anyio.fail_after(PATIENCE):
        assert await runtime.buffer.read()  # it is read from again


async def test_more_than_a_stream_may_be_is_refused_at_once(node: Node) -> None:
    runtime = await Streaming(node, limit=1000).begin()
    await runtime.client.send(head() + chunk(bytes(1000)) + chunk(b"x"))
    assert await runtime.answer() == ResponseTooLarge(1000)
    await runtime.client.send(chunk(bytes(1_000_000)) + END)
    assert (await runtime.client.receive()).error == (413, "RequestEntityTooLarge")
    assert len(await runtime.read()) == 1000
    await runtime.client.send(GET_NEXT)
    await node.is_free()


async def test_without_a_taker_a_longer_response_is_too_large(node: Node) -> None:
    client, answer = await node.busy()
    await client.send(head() + chunk(bytes(limits.RESPONSE_BYTES)))
    await client.send(chunk(b"x") + END)
    assert (await client.receive()).error == (413, "RequestEntityTooLarge")
    assert await node.answer(answer) == ResponseTooLarge()


@pytest.mark.parametrize(
    "cut", [b"", b"5\r\nab", chunk(b"ab"), chunk(b"ab") + b"0\r\nLambda-Runtime-Function-Error-T"]
)
async def test_a_response_that_breaks_off_is_truncated(node: Node, cut: bytes) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head() + cut)
    with anyio.fail_after(PATIENCE):
        assert await runtime.buffer.begun() == "text/plain"
    await runtime.client.close()
    assert await runtime.answer() == Truncated()
    assert await runtime.read() == (b"ab" if cut else b"")


async def test_a_half_closed_response_is_told_so(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head() + chunk(b"ab"))
    runtime.client.writer.write_eof()
    assert (await runtime.client.receive()).error == (400, "TruncatedHTTPRequest")
    assert await runtime.answer() == Truncated()


async def test_what_is_not_http_in_the_middle_truncates(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head() + chunk(b"ab") + b"nonsense\r\n")
    assert (await runtime.client.receive()).error == (400, "InvalidRequestFormat")
    assert await runtime.answer() == Truncated()


async def test_a_second_answer_during_the_first_is_refused(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head() + chunk(b"one"))
    with anyio.fail_after(PATIENCE):
        await runtime.buffer.begun()
    other = await node.connect()
    for kind in ("response", "error"):
        refused = await other.call("POST", response_path(kind=kind), b"{}")
        assert refused.error == (403, "InvalidStateTransition")
    await other.send(head() + chunk(b"two") + END)
    assert (await other.receive()).error == (403, "InvalidStateTransition")
    await other.close()
    await runtime.client.send(END)
    assert (await runtime.client.receive()).status == 202
    assert await runtime.read() == b"one"


async def test_next_during_the_stream_is_refused(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head())
    with anyio.fail_after(PATIENCE):
        await runtime.buffer.begun()
    other = await node.connect()
    refused = await other.call("GET", GET_NEXT.decode().split()[1])
    assert refused.error == (403, "InvalidStateTransition")


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        ("Lambda-Runtime-Invocation-Id: wrong", "r1", (400, "InvalidInvocationId")),
        ("A: b", "r2", (400, "InvalidRequestID")),
    ],
)
async def test_a_stream_for_another_invocation_is_refused(
    node: Node, line: str, path: str, expected: tuple[int, str]
) -> None:
    runtime = await Streaming(node).begin()
    data = head(line).replace(b"/r1/", f"/{path}/".encode())
    await runtime.client.send(data + chunk(b"x") + END)
    assert (await runtime.client.receive()).error == expected
    assert node.session.state is State.BUSY


async def test_a_stream_pipelined_behind_another_call_is_collected(node: Node) -> None:
    runtime = await Streaming(node).begin()
    ping = b"GET /ping HTTP/1.1\r\n\r\n"
    await runtime.client.send(ping + head() + chunk(b"late") + END)
    assert (await runtime.client.receive()).body == b"pong"
    assert (await runtime.client.receive()).status == 202
    assert await runtime.buffer.begun() == "text/plain"
    assert await runtime.read() == b"late"
    assert await runtime.answer() == Response(b"")


async def test_what_a_dead_process_sent_is_taken_in_however_slowly_it_is_read(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head())
    with anyio.fail_after(PATIENCE):
        await runtime.buffer.begun()
        runtime.client.writer.write(chunk(bytes(1_500_000)) + END)
        runtime.client.writer.write_eof()
        await node.api.drained()
    node.session.end(Exit(status=0))
    assert await runtime.answer() == Response(b"")
    assert len(await runtime.read()) == 1_500_000


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.integers(1, 400),
    st.booleans(),
)
def test_wherever_the_network_splits_it_a_response_is_whole(
    pieces: list[bytes], split: int, fails: bool
) -> None:
    async def run() -> None:
        async with serving() as node:
            runtime = await Streaming(node).begin()
            data = head() + b"".join(map(chunk, pieces)) + (FAILED if fails else END)
            for start in range(0, len(data), split):
                await runtime.client.send(data[start : start + split])
                await asyncio.sleep(0)
            assert (await runtime.client.receive()).status == 202
            assert await runtime.read() == b"".join(pieces)
            answer = await runtime.answer()
            assert answer == (Error(LATE, "Function.Late") if fails else Response(b""))

    asyncio.run(run())


async def test_a_trailing_error_without_a_description_gets_one(node: Node) -> None:
    runtime = await Streaming(node).begin()
    await runtime.client.send(head() + b"0\r\nLambda-Runtime-Function-Error-Type: Late\r\n\r\n")
    assert (await runtime.client.receive()).status == 202
    answer = await runtime.answer()
    assert isinstance(answer, Error)
    assert answer.error_type == "Runtime.Unknown"
    assert "no valid description" in json.loads(answer.payload)["errorMessage"]
