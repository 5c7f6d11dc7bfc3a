"""A driver whose sandboxes can be cloned, with runtimes that are tasks of the test.

Each sandbox has a real channel, output pipe and listener; a task at the channel's far end
speaks the frames as a bootstrap would, to the script that the test has set.
"""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import anyio

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType
from lambdabox.ports import CREDENTIALS_TOKEN_VARIABLE, CannotCloneError, Exit, Layout, SandboxSpec

PATIENCE = 20


class RuntimeDiesError(Exception):
    """Raised by a script's step: the process ends with status 1."""


class CloningDriver:
    """A `ports.IsolationDriver`. What its runtimes do next is in its attributes."""

    name = "cloning"

    def __init__(self, *, can_clone: bool = True) -> None:
        self.can_clone = can_clone
        self.sandboxes: list[CloningSandbox] = []
        self.refusal: str | None = None
        self.init_failure: str | None = None
        self.has_extension = False
        self.restore_failure: str | None = None
        self.restores_never = False
        self.dies_in_handler = False
        self.may_init = anyio.Event()
        self.may_init.set()
        self.may_answer = anyio.Event()
        self.may_answer.set()
        self.changed = anyio.Event()

    def layout(
        self,
        code: Path,
        layers: Sequence[Path],
        runtime_files: Path,
        interpreter: Path | None = None,
    ) -> Layout:
        raise AssertionError("the launcher is a fake, too")

    async def prepare(self, spec: SandboxSpec) -> None:
        """A sandbox of these takes no time."""

    async def remove_scratch(self, scratch: Path) -> None:
        """Nothing is written there."""

    async def start(self, spec: SandboxSpec) -> "CloningSandbox":
        return CloningSandbox(self, spec, is_clone=False)

    @property
    def running(self) -> list["CloningSandbox"]:
        return [sandbox for sandbox in self.sandboxes if not sandbox.is_destroyed]

    @property
    def templates(self) -> list["CloningSandbox"]:
        return [s for s in self.running if s.spec.id.startswith("template") and s.is_waiting]

    async def until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(PATIENCE):
            while not condition():
                self.changed = anyio.Event()
                await self.changed.wait()


