"""The HTTP Runtime API: raw clients that are right, wrong, slow and hostile."""

import asyncio
import base64
import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Exit
from lambdabox.runtime.api import RuntimeApi, serve_runtime_api
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
EVENT = Invocation(
    "r1", ARN, b'{"a":1}', client_context='{"c":2}', trace="Root=1-0;Sampled=0", tenant_id="t1"
)
BASE = "/2018-06-01/runtime"
NEXT = f"{BASE}/invocation/next"
GET_NEXT = f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def error(self) -> tuple[int, str]:
        return self.status, json.loads(self.body)["errorType"]


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with anyio.fail_after(PATIENCE):
            await self.writer.drain()

    async def receive(self, *, has_body: bool = True) -> Reply:
        with anyio.fail_after(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            start, *lines = head.rstrip("\r\n").split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            assert len(headers) == len(lines), "a header came twice"
            length = int(headers["Content-Length"]) if has_body and "100" not in start else 0
            return Reply(int(start.split()[1]), headers, await self.reader.readexactly(length))

    async def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Reply:
        lines = [f"{method} {path} HTTP/1.1", "Host: x"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return await self.receive(has_body=method != "HEAD")

    async def at_end(self) -> bool:
        """Wait for the server to close; return True if nothing more came."""
        with anyio.fail_after(PATIENCE), contextlib.suppress(ConnectionResetError):
            return await self.reader.read() == b""
        return True

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Node:
    """A session and its API, with clients."""

    def __init__(self, api: RuntimeApi, session: RuntimeSession, port: int) -> None:
        self.api = api
        self.session = session
        self.port = port
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def is_free(self) -> None:
        with anyio.fail_after(PATIENCE):
            assert await self.session.initialized() is None
            assert await self.session.free()

    async def answer(self, future: "asyncio.Future[Answer]") -> Answer:
        with anyio.fail_after(PATIENCE):
            return await asyncio.shield(future)

    async def busy(self) -> tuple[Client, "asyncio.Future[Answer]"]:
        """Return a client that has been given EVENT."""
        client = await self.connect()
        await client.send(GET_NEXT)
        await self.is_free()
        answer = self.session.invoke(EVENT, 1234)
        assert (await client.receive()).status == 200
        return client, answer


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Node]:
    listener = socket.create_server(("127.0.0.1", 0))
    session = RuntimeSession()
    node = Node(await serve_runtime_api(listener, session), session, listener.getsockname()[1])
    try:
        yield node
    finally:
        for client in node.clients:
            await client.close()
        node.api.close()
        node.api.close()
        session.end(Exit())


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with serving() as node:
        yield node


def response_path(request_id: str = "r1", kind: str = "response") -> str:
    return f"{BASE}/invocation/{request_id}/{kind}"


async def test_next_tells_all_about_the_invocation(node: Node) -> None:
    client = await node.connect()
    await client.send(GET_NEXT)
    await node.is_free()
    node.session.invoke(EVENT, 1234)
    reply = await client.receive()
    invocation_id = reply.headers.pop("Lambda-Runtime-Invocation-Id")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", invocation_id)
    assert (reply.status, reply.body) == (200, EVENT.payload)
    assert reply.headers == {
        "Content-Type": "application/json",
        "Content-Length": "7",
        "Lambda-Runtime-Aws-Request-Id": "r1",
        "Lambda-Runtime-Deadline-Ms": "1234",
        "Lambda-Runtime-Invoked-Function-Arn": ARN,
        "Lambda-Runtime-Trace-Id": "Root=1-0;Sampled=0",
        "Lambda-Runtime-Client-Context": '{"c":2}',
        "Lambda-Runtime-Aws-Tenant-Id": "t1",
    }


async def test_what_an_invocation_lacks_has_no_header(node: Node) -> None:
    client = await node.connect()
    await client.send(GET_NEXT)
    await node.is_free()
    node.session.invoke(Invocation("r1", ARN, b"{}"), 0)
    names = set((await client.receive()).headers)
    assert not names & {
        "Lambda-Runtime-Client-Context",
        "Lambda-Runtime-Cognito-Identity",
        "Lambda-Runtime-Aws-Tenant-Id",
        "Lambda-Runtime-Trace-Id",
    }


async def test_callers_values_cannot_add_headers(node: Node) -> None:
    client = await node.connect()
    await client.send(GET_NEXT)
    await node.is_free()
    hostile = '{"é": "😀"}\r\nLambda-Runtime-Aws-Tenant-Id: other'
    node.session.invoke(Invocation("r1", ARN, b"{}", client_context=hostile, trace="a\nb\0c"), 0)
    reply = await client.receive()
    assert "Lambda-Runtime-Aws-Tenant-Id" not in reply.headers
    assert reply.headers["Lambda-Runtime-Trace-Id"] == "a b c"
    context = reply.headers["Lambda-Runtime-Client-Context"]
    assert context.isascii()
    assert json.loads(context.split("  ")[0]) == {"é": "😀"}


async def test_a_connection_serves_many_invocations(node: Node) -> None:
    client, answer = await node.busy()
    for _ in range(3):
        reply = await client.call("POST", response_path(), b"result")
        assert (reply.status, reply.body) == (202, b'{"status":"OK"}')
        assert await node.answer(answer) == Response(b"result")
        await client.send(GET_NEXT)
        await node.is_free()
        answer = node.session.invoke(EVENT, 0)
        assert (await client.receive()).body == EVENT.payload


async def test_requests_may_be_pipelined(node: Node) -> None:
    client, answer = await node.busy()
    post = f"POST {response_path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
    ping = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    await client.send(post.encode() + GET_NEXT + ping.encode())
    assert await node.answer(answer) == Response(b"ok")
    assert (await client.receive()).status == 202
    await node.is_free()
    node.session.invoke(EVENT, 0)
    assert (await client.receive()).body == EVENT.payload
    assert (await client.receive()).body == b"pong"


async def test_a_request_may_come_byte_by_byte(node: Node) -> None:
    client, answer = await node.busy()
    post = f"POST {response_path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
    for byte in post.encode():
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.receive()).status == 202
    assert await node.answer(answer) == Response(b"ok")


