"""One connection to a node's HTTP protocol, without sockets: bytes in, bytes out."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, cast

import uvicorn
from support.clock import ManualClock
from support.records import KEY, deployment
from uvicorn.server import ServerState

from lambdabox.api.app import ServiceFrontEnd
from lambdabox.api.model import ServiceApi
from lambdabox.api.operations.invoke import InvokeOperations
from lambdabox.api.request import Request
from lambdabox.api.serialize import WireResponse
from lambdabox.domain.arn import LATEST, FunctionReference
from lambdabox.domain.errors import ResourceNotFoundException, ServiceException
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution_ports import ResponseSink
from lambdabox.gateway.app import DEFAULT_ACCOUNT, Gateway
from lambdabox.gateway.url_requests import UrlCall
from lambdabox.gateway.warm import WarmInvoke
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.asynchronous import Event
from lambdabox.invoke.invoker import Invoker
from lambdabox.server.warm_protocol import Respond, WarmHttpProtocol

REGION = "us-east-1"
KNOWN = {
    FunctionReference(key, qualifier): deployment(f"{key.account}", of=key, version=version)
    for key in (KEY, replace(KEY, account=DEFAULT_ACCOUNT))
    for qualifier, version in ((None, LATEST), (LATEST, LATEST), ("7", "7"))
}

service = cache(lambda: ServiceApi.load("lambda"))


class FakeResolver:
    def known(self, reference: FunctionReference) -> Deployment | None:
        return KNOWN.get(reference)

    async def resolve(self, reference: FunctionReference) -> Deployment:
        if reference not in KNOWN:
            raise ResourceNotFoundException(f"Function not found: {reference.arn}")
        return KNOWN[reference]

    def give_back(self, reference: FunctionReference, deployment: Deployment) -> None:
        """Nothing here is drawn."""


class FakeExecutor:
    """Answers with the event, or as the event asks. Either way, in a later turn of the loop."""

    def __init__(self) -> None:
        self.seen: list[Invocation] = []
        self.is_warm = True
        self.held: list[Callable[[], None]] | None = None
        """Once a list, it keeps the answers back."""

    async def run(
        self, deployment: Deployment, invocation: Invocation, sink: ResponseSink | None = None
    ) -> Outcome:
        answer: asyncio.Future[Outcome | Exception] = asyncio.get_running_loop().create_future()
        self._begin(deployment, invocation, answer.set_result)
        result = await answer
        if isinstance(result, Exception):
            raise result
        return result

    def begin(
        self,
        deployment: Deployment,
        invocation: Invocation,
        done: Callable[[Outcome | Exception], None],
    ) -> bool:
        if self.is_warm:
            self._begin(deployment, invocation, done)
        return self.is_warm

    def _begin(
        self,
        deployment: Deployment,
        invocation: Invocation,
        done: Callable[[Outcome | Exception], None],
    ) -> None:
        self.seen.append(invocation)
        loop, result = asyncio.get_running_loop(), _result(deployment, invocation)
        if self.held is None:
            loop.call_soon(done, result)
        else:
            self.held.append(lambda: done(result))


def _result(deployment: Deployment, invocation: Invocation) -> Outcome | Exception:
    match invocation.payload:
        case b'"fails"':
            return Outcome(b"{}", "Unhandled", "E", deployment.version)
        case b'"says nothing"':
            return Outcome(b"", executed_version=deployment.version)
        case b'"stops"':
            return ServiceException("The node was stopped.")
        case b'"breaks"':
            return OSError("secret")
        case _:
            return Outcome(invocation.payload, executed_version=deployment.version)


class FakeIntake:
    """Has stored an event in a later turn of the loop, or cannot, as the event asks."""

    def __init__(self) -> None:
        self.seen: list[Invocation] = []

    async def accept(self, event: Event) -> None:
        stored: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.accept_soon(event, stored.set_result)
        error = await stored
        if error is not None:
            raise error

    def accept_soon(self, event: Event, done: Callable[[Exception | None], None]) -> None:
        self.seen.append(event.invocation)
        is_full = event.invocation.payload == b'"stops"'
        error = OSError("no space left") if is_full else None
        asyncio.get_running_loop().call_soon(done, error)


class OtherRelay:
    """Answers for all other services."""

    async def answer(self, _request: Any, service: str, *, send: Any, **_rest: Any) -> None:
        body = f"another service: {service}".encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class OtherFrontEnd:
    async def answer(self, request: Request) -> WireResponse:
        return WireResponse(418, [], b"")


class FakeTransport:
    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed, "written to after it was closed"
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class CountedWarmPath:
    def __init__(self, path: WarmInvoke, *, is_open: bool) -> None:
        self._path = path
        self._is_open = is_open
        self.taken = 0

    def begin(
        self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes, respond: Respond
    ) -> bool:
        taken = self._is_open and self._path.begin(target, headers, body, respond)
        self.taken += taken
        return taken


class OtherUrls:
    async def answer(self, call: UrlCall) -> WireResponse:
        return WireResponse(200, [], b"a function URL")


class Wire:
    """A connection. Make it on a running loop. A closed warm path leaves the general road."""

    def __init__(self, *, warm: bool = True, concurrency: int = 10) -> None:
        self.executor = FakeExecutor()
        clock = ManualClock()
        self.ledger = LocalLedger(account_concurrency=concurrency)
        invoker = Invoker(cast(Any, FakeResolver()), self.ledger, cast(Any, self.executor))
        self.intake = FakeIntake()
        intake = cast(Any, self.intake)
        operations = InvokeOperations(invoker, intake, clock)
        front_end = ServiceFrontEnd(service, operations.handlers())
        gateway = Gateway(
            urls=OtherUrls(),
            functions=front_end,
            logs=OtherFrontEnd(),
            platform=OtherFrontEnd(),
            relay=cast(Any, OtherRelay()),
            default_region=REGION,
            default_address="127.0.0.1:1",
        )
        path = WarmInvoke(service(), front_end, invoker, intake, clock, default_region=REGION)
        self.warm_path = CountedWarmPath(path, is_open=warm)
        self.state = ServerState()
        config = uvicorn.Config(
            cast(Any, gateway), access_log=False, log_config=None, lifespan="off"
        )
        self.transport = FakeTransport()
        self.protocol = WarmHttpProtocol(
            self.warm_path, config=config, server_state=self.state, app_state={}
        )
        self.protocol.connection_made(cast(asyncio.Transport, self.transport))

    async def ask(self, *parts: bytes) -> bytes:
        """Send a request in parts, and return all that has been answered since the last."""
        for part in parts:
            if not self.transport.is_closed:
                self.protocol.data_received(part)
            await settle()
        written, self.transport.written = self.transport.written, b""
        return written

    def close(self) -> None:
        self.transport.close()
        self.protocol.connection_lost(None)


async def settle() -> None:
    """Let everything that needs no more input come to its end."""
    for _ in range(60):
        await asyncio.sleep(0)


def request(
    target: str = "/2015-03-31/functions/hello/invocations",
    body: bytes = b"{}",
    *headers: tuple[str, str],
    method: str = "POST",
    version: str = "1.1",
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + body


_OWN_IDS = (
    re.compile(rb"x-amzn-requestid: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\r\n"),
    re.compile(
        rb"x-amzn-trace-id: Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0"
        rb";Lineage=[0-9a-f]{8}:0\r\n"
    ),
)


def without_ids(answer: bytes) -> bytes:
    """`answer` without the ids that the node draws by lot."""
    for number, pattern in enumerate(_OWN_IDS):
        answer = pattern.sub(b"id %d\r\n" % number, answer)
    return answer
