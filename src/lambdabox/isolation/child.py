"""One child process of the process driver: its group, its exit, its memory.

A child leads a session and a process group of its own, and is not reaped before its
sandbox gives it up: until then its number cannot be given to a stranger.
"""

import contextlib
import errno
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdabox.isolation import strays
from lambdabox.isolation.exit_watch import ExitWatch
from lambdabox.ports import Exit, InvalidEntrypointError

_OPEN_FILES = 1_024
_ENTRYPOINT_ERRORS = (
    errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP, errno.E2BIG,
)  # fmt: skip
_PEAK_LINE = b"VmHWM:"


class Child:
    """Made by `spawn`, given up by `close`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.pid = process.pid
        self._process = process
        self._watch = ExitWatch(process.pid)
        self._status = _open_status(process.pid)
        self._peak = 0

    async def wait(self) -> Exit:
        return await self._watch.wait()

    def terminate(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGTERM)

    def kill_group(self) -> None:
        # Not reaped yet, so the group's number is still its own.
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def peak_memory_bytes(self) -> int:
        if self._status is not None:
            # A process that has ended answers with an error or without the line.
            with contextlib.suppress(OSError, ValueError, IndexError):
                status = os.pread(self._status, 4096, 0)
                self._peak = int(status[status.index(_PEAK_LINE) :].split(None, 2)[1]) * 1024
        return self._peak

    def close(self) -> None:
        self._watch.close()
        # Reaped here if it has ended; if not even SIGKILL ended it in time, subprocess
        # reaps it at a later start.
        self._process.poll()
        self.peak_memory_bytes()
        if self._status is not None:
            os.close(self._status)
            self._status = None


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    directory: Path,
    output: int,
    descriptors: Sequence[int] = (),
    mark: int | None,
) -> Child:
    """Start a child with AWS's limits that writes to `output`. Raises InvalidEntrypointError."""
    try:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            start_new_session=True,
            umask=0o022,
        )
    except OSError as exc:
        if exc.errno not in _ENTRYPOINT_ERRORS:
            raise
        raise InvalidEntrypointError(f"{command} cannot be started: {exc}") from exc
    try:
        _limit(process.pid, mark)
        return Child(process)
    except BaseException:
        process.kill()
        process.wait()
        raise


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