async def test_a_chunked_answer_is_put_together(node: Node) -> None:
    client, answer = await node.busy()
    head = f"POST {response_path()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await client.send(head.encode() + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
    assert (await client.receive()).status == 202
    assert await node.answer(answer) == Response(b"abcde")


async def test_a_client_that_expects_it_is_told_to_continue(node: Node) -> None:
    client, answer = await node.busy()
    head = f"POST {response_path()} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    await client.send(head.encode())
    assert (await client.receive()).status == 100
    await client.send(b"ok")
    assert (await client.receive()).status == 202
    assert await node.answer(answer) == Response(b"ok")


async def test_an_error_is_reported_with_its_type(node: Node) -> None:
    client, answer = await node.busy()
    body = b'{"errorMessage":"no","errorType":"ValueError"}'
    headers = {"Lambda_Runtime_Function_Error_Type": "Function.ValueError"}
    reply = await client.call("POST", response_path(kind="error"), body, **headers)
    assert reply.status == 202
    assert await node.answer(answer) == Error(body, "Function.ValueError")


async def test_an_init_error_is_reported(node: Node) -> None:
    client = await node.connect()
    headers = {"Lambda_Runtime_Function_Error_Type": "Runtime.ImportModuleError"}
    assert (await client.call("POST", f"{BASE}/init/error", b"{}", **headers)).status == 202
    with anyio.fail_after(PATIENCE):
        assert await node.session.initialized() == Error(b"{}", "Runtime.ImportModuleError")
    refused = (await client.call("GET", NEXT)).error
    assert refused == (403, "InvalidStateTransition")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(limits.RESPONSE_BYTES, 202), (limits.RESPONSE_BYTES + 1, 413)],
)
async def test_an_answer_may_be_as_long_as_the_limit(node: Node, size: int, expected: int) -> None:
    client, answer = await node.busy()
    reply = await client.call("POST", response_path(), bytes(size))
    assert reply.status == expected
    if expected == 413:
        assert json.loads(reply.body) == {
            "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
            "errorType": "RequestEntityTooLarge",
        }
        assert await node.answer(answer) == ResponseTooLarge()
    else:
        assert await node.answer(answer) == Response(bytes(size))
    await client.send(GET_NEXT)
    await node.is_free()


