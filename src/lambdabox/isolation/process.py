"""Plain child processes, for development. This driver isolates nothing.

Code runs as the node's own user: it sees the machine's files, network and processes, and
memory and storage limits are not enforced. What it shares with the other drivers is the
contract: the descriptors, the environment, the end of every process. The code that runs
here must be trusted.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from lambdabox.domain import limits
from lambdabox.isolation import strays
from lambdabox.isolation.entrypoint import find_program
from lambdabox.isolation.exit_watch import ExitWatch
from lambdabox.isolation.variables import runtime_api_variables
from lambdabox.ports import (
    CHANNEL_FD_VARIABLE,
    CannotCloneError,
    Exit,
    InvalidEntrypointError,
    Layout,
    SandboxSpec,
)

MARKER_VARIABLE = "LAMBDABOX_SANDBOX"

_OPEN_FILES = 1_024
_OUTPUT_PIPE_BYTES = 1024 * 1024
_SETPRIV_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_ENTRYPOINT_ERRORS = (
    errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP, errno.E2BIG,
)  # fmt: skip
_PEAK_LINE = b"VmHWM:"


class ProcessSandbox:
    """A process group and what has come from it. See `ports.Sandbox`."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        *,
        channel: socket.socket,
        output: int,
        listener: socket.socket,
        mark: int | None,
        limiter: anyio.CapacityLimiter,
        on_destroyed: Callable[[], None],
    ) -> None:
        self.channel = channel
        self.output = output
        self.listener = listener
        self.pid = process.pid
        self._process = process
        self._mark = mark
        self._limiter = limiter
        self._on_destroyed = on_destroyed
        self._watch = ExitWatch(process.pid)
        self._status = _open_status(process.pid)
        self._peak = 0
        self._destroying = asyncio.Lock()
        self._is_destroyed = False

    async def wait(self) -> Exit:
        return await self._watch.wait()

    def peak_memory_bytes(self) -> int:
        if self._status is not None:
            # A process that has ended answers with an error or without the line.
            with contextlib.suppress(OSError, ValueError, IndexError):
                status = os.pread(self._status, 4096, 0)
                self._peak = int(status[status.index(_PEAK_LINE) :].split(None, 2)[1]) * 1024
        return self._peak

    async def clone(self, spec: SandboxSpec) -> "ProcessSandbox":  # noqa: ARG002  # the port's
        raise CannotCloneError("the process driver keeps no process to copy")

    async def destroy(self) -> None:
        async with self._destroying:
            if self._is_destroyed:
                return
            self._is_destroyed = True
            try:
                # Goes ahead even while its caller is being cancelled, for hostile code
                # would otherwise run on; bounded, so that shutdown cannot hang on it.
                with anyio.move_on_after(limits.KILL_SECONDS, shield=True):
                    await self._end_processes()
            finally:
                self._give_back()

    async def _end_processes(self) -> None:
        # The leader is a child not yet reaped, so the group's number is still its own.
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._watch.wait()
        deadline = time.monotonic() + limits.KILL_SECONDS
        with contextlib.suppress(OSError):
            await anyio.to_thread.run_sync(
                strays.end_orphans,
                self.pid,
                self._mark,
                deadline,
                abandon_on_cancel=True,
                limiter=self._limiter,
            )

    def _give_back(self) -> None:
        self._watch.close()
        # Reaped here if it has ended; if not even SIGKILL ended it in time, subprocess
        # reaps it at a later start.
        self._process.poll()
        self.peak_memory_bytes()
        self.channel.close()
        self.listener.close()
        for descriptor in (self.output, self._status):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self.output = -1
        self._status = None
        self._on_destroyed()


class ProcessDriver:
    """Starts sandboxes as children of the node. See `ports.IsolationDriver`.

    `start` must always be called on the same, lasting thread: a sandbox is killed by the
    kernel when the thread that started it ends, so that none outlives the node.

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

    def layout(self, code: Path, layers: Sequence[Path], runtime_files: Path) -> Layout:
        return Layout(str(code), tuple(map(str, layers)), str(runtime_files))

    async def start(self, spec: SandboxSpec) -> ProcessSandbox:
        program = find_program(spec)
        mark = strays.free_mark(self._marks, next(self._numbers))
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as passed_on:
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            passed_on.callback(theirs.close)
            listener = kept.enter_context(_listen())
            output, output_end = _open_output()
            kept.callback(os.close, output)
            passed_on.callback(os.close, output_end)
            environment = {
                **spec.environment,
                **self._own_variables(spec, listener.getsockname()[1]),
            }
            process = self._spawn(program, spec, environment, theirs, output_end)
            kept.callback(_end_unowned, process)
            _limit(process.pid, mark)
            ours.setblocking(False)
            sandbox = ProcessSandbox(
                process,
                channel=ours,
                output=output,
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

    def _own_variables(self, spec: SandboxSpec, port: int) -> dict[str, str]:
        return {
            CHANNEL_FD_VARIABLE: str(self._slot),
            **runtime_api_variables(spec, f"127.0.0.1:{port}"),
            "TMPDIR": str(spec.scratch),
            MARKER_VARIABLE: self._node,
        }

    def _spawn(
        self,
        program: str,
        spec: SandboxSpec,
        environment: dict[str, str],
        channel: socket.socket,
        output_end: int,
    ) -> "subprocess.Popen[bytes]":
        command = [program, *spec.command[1:]]
        if self._setpriv is not None:
            command = [self._setpriv, "--pdeathsig", "KILL", "--", *command]
        os.dup2(channel.fileno(), self._slot, inheritable=False)
        try:
            return subprocess.Popen(
                command,
                cwd=spec.code,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                pass_fds=(self._slot,),
                start_new_session=True,
                umask=0o022,
            )
        except OSError as exc:
            if exc.errno not in _ENTRYPOINT_ERRORS:
                raise
            raise InvalidEntrypointError(f"{program} cannot be started: {exc}") from exc
        finally:
            os.dup2(self._null, self._slot, inheritable=False)


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


def _open_status(pid: int) -> int | None:
    try:
        return os.open(f"/proc/{pid}/status", os.O_RDONLY)
    except OSError:
        return None


def _limit(pid: int, mark: int | None) -> None:
    """Set the limits AWS has. The process is still being loaded, so nothing escapes them."""
    open_files = min(_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files, open_files))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        if mark is not None:
            strays.mark_process(pid, mark)


def _end_unowned(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
