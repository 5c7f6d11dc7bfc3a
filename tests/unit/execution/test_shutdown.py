"""The shutdown phase: who is asked to end, in which order, and how long it may take."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import anyio
import pytest
from support.clock import ManualClock
from support.environments import KeptJournal

from lambdabox.domain import limits
from lambdabox.domain.functions import LoggingSettings
from lambdabox.execution.extension_programs import ExtensionPrograms
from lambdabox.execution.shutdown import ShutdownPhase
from lambdabox.ports import CannotCloneError, Exit, LogStream, Program, Sandbox, SandboxSpec
from lambdabox.runtime.extensions import Extensions
from lambdabox.runtime.external_extensions import ExternalExtension
from lambdabox.runtime.telemetry_stream import TelemetryStream
from lambdabox.telemetry.logs import EnvironmentLog

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeProgram:
    def __init__(self) -> None:
        near, self._far = socket.socketpair()
        near.setblocking(False)
        self.output = near.detach()
        self.end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def wait(self) -> Exit:
        return await asyncio.shield(self.end)

    def close(self) -> None:
        self._far.close()
        socket.socket(fileno=self.output).close()


class FakeSandbox:
    """A `ports.Sandbox` whose runtime and programs end when a test says so."""

    channel: socket.socket
    listener: socket.socket
    output = -1

    def __init__(self) -> None:
        self.programs: list[FakeProgram] = []
        self.is_terminated = asyncio.Event()
        self.end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def run(self, command: Sequence[str], environment: Mapping[str, str]) -> Program:
        self.programs.append(FakeProgram())
        return self.programs[-1]

    async def launch(self) -> None: ...

    async def connect(self, port: int) -> socket.socket:
        raise ConnectionRefusedError

    async def clone(self, spec: SandboxSpec) -> Sandbox:
        raise CannotCloneError("it is a fake")

    def terminate(self) -> None:
        self.is_terminated.set()

    async def wait(self) -> Exit:
        return await asyncio.shield(self.end)

    def peak_memory_bytes(self) -> int:
        return 0

    def limit_cpu(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    async def destroy(self) -> None: ...


class Setting:
    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.sandbox = FakeSandbox()
        self.extensions = Extensions()
        self.events: list[dict[str, Any]] = []
        self.told = asyncio.Event()
        log = EnvironmentLog(
            LogStream("a", "r", "g", "s"), LoggingSettings(), KeptJournal(), ManualClock()
        )

        def spawn(function: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
            tasks.start_soon(function, *arguments)

        self.programs = ExtensionPrograms(self.sandbox, self.extensions, log, spawn)
        telemetry = TelemetryStream(is_json=False, now=lambda: 0.0)
        self._phase = ShutdownPhase(
            self.sandbox, self.extensions, self.programs, telemetry, lambda: 1_000.0
        )

    async def external(self, *events: str) -> None:
        await self.programs.start([ExternalExtension("a", "/opt/extensions/a")], {})
        self.extensions.next(self.extensions.register("a", events), self._deliver)

    async def run(self) -> float:
        """Run the phase; return how long it took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self._phase.run("SPINDOWN", has_runtime=True)
        return loop.time() - started

    def close(self) -> None:
        self.programs.close()
        for program in self.sandbox.programs:
            if not program.end.done():
                program.end.set_result(Exit(signal=9))
            program.close()

    def _deliver(self, event: bytes) -> None:
        self.events.append(json.loads(event))
        self.told.set()


async def test_without_extensions_nobody_is_asked() -> None:
    async with anyio.create_task_group() as tasks:
        setting = Setting(tasks)
        await setting.run()
        assert not setting.sandbox.is_terminated.is_set()


async def test_the_runtime_ends_first_then_the_extensions_are_told() -> None:
    async with anyio.create_task_group() as tasks:
        setting = Setting(tasks)
        await setting.external("SHUTDOWN")
        phase = asyncio.ensure_future(setting.run())
        await setting.sandbox.is_terminated.wait()
        assert setting.events == []
        setting.sandbox.end.set_result(Exit(status=0))
        await setting.told.wait()
        [event] = setting.events
        assert event["shutdownReason"] == "SPINDOWN"
        assert 1_001_000 < event["deadlineMs"] <= 1_002_000
        assert not phase.done()
        setting.sandbox.programs[0].end.set_result(Exit(status=0))
        await phase
        setting.close()


async def test_extensions_that_did_not_ask_are_not_waited_for() -> None:
    async with anyio.create_task_group() as tasks:
        setting = Setting(tasks)
        await setting.external("INVOKE")
        setting.sandbox.end.set_result(Exit(status=0))
        await setting.run()
        assert setting.events == []
        setting.close()


async def test_time_is_bounded_for_a_runtime_and_extensions_that_stay() -> None:
    async with anyio.create_task_group() as tasks:
        setting = Setting(tasks)
        await setting.external("SHUTDOWN")
        took = await setting.run()
        assert took >= limits.EXTERNAL_SHUTDOWN_SECONDS * 0.99
        # The runtime had its share, and what was left of the time is the extensions'.
        assert setting.events[0]["deadlineMs"] <= 1_000_000 + 1_400
        setting.close()


async def test_with_internal_extensions_the_runtime_alone_is_asked() -> None:
    async with anyio.create_task_group() as tasks:
        setting = Setting(tasks)
        setting.extensions.register("inner", ["INVOKE"])
        took = await setting.run()
        assert setting.sandbox.is_terminated.is_set()
        assert took < limits.EXTERNAL_SHUTDOWN_SECONDS