async def test_a_streamed_answer_is_collected(node: Node) -> None:
    client, answer = await node.busy()
    await client.send(
        f"POST {response_path()} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
        "1\r\na\r\n1\r\nb\r\n0\r\n\r\n".encode()
    )
    assert (await client.receive()).status == 202
    assert await node.answer(answer) == Response(b"ab")


@pytest.mark.parametrize("valid", [True, False])
async def test_an_error_in_the_trailers_fails_the_invocation(node: Node, valid: bool) -> None:
    client, answer = await node.busy()
    error = b'{"errorMessage":"late","errorType":"Late"}'
    trailer = base64.b64encode(error).decode() if valid else "?"
    await client.send(
        f"POST {response_path()} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
        "1\r\na\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Late\r\n"
        f"Lambda-Runtime-Function-Error-Body: {trailer}\r\n\r\n".encode()
    )
    assert (await client.receive()).status == 202
    ended = await node.answer(answer)
    assert isinstance(ended, Error)
    assert ended.error_type == "Function.Late"
    assert ended.payload == error if valid else json.loads(ended.payload)["errorType"]


async def test_an_unknown_response_mode_fails_the_invocation(node: Node) -> None:
    client, answer = await node.busy()
    headers = {"Lambda_Runtime_Function_Response_Mode": "telepathy"}
    reply = await client.call("POST", response_path(), b"x", **headers)
    assert reply.error == (400, "InvalidFunctionResponseMode")
    ended = await node.answer(answer)
    assert isinstance(ended, Error)
    assert ended.error_type == "Runtime.InvalidResponseModeHeader"
    assert "'telepathy'" in json.loads(ended.payload)["errorMessage"]
    await client.send(GET_NEXT)
    await node.is_free()


async def test_a_wrong_invocation_id_is_refused_and_the_right_one_accepted(node: Node) -> None:
    client = await node.connect()
    await client.send(GET_NEXT)
    await node.is_free()
    node.session.invoke(EVENT, 0)
    given = (await client.receive()).headers["Lambda-Runtime-Invocation-Id"]
    wrong = await client.call("POST", response_path(), b"x", Lambda_Runtime_Invocation_Id="w")
    assert wrong.error == (400, "InvalidInvocationId")
    right = await client.call("POST", response_path(), b"x", Lambda_Runtime_Invocation_Id=given)
    assert right.status == 202


@pytest.mark.parametrize("request_id", ["", "r2"])
@pytest.mark.parametrize("kind", ["response", "error"])
async def test_a_wrong_request_id_is_refused(node: Node, request_id: str, kind: str) -> None:
    client, answer = await node.busy()
    reply = await client.call("POST", response_path(request_id, kind), b"{}")
    assert json.loads(reply.body) == {
        "errorMessage": "Invalid request ID",
        "errorType": "InvalidRequestID",
    }
    assert reply.status == 400
    assert not answer.done()


async def test_a_second_answer_is_refused(node: Node) -> None:
    client, answer = await node.busy()
    assert (await client.call("POST", response_path(), b"1")).status == 202
    reply = await client.call("POST", response_path(), b"2")
    assert reply.error == (403, "InvalidStateTransition")
    assert await node.answer(answer) == Response(b"1")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, "NotFound")),
        ("GET", "/2018-06-01/runtime", (404, "NotFound")),
        ("POST", "/2020-01-01/extension/register", (404, "NotFound")),
        ("PUT", "/2022-07-01/telemetry", (404, "NotFound")),
        ("PUT", "/2020-08-15/logs", (404, "NotFound")),
        ("POST", NEXT, (405, "MethodNotAllowed")),
        ("GET", response_path(), (405, "MethodNotAllowed")),
        ("GET", f"{BASE}/restore/next", (403, "InvalidStateTransition")),
        ("POST", f"{BASE}/restore/error", (403, "InvalidStateTransition")),
        ("POST", response_path(), (400, "InvalidRequestID")),
    ],
)
async def test_other_calls_are_refused(
    node: Node, method: str, path: str, expected: tuple[int, str]
) -> None:
    client = await node.connect()
    assert (await client.call(method, path, b"{}")).error == expected
    assert (await client.call("GET", "/ping")).body == b"pong"


