"""The restore point over both transports: what is legal, when, and in which environments."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from lambdabox.ports import CREDENTIALS_PATH as PATH
from lambdabox.ports import Exit
from lambdabox.runtime.api import RuntimeApi
from lambdabox.runtime.channel import ChannelTransport
from lambdabox.runtime.credentials import ContainerCredentials
from lambdabox.runtime.http_connection import Reply, Request
from lambdabox.runtime.session import Error, IllegalCallError, RuntimeSession, State

pytestmark = pytest.mark.anyio

PATIENCE = 20
BASE = "/2018-06-01/runtime"
CREDENTIALS = ContainerCredentials("123456789012", "the-token")


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


def frame(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack("!I", len(body)) + kind + body


def error_body(error_type: str, payload: bytes) -> bytes:
    head = f"{error_type}\0".encode()
    return struct.pack("!I", len(head)) + head + payload


class Peer:
    """A bootstrap's side of the channel."""

    def __init__(self, *, is_snap_start: bool = True) -> None:
        self.near, self.far = socket.socketpair()
        self.far.setblocking(False)
        self.session = RuntimeSession(is_snap_start=is_snap_start)
        self.transport = ChannelTransport(self.near, self.session)

    async def send(self, data: bytes) -> None:
        with anyio.fail_after(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.far, data)

    async def receive(self) -> tuple[bytes, bytes]:
        loop = asyncio.get_running_loop()
        with anyio.fail_after(PATIENCE):
            data = await loop.sock_recv(self.far, 65536)
        (length,) = struct.unpack_from("!I", data)
        assert len(data) == 5 + length
        return data[4:5], data[5:]

    async def broken_rule(self) -> str | None:
        with anyio.fail_after(PATIENCE):
            return await asyncio.shield(self.transport.closed)

    def close(self) -> None:
        self.transport.close()
        self.far.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


async def test_a_runtime_is_restored_with_variables_and_goes_on(peer: Peer) -> None:
    await peer.send(frame(b"S"))
    assert await peer.session.initialized() is None
    assert peer.session.state is State.SNAPSHOT
    assert peer.session.can_be_forked
    peer.session.restore({"A": "é"})
    kind, body = await peer.receive()
    assert (kind, json.loads(body)) == (b"T", {"A": "é"})
    await peer.send(frame(b"N"))
    assert await peer.session.restored() is None
    assert await peer.session.free()


async def test_a_fork_is_restored_without_having_sent_anything(peer: Peer) -> None:
    peer.transport.begin_at_restore_point()
    peer.session.restore({"A": "1"})
    assert await peer.receive() == (b"T", b'{"A":"1"}')
    await peer.send(frame(b"N"))
    assert await peer.session.restored() is None


async def test_a_runtime_that_knows_no_snapshots_is_ready_all_the_same(peer: Peer) -> None:
    await peer.send(frame(b"N"))
    assert await peer.session.initialized() is None
    peer.session.restore({})
    assert await peer.session.restored() is None
    assert peer.session.state is State.IDLE


async def test_an_after_hook_that_fails_is_told(peer: Peer) -> None:
    await peer.send(frame(b"S"))
    await peer.session.initialized()
    peer.session.restore({})
    await peer.send(frame(b"H", error_body("Runtime.AfterRestoreError", b"{}")))
    assert await peer.session.restored() == Error(b"{}", "Runtime.AfterRestoreError")
    assert peer.session.state is State.FAILED


async def test_the_end_of_a_process_at_its_restore_point_is_told(peer: Peer) -> None:
    await peer.send(frame(b"S"))
    await peer.session.initialized()
    peer.session.end(Exit(status=1))
    assert await peer.session.restored() == Exit(status=1)
    peer.session.restore({})  # nobody is there; that is no error
    assert peer.session.state is State.ENDED


@pytest.mark.parametrize(
    ("frames", "rule"),
    [
        pytest.param(frame(b"S", b"x"), "frame S has a body of 1 bytes; it has none", id="a body"),
        pytest.param(frame(b"S") * 2, "frame S is not allowed while snapshot", id="twice"),
        pytest.param(
            frame(b"S") + frame(b"N"), "frame N is not allowed while snapshot", id="not restored"
        ),
        pytest.param(
            frame(b"S") + frame(b"X", error_body("a", b"{}")),
            "frame X is not allowed while snapshot",
            id="init is over",
        ),
        pytest.param(
            frame(b"H", error_body("a", b"{}")), "frame H is not allowed while init", id="too early"
        ),
        pytest.param(frame(b"T"), "frame type 0x54 is unknown", id="the node's own"),
        pytest.param(frame(b"N") + frame(b"S"), "frame S is not allowed while idle", id="too late"),
    ],
)
async def test_a_frame_out_of_place_closes_the_channel(
    peer: Peer, frames: bytes, rule: str
) -> None:
    await peer.send(frames)
    assert await peer.broken_rule() == rule