class CloningSandbox:
    """A `ports.Sandbox`."""

    def __init__(self, driver: CloningDriver, spec: SandboxSpec, *, is_clone: bool) -> None:
        self.spec = spec
        self.is_clone = is_clone
        self.is_waiting = is_clone
        self.is_destroyed = False
        self.variables: dict[str, str] = {}
        self._driver = driver
        self.channel, self._far = socket.socketpair()
        self._far.setblocking(False)
        self.output, self._output_end = os.pipe()
        os.set_blocking(self.output, False)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._runtime: asyncio.Task[None] | None = None
        self._caller: asyncio.StreamWriter | None = None
        driver.sandboxes.append(self)
        driver.changed.set()

    async def launch(self) -> None:
        self._runtime = asyncio.create_task(self._live())

    async def run(self, command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
        raise AssertionError("these functions have no extensions")

    async def connect(self, port: int) -> NoReturn:
        raise AssertionError("as above")

    def terminate(self) -> None:
        self.kill()

    async def wait(self) -> Exit:
        return await asyncio.shield(self._ended)

    def peak_memory_bytes(self) -> int:
        return 1

    def limit_cpu(self) -> None:
        """Tasks of a test have no limit."""

    def freeze(self) -> None:
        """They go on."""

    def thaw(self) -> None:
        """They have gone on."""

    async def clone(self, spec: SandboxSpec) -> "CloningSandbox":
        if self._driver.refusal is not None:
            raise CannotCloneError(self._driver.refusal)
        if self._ended.done():
            raise CannotCloneError("its template has ended")
        clone = CloningSandbox(self._driver, spec, is_clone=True)
        await clone.launch()
        return clone

    async def destroy(self) -> None:
        if self.is_destroyed:
            return
        self.is_destroyed = True
        if self._runtime is not None:
            self._runtime.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runtime
        self._end(Exit(signal=9))
        if self._caller is not None:
            self._caller.close()
        self.channel.close()
        self.listener.close()
        os.close(self.output)
        self._driver.changed.set()

    def kill(self) -> None:
        """End the process, as the kernel might."""
        if self._runtime is not None:
            self._runtime.cancel()
        self._end(Exit(signal=9))

    def _end(self, exit: Exit) -> None:
        if not self._ended.done():
            self._far.close()
            os.close(self._output_end)
            self._ended.set_result(exit)

    async def _live(self) -> None:
        try:
            if not self.is_clone:
                await self._init()
            await self._restore()
            while True:
                await self._serve_one()
        except (RuntimeDiesError, OSError):
            self._end(Exit(status=1))

    async def _init(self) -> None:
        await self._driver.may_init.wait()
        if self._driver.init_failure is not None:
            await self._send_error(b"X", self._driver.init_failure)
            raise RuntimeDiesError
        if self._driver.has_extension:
            await self._become_extension()
        self.is_waiting = True
        await self._send(b"S")
        self._driver.changed.set()

    async def _become_extension(self) -> None:
        """Register, as code of the function may do in its init, and wait for an event."""
        reader, self._caller = await asyncio.open_connection(*self.listener.getsockname())
        body = b'{"events": []}'
        self._caller.write(
            b"POST /2020-01-01/extension/register HTTP/1.1\r\nLambda-Extension-Name: inner\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        identifier = head.partition(b"lambda-extension-identifier:")[2].split()[0]
        self._caller.write(
            b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n"
            b"Lambda-Extension-Identifier: %s\r\n\r\n" % identifier
        )

    async def _restore(self) -> None:
        kind, body = await self._receive()
        assert kind == b"T"
        self.is_waiting = False
        self.variables = json.loads(body)
        if self._driver.restores_never:
            await asyncio.Event().wait()
        if self._driver.restore_failure is not None:
            await self._send_error(b"H", self._driver.restore_failure)
            raise RuntimeDiesError
        await self._send(b"N")

    async def _serve_one(self) -> None:
        kind, _body = await self._receive()
        assert kind == b"I"
        self._driver.changed.set()
        await self._driver.may_answer.wait()
        if self._driver.dies_in_handler:
            raise RuntimeDiesError
        await self._send(b"R", self.spec.id.encode())
        await self._send(b"N")

    async def _send_error(self, kind: bytes, error_type: str) -> None:
        head = f"{error_type}\0".encode()
        body = json.dumps({"errorType": "OSError", "errorMessage": "no luck"}).encode()
        await self._send(kind, struct.pack("!I", len(head)) + head + body)

    async def _send(self, kind: bytes, body: bytes = b"") -> None:
        frame = struct.pack("!I", len(body)) + kind + body
        await asyncio.get_running_loop().sock_sendall(self._far, frame)

    async def _receive(self) -> tuple[bytes, bytes]:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < 5 or len(data) < 5 + int.from_bytes(data[:4]):
            chunk = await loop.sock_recv(self._far, 65536)
            if not chunk:
                raise RuntimeDiesError
            data += chunk
        return bytes(data[4:5]), bytes(data[5:])


class PlainLauncher:
    """Takes the place of `Launcher`: every deployment can be started."""

    def __init__(self) -> None:
        self._tokens = itertools.count()

    async def spec(
        self,
        deployment: Deployment,
        *,
        id: str,
        scratch: Path,
        stream: Any,
        initialization_type: InitializationType,
    ) -> SandboxSpec:
        assert initialization_type is InitializationType.SNAP_START
        return SandboxSpec(
            id=id,
            command=("runtime",),
            environment={
                "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
                CREDENTIALS_TOKEN_VARIABLE: f"token {next(self._tokens)}",
            },
            code=scratch,
            layers=(),
            scratch=scratch,
            memory_mib=deployment.settings.memory_mib,
            ephemeral_storage_mib=512,
            runtime_files=scratch,
        )