async def test_head_is_refused_without_a_body(node: Node) -> None:
    client = await node.connect()
    assert (await client.call("HEAD", NEXT)).status == 405
    assert (await client.call("GET", "/2018-06-01/ping")).body == b"pong"


async def test_a_query_and_an_absolute_address_are_understood(node: Node) -> None:
    client = await node.connect()
    assert (await client.call("GET", "/ping?x=1")).status == 200
    assert (await client.call("GET", "http://127.0.0.1/ping")).status == 200


async def test_an_offer_of_http_2_is_ignored(node: Node) -> None:
    client = await node.connect()
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAM"}
    for _ in range(3):
        assert (await client.call("GET", "/ping", None, **offer)).body == b"pong"


async def test_a_client_of_http_1_0_is_answered_and_closed(node: Node) -> None:
    client = await node.connect()
    await client.send(b"GET /ping HTTP/1.0\r\n\r\n")
    assert (await client.receive()).body == b"pong"
    assert await client.at_end()


async def test_a_client_that_hangs_up_gives_its_next_back(node: Node) -> None:
    gone = await node.connect()
    await gone.send(GET_NEXT)
    await node.is_free()
    await gone.close()
    client = await node.connect()
    with anyio.fail_after(PATIENCE):
        while node.session.state is not State.ANSWERED:
            await client.call("GET", "/ping")  # each a turn of the loop
    await client.send(GET_NEXT)
    await node.is_free()
    node.session.invoke(EVENT, 0)
    assert (await client.receive()).body == EVENT.payload


async def test_a_second_next_is_refused_and_the_first_still_served(node: Node) -> None:
    first, second = await node.connect(), await node.connect()
    await first.send(GET_NEXT)
    await node.is_free()
    assert (await second.call("GET", NEXT)).error == (403, "InvalidStateTransition")
    await second.close()
    node.session.invoke(EVENT, 0)
    assert (await first.receive()).body == EVENT.payload


async def test_an_answer_that_breaks_off_is_no_answer(node: Node) -> None:
    _, answer = await node.busy()
    client = await node.connect()
    await client.send(f"POST {response_path()} HTTP/1.1\r\nContent-Length: 9\r\n\r\nhal".encode())
    client.writer.write_eof()
    assert (await client.receive()).error == (400, "TruncatedHTTPRequest")
    assert await client.at_end()
    assert not answer.done()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(node: Node, data: bytes) -> None:
    client = await node.connect()
    await client.send(data)
    assert (await client.receive()).error == (400, "InvalidRequestFormat")
    assert await client.at_end()


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        pytest.param(b"GET /", b"a" * 65536, id="address"),
        pytest.param(b"GET / HTTP/1.1\r\nA: ", b"a" * 65536, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"A: b\r\n" * 10000, id="headers"),
        pytest.param(
            b"POST /ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"a" * 65536,
            id="chunk extension",
        ),
        pytest.param(
            b"POST /ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"A: b\r\n" * 10000,
            id="trailers",
        ),
    ],
)
async def test_nothing_goes_on_for_ever(node: Node, start: bytes, endless: bytes) -> None:
    client = await node.connect()
    await client.send(start)
    with anyio.fail_after(PATIENCE), contextlib.suppress(OSError):
        while True:
            client.writer.write(endless)
            await client.writer.drain()
            await asyncio.sleep(0)
    await (await node.connect()).call("GET", "/ping")


async def test_requests_piled_up_behind_next_are_refused(node: Node) -> None:
    client = await node.connect()
    await client.send(GET_NEXT + b"GET /ping HTTP/1.1\r\n\r\n" * 100)
    assert await client.at_end()
    with anyio.fail_after(PATIENCE):
        assert await node.session.initialized() is None
    assert node.session.state is State.ANSWERED


