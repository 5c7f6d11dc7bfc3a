"""The HTTP calls of extensions, beside the Runtime API, by raw clients."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from support.records import KEY, deployment

from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Exit
from lambdabox.runtime.api import serve_runtime_api
from lambdabox.runtime.extensions import Extensions, invoke_event
from lambdabox.runtime.extensions_api import ExtensionsApi
from lambdabox.runtime.session import RuntimeSession
from lambdabox.runtime.telemetry_stream import TelemetryStream

pytestmark = pytest.mark.anyio

PATIENCE = 20
BASE = "/2020-01-01/extension"
TELEMETRY, LOGS = "/2022-07-01/telemetry", "/2020-08-15/logs"
EVENT = invoke_event(Invocation("r1", "arn", b"{}"), 1234)
DESTINATION = {"protocol": "HTTP", "URI": "http://sandbox.localdomain:1"}


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body["errorType"]


class Caller:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Content-Length: {len(content)}"]
        lines += [f"Lambda-Extension-{name.replace('_', '-')}: {headers[name]}" for name in headers]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + content)

    async def receive(self) -> Answer:
        with anyio.fail_after(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            start, *lines = head.strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers["Content-Length"]))
        return Answer(int(start.split()[1]), headers, json.loads(body))

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        self.send(method, path, body, **headers)
        return await self.receive()

    async def register(self, name: str = "ext", *events: str) -> str:
        answer = await self.call("POST", f"{BASE}/register", {"events": events}, Name=name)
        assert answer.status == 200, answer
        return answer.headers["Lambda-Extension-Identifier"]


class Sandbox:
    def __init__(self, extensions: Extensions, telemetry: TelemetryStream, port: int) -> None:
        self.extensions = extensions
        self.telemetry = telemetry
        self._port = port
        self.callers: list[Caller] = []

    async def connect(self) -> Caller:
        self.callers.append(Caller(*await asyncio.open_connection("127.0.0.1", self._port)))
        return self.callers[-1]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    listener = socket.create_server(("127.0.0.1", 0))
    session, extensions = RuntimeSession(), Extensions()
    telemetry = TelemetryStream(is_json=False, now=lambda: 0.0)

    async def refuse(port: int) -> socket.socket:
        raise ConnectionRefusedError

    telemetry.open(refuse, lambda *_: None, lambda _event: None)
    around = ExtensionsApi(extensions, telemetry, deployment())
    api = await serve_runtime_api(listener, session, around)
    sandbox = Sandbox(extensions, telemetry, listener.getsockname()[1])
    try:
        yield sandbox
    finally:
        for caller in sandbox.callers:
            caller.writer.transport.abort()
            with contextlib.suppress(OSError):
                await caller.writer.wait_closed()
        api.close()
        session.end(Exit())


async def test_a_registration_tells_of_the_function(sandbox: Sandbox) -> None:
    caller = await sandbox.connect()
    path = f"{BASE}/register"
    answer = await caller.call("POST", path, {"events": ["INVOKE"]}, Name="a")
    function = {"functionName": "hello", "functionVersion": "$LATEST", "handler": "app.handler"}
    assert (answer.status, answer.body) == (200, function)
    features = "other, accountId"
    answer = await caller.call("POST", path, {}, Name="b", Accept_Feature=features)
    assert answer.body == {**function, "accountId": KEY.account}


async def test_next_waits_for_an_event(sandbox: Sandbox) -> None:
    caller = await sandbox.connect()
    me = await caller.register("a", "INVOKE")
    caller.send("GET", f"{BASE}/event/next", Identifier=me)
    assert await sandbox.extensions.ready() is None
    sandbox.extensions.invoke(EVENT)
    answer = await caller.receive()
    assert (answer.status, answer.body["eventType"]) == (200, "INVOKE")
    assert len(answer.headers["Lambda-Extension-Event-Identifier"]) == 36
    assert sandbox.extensions.is_busy


async def test_a_dropped_connection_does_not_lose_the_event(sandbox: Sandbox) -> None:
    caller = await sandbox.connect()
    me = await caller.register("a", "INVOKE")
    caller.send("GET", f"{BASE}/event/next", Identifier=me)
    assert await sandbox.extensions.ready() is None
    [extension] = sandbox.extensions._all.values()
    caller.writer.transport.abort()
    with anyio.fail_after(PATIENCE):
        while extension.deliver is not None:
            await anyio.lowlevel.checkpoint()
    sandbox.extensions.invoke(EVENT)
    answer = await (await sandbox.connect()).call("GET", f"{BASE}/event/next", Identifier=me)
    assert answer.body["requestId"] == "r1"


async def test_errors_are_taken_and_fail_the_environment(sandbox: Sandbox) -> None:
    caller = await sandbox.connect()
    me = await caller.register()
    path = f"{BASE}/init/error"
    answer = await caller.call("POST", path, Identifier=me, Function_Error_Type="A.B")
    assert (answer.status, answer.body) == (202, {"status": "OK"})
    assert sandbox.extensions.failure is not None
    assert sandbox.extensions.failure.error_type == "Extension.InitError"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        ("POST", "/register", {}, {}, (403, "Extension.InvalidExtensionName")),
        ("POST", "/register", b"{", {"Name": "a"}, (403, "InvalidRequestFormat")),
        ("POST", "/register", [], {"Name": "a"}, (403, "InvalidRequestFormat")),
        ("POST", "/register", {"events": "INVOKE"}, {"Name": "a"}, (403, "InvalidRequestFormat")),
        ("POST", "/register", {"events": [1]}, {"Name": "a"}, (403, "InvalidRequestFormat")),
        ("POST", "/register", {"events": ["x"] * 99}, {"Name": "a"}, (403, "InvalidRequestFormat")),
        ("POST", "/register", b" " * 99_999, {"Name": "a"}, (403, "InvalidRequestFormat")),
        (
            "POST",
            "/register",
            {"events": [], "configurationKeys": ["a"]},
            {"Name": "a"},
            (403, "InvalidRequestFormat"),
        ),
        (
            "POST",
            "/register",
            {"events": ["SHUTDOWN"]},
            {"Name": "a"},
            (403, "Extension.InvalidEventType"),
        ),
        ("GET", "/event/next", None, {}, (403, "Extension.MissingExtensionIdentifier")),
        (
            "GET",
            "/event/next",
            None,
            {"Identifier": "x"},
            (403, "Extension.InvalidExtensionIdentifier"),
        ),
        (
            "POST",
            "/exit/error",
            None,
            {"Identifier": "0" * 32},
            (403, "Extension.UnknownExtensionIdentifier"),
        ),
        ("GET", "/register", None, {"Name": "a"}, (405, "MethodNotAllowed")),
        ("GET", "/other", None, {}, (404, "NotFound")),
    ],
)
async def test_wrong_calls_are_refused_by_type(
    sandbox: Sandbox,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    expected: tuple[int, str],
) -> None:
    caller = await sandbox.connect()
    answer = await caller.call(method, BASE + path, body, **headers)
    assert answer.error == expected
    assert answer.body["errorMessage"]


async def test_an_error_without_a_type_is_refused(sandbox: Sandbox) -> None:
    caller = await sandbox.connect()
    me = await caller.register()
    answer = await caller.call("POST", f"{BASE}/exit/error", Identifier=me)
    assert answer.error == (403, "Extension.MissingHeader")


@pytest.mark.parametrize("path", [TELEMETRY, f"{TELEMETRY}/", LOGS])
async def test_subscriptions_are_taken_during_init(sandbox: Sandbox, path: str) -> None:
    caller = await sandbox.connect()
    me = await caller.register()
    schema = "2020-08-15" if path == LOGS else "2022-07-01"
    body = {"schemaVersion": schema, "types": ["platform"], "destination": DESTINATION}
    answer = await caller.call("PUT", path, body, Identifier=me)
    assert (answer.status, answer.body) == (200, "OK")
    assert sandbox.telemetry.is_listened_to
    sandbox.telemetry.close_subscriptions()
    answer = await caller.call("PUT", path, body, Identifier=me)
    title = "Logs" if path == LOGS else "Telemetry"
    assert answer.error == (403, f"{title}.SubscriptionClosed")
    assert answer.body["errorMessage"] == f"{title} API subscription is closed already"


@pytest.mark.parametrize("body", [{}, b"", b" " * 99_999])
async def test_a_bad_subscription_is_explained(sandbox: Sandbox, body: Any) -> None:
    caller = await sandbox.connect()
    me = await caller.register()
    answer = await caller.call("PUT", TELEMETRY, body, Identifier=me)
    assert answer.error == (400, "ValidationError")
    assert answer.body["errorMessage"]


async def test_only_an_extension_subscribes(sandbox: Sandbox) -> None:
    caller = await sandbox.connect()
    answer = await caller.call("PUT", TELEMETRY, {})
    assert answer.error == (403, "Extension.MissingExtensionIdentifier")