async def test_an_error_frame_cannot_be_endless(peer: Peer) -> None:
    await peer.send(frame(b"S"))
    await peer.session.initialized()
    peer.session.restore({})
    await peer.send(struct.pack("!I", 2**31) + b"H")
    rule = await peer.broken_rule()
    assert rule is not None
    assert "frame H of 2147483648 bytes is longer than" in rule


async def test_an_environment_without_snapshot_cannot_ask_for_one() -> None:
    peer = Peer(is_snap_start=False)
    await peer.send(frame(b"S"))
    assert await peer.broken_rule() == "only SnapStart environments are restored"
    peer.close()


# The HTTP Runtime API.


class FakeConnection:
    """Keeps the replies that the API owes."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    def reply(self, reply: Reply) -> None:
        self.replies.append(reply)


class Http:
    def __init__(self, *, is_snap_start: bool = True) -> None:
        self.session = RuntimeSession(is_snap_start=is_snap_start)
        self.api = RuntimeApi(self.session, credentials=CREDENTIALS if is_snap_start else None)
        self.connection = FakeConnection()

    def call(self, method: str, path: str, **headers: str) -> Reply | None:
        request = Request()
        request.method, request.path = method, path
        request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        request.body = b"{}"
        connection: Any = self.connection
        return self.api.handle(request, connection)

    def status(self, method: str, path: str, **headers: str) -> int:
        reply = self.call(method, path, **headers)
        assert reply is not None
        return reply.status


async def test_restore_next_blocks_over_the_snapshot() -> None:
    http = Http()
    assert http.call("GET", f"{BASE}/restore/next") is None
    assert await http.session.initialized() is None
    assert not http.session.can_be_forked
    assert not http.connection.replies
    http.session.restore({"A": "1"})
    assert [reply.status for reply in http.connection.replies] == [200]
    assert http.call("GET", f"{BASE}/invocation/next") is None
    assert await http.session.restored() is None


async def test_restore_error_is_taken_once_and_only_while_restoring() -> None:
    http = Http()
    error = {"lambda_runtime_function_error_type": "Runtime.AfterRestoreError"}
    assert http.status("POST", f"{BASE}/restore/error") == 403
    http.call("GET", f"{BASE}/restore/next")
    assert http.status("POST", f"{BASE}/restore/error") == 403
    assert http.status("GET", f"{BASE}/restore/next") == 403
    http.session.restore({})
    assert http.status("POST", f"{BASE}/restore/error", **error) == 202
    assert await http.session.restored() == Error(b"{}", "Runtime.AfterRestoreError")
    assert http.status("POST", f"{BASE}/restore/error") == 403
    assert http.status("GET", f"{BASE}/invocation/next") == 403


async def test_a_connection_that_drops_at_the_restore_point_may_come_back() -> None:
    http = Http()
    http.call("GET", f"{BASE}/restore/next")
    dropped: Any = http.connection
    http.api.left(dropped)
    http.connection = FakeConnection()
    assert http.call("GET", f"{BASE}/restore/next") is None
    http.session.restore({})
    assert [reply.status for reply in http.connection.replies] == [200]
    assert not dropped.replies


async def test_other_environments_are_refused() -> None:
    http = Http(is_snap_start=False)
    assert http.status("GET", f"{BASE}/restore/next") == 403
    assert http.status("POST", f"{BASE}/restore/error") == 403
    assert http.status("GET", PATH, authorization="the-token") == 404


async def test_credentials_are_for_who_has_the_token() -> None:
    http = Http()
    for wrong in ({}, {"authorization": "other"}, {"authorization": "é\N{SNOWMAN}"}):
        assert http.status("GET", PATH, **wrong) == 403
    reply = http.call("GET", PATH, authorization="the-token")
    assert reply is not None
    document = json.loads(reply.body)
    assert document.keys() == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    assert document["AccessKeyId"] == "123456789012"
    assert http.status("POST", PATH) == 405


async def test_a_session_takes_one_snapshot() -> None:
    session = RuntimeSession(is_snap_start=True)
    session.snapshot(lambda _variables: None)
    with pytest.raises(IllegalCallError, match="while snapshot"):
        session.snapshot(lambda _variables: None)