async def test_a_client_that_never_reads_is_not_read_from(node: Node) -> None:
    client = await node.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined] # typed as write-only
    sent = 0
    with anyio.move_on_after(0.5):
        while True:
            sent += len(pings := b"GET /ping HTTP/1.1\r\n\r\n" * 1000)
            await client.send(pings)
    assert sent < 64_000_000
    assert (await (await node.connect()).call("GET", "/ping")).body == b"pong"


async def test_bodies_held_open_take_bounded_memory(node: Node) -> None:
    holders = [await node.connect() for _ in range(4)]
    head = f"POST {BASE}/init/error HTTP/1.1\r\nContent-Length: 6000000\r\n\r\n".encode()
    for holder in holders:
        await holder.send(head + bytes(5_999_999))
    for holder in holders:
        await holder.send(b"x")
    statuses = [(await holder.receive()).status for holder in holders]
    assert 413 in statuses
    client = await node.connect()
    assert (await client.call("POST", "/ping", bytes(6_000_000))).status == 405


async def test_connections_are_limited(node: Node) -> None:
    clients = [await node.connect() for _ in range(32)]
    for client in clients:
        assert (await client.call("GET", "/ping")).status == 200
    assert await (await node.connect()).at_end()
    await clients[0].close()
    await clients[1].call("GET", "/ping")
    assert (await (await node.connect()).call("GET", "/ping")).status == 200


async def test_drained_returns_once_all_that_was_sent_is_handled(node: Node) -> None:
    with anyio.fail_after(PATIENCE):
        await node.api.drained()
    client, answer = await node.busy()
    post = f"POST {response_path()} HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"
    client.writer.write(post.encode())
    client.writer.write_eof()
    with anyio.fail_after(PATIENCE):
        await node.api.drained()
    assert answer.result() == Response(b"ok")


async def test_close_drops_connections_and_listener(node: Node) -> None:
    client = await node.connect()
    await client.call("GET", "/ping")
    node.api.close()
    assert await client.at_end()
    await asyncio.sleep(0)
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", node.port)


async def test_cycles_leave_no_descriptor() -> None:
    async def cycle() -> None:
        async with serving() as node:
            client = await node.connect()
            assert (await client.call("GET", "/ping")).status == 200

    await cycle()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await cycle()
    for _ in range(3):  # turns of the loop, in which closed transports let go
        await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= before


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            GET_NEXT,
            b"GET /ping HTTP/1.1\r\n\r\n",
            f"POST {response_path()} HTTP/1.1\r\nContent-Length: 2\r\n\r\nok".encode(),
            f"POST {response_path(kind='error')} HTTP/1.1\r\nContent-Length: 2\r\n\r\nok".encode(),
            f"POST {BASE}/init/error HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
            (
                f"POST {response_path()} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
                "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
            ).encode(),
            b"1\r\na\r\n",
            b"1\r\na\r\n0\r\n\r\n",
            b"Upgrade: x\r\nConnection: upgrade\r\n\r\n",
            b"CONNECT a:1 HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"HEAD /ping HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
        ]
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=10))
def test_garbage_never_raises_and_never_confuses_the_session(pieces: list[bytes]) -> None:
    async def run() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, ctx: failures.append(ctx))
        async with serving() as node:
            client = await node.connect()
            answer: asyncio.Future[Answer] | None = None
            for piece in pieces:
                with contextlib.suppress(OSError):
                    await client.send(piece)
                for _ in range(4):
                    await asyncio.sleep(0)
                if node.session.state is State.IDLE:
                    answer = node.session.invoke(EVENT, 0)
                if answer is not None:
                    is_owed = node.session.state in (State.BUSY, State.STREAMING)
                    assert answer.done() == (not is_owed)
            node.session.end(Exit())
            assert answer is None or answer.done()
            healthy = await node.connect()
            assert (await healthy.call("GET", "/ping")).body == b"pong"
        assert not failures

    asyncio.run(run())
