"""Linux namespaces, control groups and a system call filter: the default way to hold code.

The work that needs privileges is the warden's, a process of its own. Here is the node's
side: which sandbox to ask for, and what to do with the descriptors that come back. The
node holds no power over a sandbox but these.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from lambdabox.domain import limits
from lambdabox.domain.errors import ServiceException
from lambdabox.isolation.cgroup_files import CgroupFiles
from lambdabox.isolation.clones import Ends, Nursery
from lambdabox.isolation.entrypoint import find_program
from lambdabox.isolation.guest import messages
from lambdabox.isolation.guest.init import CHANNEL, RUNTIME
from lambdabox.isolation.variables import runtime_api_variables
from lambdabox.isolation.warden.flavours import inside
from lambdabox.isolation.warden.view import INTERPRETER_ROOT, PACKAGES_ROOT, RUNTIME_ROOT
from lambdabox.isolation.warden_client import WardenClient, WardenError
from lambdabox.ports import (
    CHANNEL_FD_VARIABLE,
    CannotCloneError,
    Exit,
    InvalidEntrypointError,
    Layout,
    SandboxGoneError,
    SandboxSpec,
)

TASK_ROOT, LAYER_ROOT = "/var/task", "/opt"

_FRAME = struct.Struct("!IB")
_ASSIGN = ord("A")
_PEAK_LINE = b"VmHWM:"
_CONTROL_MESSAGES = 16


class NamespaceProgram:
    """A further program of a sandbox. See `ports.Program`."""

    def __init__(self, output: int) -> None:
        self.output = output
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def wait(self) -> Exit:
        return await asyncio.shield(self.exited)


class NamespaceSandbox:
    """See `ports.Sandbox`. Owns the node's descriptors of one sandbox."""

    def __init__(
        self, warden: WardenClient, spec: SandboxSpec, ends: Ends, *, cpu_memory: int | None
    ) -> None:
        self.channel = socket.socket(fileno=ends.channel)
        self.output = ends.output
        self.listener = socket.socket(fileno=ends.listener)
        self.number = ends.number
        self._control = socket.socket(fileno=ends.control)
        self._nursery = Nursery(ends.orders) if ends.orders is not None else None
        self._cgroup = CgroupFiles(ends.cgroup)
        self._warden = warden
        self._spec = spec
        self._cpu_memory = cpu_memory
        self._api = ends.api
        self._loop = asyncio.get_running_loop()
        self._status = ends.status
        self._peak = 0
        self._runtime = NamespaceProgram(-1)
        self._programs: dict[int, NamespaceProgram] = {RUNTIME: self._runtime}
        self._gone = self._loop.create_future()
        self._destroying = False
        self._is_launched = False
        for end in (self.channel, self._control, self.listener):
            end.setblocking(False)
        os.set_blocking(self.output, False)
        warden.on_end(self.number, self._has_gone)
        self._loop.add_reader(self._control, self._hear)

    async def launch(self) -> None:
        self._check_open()
        if self._is_launched:
            raise RuntimeError("a sandbox is launched once")
        is_there = self._spec.is_forkable or self._spec.is_awaitable
        command = [] if is_there else _inside(self._spec)
        self._is_launched = True
        environment = {
            **self._spec.environment,
            CHANNEL_FD_VARIABLE: str(CHANNEL),
            **runtime_api_variables(self._spec, self._api),
        }
        order = {"environment": environment, "directory": TASK_ROOT, "command": command}
        body = json.dumps(order).encode()
        with contextlib.suppress(BrokenPipeError):  # it is killed already, and `wait` says so
            # It fits: the socket is empty, and an environment has a few thousand bytes at most.
            self.channel.send(_FRAME.pack(len(body), _ASSIGN) + body)

    async def run(self, command: Sequence[str], environment: Mapping[str, str]) -> NamespaceProgram:
        self._check_open()
        command = _inside(replace(self._spec, command=command, environment=environment))
        output, inside_end = os.pipe()
        os.set_blocking(output, False)
        number = len(self._programs)
        program = self._programs[number] = NamespaceProgram(output)
        order = {
            "run": number,
            "command": command,
            "environment": {**environment, **runtime_api_variables(self._spec, self._api)},
        }
        try:
            messages.send(self._control, order, [inside_end])
        except (messages.Closed, BlockingIOError):
            program.exited.set_result(Exit(signal=signal.SIGKILL))
        finally:
            os.close(inside_end)
        return program

    async def clone(self, spec: SandboxSpec) -> "NamespaceSandbox":
        self._check_open()
        if self._nursery is None:
            raise CannotCloneError("its driver makes snapshots for root only", is_final=True)
        if len(self._programs) > 1:
            raise CannotCloneError("it has extensions, whose state cannot be copied", is_final=True)
        ends = await self._nursery.clone(self._warden, self.number, spec)
        clone = NamespaceSandbox(self._warden, spec, ends, cpu_memory=self._cpu_memory)
        clone._is_launched = True
        return clone

    async def connect(self, port: int) -> socket.socket:
        """Return a TCP socket connected to `port` as seen from inside. Raises OSError."""
        try:
            _answer, [descriptor] = await self._warden.ask(
                {"do": "connect", "sandbox": self.number, "port": port}
            )
        except WardenError as exc:
            raise OSError(str(exc)) from exc
        connection = socket.socket(fileno=descriptor)
        try:
            connection.setblocking(False)
            await _writable(connection)
            number = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
        except BaseException:
            connection.close()
            raise
        return connection

    async def wait(self) -> Exit:
        exit = await self._runtime.wait()
        if not self._is_launched:
            return Exit()
        return replace(exit, out_of_memory=True) if self._cgroup.oom_kills() else exit

    def terminate(self) -> None:
        with contextlib.suppress(messages.Closed, OSError):
            messages.send(self._control, {"signal": int(signal.SIGTERM), "to": RUNTIME})

    def freeze(self) -> None:
        self._cgroup.freeze()

    def thaw(self) -> None:
        self._cgroup.thaw()

    def limit_cpu(self) -> None:
        if self._cpu_memory is not None:
            self._cgroup.limit_cpu(self._cpu_memory)

    def peak_memory_bytes(self) -> int:
        used = self._cgroup.used_memory_bytes()
        if self._status is not None:
            # A process that has ended answers with an error or without the line.
            with contextlib.suppress(OSError, ValueError, IndexError):
                status = os.pread(self._status, 4096, 0)
                resident = int(status[status.index(_PEAK_LINE) :].split(None, 2)[1]) * 1024
                used = max(used, resident)
        if self._cgroup.oom_kills():
            used = self._spec.memory_mib * 1024 * 1024
        self._peak = max(self._peak, min(used, self._spec.memory_mib * 1024 * 1024))
        return self._peak

    async def destroy(self) -> None:
        if not self._destroying:
            self._destroying = True
            self.peak_memory_bytes()
            if not self._gone.done():
                with contextlib.suppress(WardenError):
                    self._warden.tell({"do": "end", "sandbox": self.number})
        # Goes ahead even while its caller is being cancelled, for hostile code would
        # otherwise run on; bounded, so that shutdown cannot hang on it.
        with anyio.move_on_after(limits.KILL_SECONDS, shield=True):
            await asyncio.shield(self._gone)
        self._give_back()

    def _check_open(self) -> None:
        if self._destroying:
            raise SandboxGoneError(f"sandbox {self._spec.id} is destroyed")

    def _give_back(self) -> None:
        if self._control.fileno() < 0:
            return
        self._loop.remove_reader(self._control)
        self._end_programs()
        for end in (self.channel, self._control, self.listener):
            end.close()
        if self._nursery is not None:
            self._nursery.close()
        outputs = [program.output for program in self._programs.values()]
        for descriptor in (self.output, self._status, *outputs):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self.output = -1
        self._status = None
        self._programs.clear()
        self._cgroup.close()

    def _has_gone(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    def _hear(self) -> None:
        """Take what the sandbox's first process says."""
        for _ in range(_CONTROL_MESSAGES):
            try:
                message, descriptors = messages.receive(self._control)
            except BlockingIOError:
                return
            except (messages.Closed, ValueError, OSError):
                self._loop.remove_reader(self._control)
                self._end_programs()
                return
            if message.get("started") == RUNTIME and descriptors and self._status is None:
                self._status = descriptors.pop()
            for descriptor in descriptors:
                os.close(descriptor)
            number = message.get("exit")
            program = self._programs.get(number) if type(number) is int else None
            if program is not None and not program.exited.done():
                status, by = _small(message.get("status")), _small(message.get("signal"))
                program.exited.set_result(Exit(status, by))

    def _end_programs(self) -> None:
        for program in self._programs.values():
            if not program.exited.done():
                program.exited.set_result(Exit(signal=signal.SIGKILL))


class NamespaceDriver:
    """See `ports.IsolationDriver`. `root` is the directory that code and layers are below."""

    name = "namespaces"

    def __init__(
        self,
        connection: socket.socket,
        root: Path,
        *,
        preload: Sequence[str] = (),
        limits_cpu: bool = True,
        can_clone: bool = False,
    ) -> None:
        self.can_clone = can_clone
        self.warden = WardenClient(connection)
        self._limits_cpu = limits_cpu
        self._root = root
        self._preload = list(preload)

    def layout(
        self,
        code: Path,  # noqa: ARG002  # they are at the same place in every sandbox
        layers: Sequence[Path],  # noqa: ARG002
        runtime_files: Path,  # noqa: ARG002
        interpreter: Path | None = None,
    ) -> Layout:
        return Layout(
            TASK_ROOT,
            (LAYER_ROOT,),
            RUNTIME_ROOT,
            interpreter_root=inside(str(interpreter), str(interpreter)) if interpreter else None,
            packages_root=PACKAGES_ROOT,
        )

    async def prepare(self, spec: SandboxSpec) -> None:
        with contextlib.suppress(WardenError):
            self.warden.tell({"do": "warm", "kind": self._kind(spec)})

    async def start(self, spec: SandboxSpec) -> NamespaceSandbox:
        if not spec.code.is_dir():
            raise InvalidEntrypointError(f"there is no directory {spec.code}")
        order = {
            "do": "start",
            "kind": self._kind(spec),
            "code": str(spec.code.relative_to(self._root)),
            "layers": [str(layer.relative_to(self._root)) for layer in spec.layers],
            "volume": spec.scratch.name,
            "storage_mib": spec.ephemeral_storage_mib,
            "memory_mib": spec.memory_mib,
            "template": self.can_clone and spec.is_snap_start and spec.is_forkable,
        }
        try:
            answer, descriptors = await self.warden.ask(order)
        except WardenError as exc:
            raise ServiceException(f"No sandbox could be made: {exc}") from exc
        control, channel, output, *others = descriptors
        orders = others.pop(0) if order["template"] else None
        listener, *cgroup = others
        ends = Ends(
            answer["sandbox"],
            control,
            channel,
            output,
            listener,
            answer["api"],
            dict(zip(answer["cgroup"], cgroup, strict=True)),
            orders,
        )
        cpu_memory = spec.memory_mib if self._limits_cpu else None
        return NamespaceSandbox(self.warden, spec, ends, cpu_memory=cpu_memory)

    async def remove_scratch(self, scratch: Path) -> None:
        with contextlib.suppress(WardenError):
            self.warden.tell({"do": "forget", "volume": scratch.name})

    def close(self) -> None:
        """Let go of the warden, which then ends everything it has made."""
        self.warden.close()

    def _kind(self, spec: SandboxSpec) -> dict[str, Any]:
        interpreter = str(spec.interpreter) if spec.interpreter else None
        return {
            "account": spec.account if spec.is_forkable else "",
            "interpreter": interpreter,
            "python": str(spec.executable) if spec.is_forkable else None,
            "node": str(spec.executable) if spec.is_awaitable else None,
            "preload": self._preload if spec.is_forkable else [],
        }


def _small(value: object) -> int | None:
    """A status or a signal's number, from a process that may have been taken over."""
    return value if type(value) is int and 0 <= value <= 255 else None


def _inside(spec: SandboxSpec) -> list[str]:
    """Return the command as it is executed inside. Raises InvalidEntrypointError."""
    program = spec.command[0]
    found = find_program(_on_the_host(spec))
    return [program if "/" in program else found, *spec.command[1:]]


def _on_the_host(spec: SandboxSpec) -> SandboxSpec:
    """Name the program by its path on the host, where it can be looked at beforehand."""
    program = spec.command[0]
    for root, directories in ((TASK_ROOT, [spec.code]), (LAYER_ROOT, list(spec.layers)[::-1])):
        if program.startswith(f"{root}/"):
            found = [directory / program[len(root) + 1 :] for directory in directories]
            existing = next((path for path in found if path.exists()), None)
            if existing is None:
                raise InvalidEntrypointError(f"{program} does not exist")
            return replace(spec, command=[str(existing), *spec.command[1:]])
    if spec.interpreter is not None and program.startswith(f"{INTERPRETER_ROOT}/"):
        existing = spec.interpreter / program[len(INTERPRETER_ROOT) + 1 :]
        return replace(spec, command=[str(existing), *spec.command[1:]])
    return spec


async def _writable(connection: socket.socket) -> None:
    """Return once a connection that is being made has succeeded or failed."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(connection)
