"""Plain child processes, for development. This driver isolates nothing.

Code runs as the node's own user: it sees the machine's files, network and processes, and
memory and storage limits are not enforced. What it shares with the other drivers is the
contract: the descriptors, the environment, the end of every process. The code that runs
here must be trusted.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from lambdabox.domain import limits
from lambdabox.isolation import strays
from lambdabox.isolation.child import Child, spawn
from lambdabox.isolation.entrypoint import find_program
from lambdabox.isolation.variables import runtime_api_variables
from lambdabox.ports import (
    CHANNEL_FD_VARIABLE,
    CannotCloneError,
    Exit,
    Layout,
    SandboxGoneError,
    SandboxSpec,
)

MARKER_VARIABLE = "LAMBDABOX_SANDBOX"

_OUTPUT_PIPE_BYTES = 1024 * 1024
_SETPRIV_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

Start = Callable[..., Child]


class ChildProgram:
    """A further child in a sandbox. See `ports.Program`."""

    def __init__(self, child: Child, output: int) -> None:
        self.output = output
        self._child = child

    async def wait(self) -> Exit:
        return await self._child.wait()


class ProcessSandbox:
    """Process groups and what has come from them. See `ports.Sandbox`."""

    def __init__(
        self,
        spec: SandboxSpec,
        start: Start,
        *,
        channel: socket.socket,
        bootstrap_channel: socket.socket,
        outputs: tuple[int, int],
        listener: socket.socket,
        mark: int | None,
        limiter: anyio.CapacityLimiter,
        on_destroyed: Callable[[], None],
    ) -> None:
        self.channel = channel
        self.output, self._output_end = outputs
        self.listener = listener
        self._spec = spec
        self._start = start
        self._bootstrap_channel = bootstrap_channel
        self._mark = mark
        self._limiter = limiter
        self._on_destroyed = on_destroyed
        self._runtime: Child | None = None
        self._children: list[Child] = []
        self._program_outputs: list[int] = []
        self._peak = 0
        self._settled = asyncio.Event()
        """Set once it is known whether there will ever be a runtime."""
        self._destroying = asyncio.Lock()
        self._is_destroyed = False

    async def launch(self) -> None:
        self._check_open()
        if self._settled.is_set():
            raise RuntimeError("a sandbox is launched once")
        self._runtime = self._start(
            self._spec, output=self._output_end, channel=self._bootstrap_channel
        )
        self._children.append(self._runtime)
        self._settled.set()
        self._close_far_ends()

    async def run(self, command: Sequence[str], environment: Mapping[str, str]) -> ChildProgram:
        self._check_open()
        with _output_pipe() as (output, output_end):
            spec = replace(self._spec, command=command, environment=environment)
            try:
                child = self._start(spec, output=output_end)
            except BaseException:
                os.close(output)
                raise
        self._children.append(child)
        self._program_outputs.append(output)
        return ChildProgram(child, output)

    async def connect(self, port: int) -> socket.socket:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return connection

    def terminate(self) -> None:
        if self._runtime is not None and not self._is_destroyed:
            self._runtime.terminate()

    async def wait(self) -> Exit:
        await self._settled.wait()
        return Exit() if self._runtime is None else await self._runtime.wait()

    def peak_memory_bytes(self) -> int:
        self._peak = max(self._peak, sum(child.peak_memory_bytes() for child in self._children))
        return self._peak

    async def clone(self, spec: SandboxSpec) -> "ProcessSandbox":  # noqa: ARG002  # the port's
        raise CannotCloneError("the process driver keeps no process to copy")

    def limit_cpu(self) -> None:
        """Plain processes have no limit."""

    def freeze(self) -> None:
        """Plain processes go on."""

    def thaw(self) -> None:
        """They have gone on."""

    async def destroy(self) -> None:
        async with self._destroying:
            if self._is_destroyed:
                return
            self._is_destroyed = True
            self._settled.set()
            try:
                # Goes ahead even while its caller is being cancelled, for hostile code
                # would otherwise run on; bounded, so that shutdown cannot hang on it.
                with anyio.move_on_after(limits.KILL_SECONDS, shield=True):
                    await self._end_processes()
            finally:
                self._give_back()

    def _check_open(self) -> None:
        if self._is_destroyed:
            raise SandboxGoneError(f"sandbox {self._spec.id} is destroyed")

    async def _end_processes(self) -> None:
        if not self._children:
            return
        for child in self._children:
            child.kill_group()
        for child in self._children:
            await child.wait()
        deadline = time.monotonic() + limits.KILL_SECONDS
        with contextlib.suppress(OSError):
            await anyio.to_thread.run_sync(
                strays.end_orphans,
                [child.pid for child in self._children],
                self._mark,
                deadline,
                abandon_on_cancel=True,
                limiter=self._limiter,
            )

    def _close_far_ends(self) -> None:
        """Let go of what only the runtime needs, so that its end is seen here."""
        self._bootstrap_channel.close()
        if self._output_end >= 0:
            os.close(self._output_end)
            self._output_end = -1

    def _give_back(self) -> None:
        for child in self._children:
            child.close()
        self.peak_memory_bytes()
        self._children.clear()
        self._close_far_ends()
        self.channel.close()
        self.listener.close()
        for descriptor in (self.output, *self._program_outputs):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.output = -1
        self._program_outputs.clear()
        self._on_destroyed()


class ProcessDriver:
    """Makes sandboxes of children of the node. See `ports.IsolationDriver`.

    `launch` and `run` must always be called on the same, lasting thread: a sandbox is killed
    by the kernel when the thread that started it ends, so that none outlives the node.

    Make the driver early. It keeps one descriptor, and gives its number to every sandbox's
    channel, because Node.js keeps only low numbers (up to 15 for certain) from its children.
    """

    name = "process"
    can_clone = False

    def __init__(self, data_directory: Path) -> None:
        node = hashlib.sha256(os.fsencode(data_directory.resolve())).hexdigest()[:32]
        self._node = node
        self._setpriv = shutil.which("setpriv", path=_SETPRIV_PATH)
        self._marks: set[int] = set()
        # Random, so that two drivers in one process do not use the same marks.
        self._numbers = itertools.count(secrets.randbelow(strays.MARKS))
        self._limiter = anyio.CapacityLimiter(4)
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._slot = os.dup(self._null)
        strays.become_subreaper()

    def layout(
        self,
        code: Path,
        layers: Sequence[Path],
        runtime_files: Path,
        interpreter: Path | None = None,
    ) -> Layout:
        return Layout(
            str(code),
            tuple(map(str, layers)),
            str(runtime_files),
            interpreter_root=str(interpreter) if interpreter else None,
        )

    async def prepare(self, spec: SandboxSpec) -> None:
        """Nothing is made ahead."""

    async def remove_scratch(self, scratch: Path) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, scratch, True)

    async def start(self, spec: SandboxSpec) -> ProcessSandbox:
        await anyio.to_thread.run_sync(_make_directory, spec.scratch)
        mark = strays.free_mark(self._marks, next(self._numbers))
        with contextlib.ExitStack() as kept:
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            kept.callback(theirs.close)
            ours.setblocking(False)
            listener = kept.enter_context(_listen())
            outputs = _open_output()
            port = listener.getsockname()[1]

            def start(
                spec: SandboxSpec, *, output: int, channel: socket.socket | None = None
            ) -> Child:
                return self._spawn(spec, port, output, channel, mark)

            sandbox = ProcessSandbox(
                spec,
                start,
                channel=ours,
                bootstrap_channel=theirs,
                outputs=outputs,
                listener=listener,
                mark=mark,
                limiter=self._limiter,
                on_destroyed=lambda: self._marks.discard(mark) if mark is not None else None,
            )
            if mark is not None:
                self._marks.add(mark)
            kept.pop_all()
        return sandbox

    async def sweep_leftovers(self) -> int:
        """Kill what a node of the same data directory left running; return how many.

        For the start of the node, before its first sandbox. A process with an environment of
        another user, data directory or origin is never touched.
        """
        entry = f"{MARKER_VARIABLE}={self._node}".encode()
        deadline = time.monotonic() + limits.KILL_SECONDS
        return await anyio.to_thread.run_sync(
            strays.kill_marked, entry, deadline, limiter=self._limiter
        )

    def _spawn(
        self,
        spec: SandboxSpec,
        port: int,
        output: int,
        channel: socket.socket | None,
        mark: int | None,
    ) -> Child:
        """Start a program of a sandbox. The runtime alone is given the channel."""
        command = [find_program(spec), *spec.command[1:]]
        if self._setpriv is not None:
            command = [self._setpriv, "--pdeathsig", "KILL", "--", *command]
        environment = {
            **spec.environment,
            **runtime_api_variables(spec, f"127.0.0.1:{port}"),
            "TMPDIR": str(spec.scratch),
            MARKER_VARIABLE: self._node,
        }
        descriptors: tuple[int, ...] = ()
        if channel is not None:
            environment[CHANNEL_FD_VARIABLE] = str(self._slot)
            descriptors = (self._slot,)
            os.dup2(channel.fileno(), self._slot, inheritable=False)
        try:
            return spawn(
                command,
                environment,
                directory=spec.code,
                output=output,
                descriptors=descriptors,
                mark=mark,
            )
        finally:
            os.dup2(self._null, self._slot, inheritable=False)


def _make_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)
    return listener


def _open_output() -> tuple[int, int]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with contextlib.suppress(OSError):  # beyond what this user may have; the default will do
        fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, _OUTPUT_PIPE_BYTES)
    return read_end, write_end


@contextlib.contextmanager
def _output_pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose write end is closed after the block."""
    read_end, write_end = _open_output()
    try:
        yield read_end, write_end
    finally:
        os.close(write_end)
