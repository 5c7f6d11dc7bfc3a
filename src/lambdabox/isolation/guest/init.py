"""Process 1 of a sandbox: starts its programs, reports their ends, reaps what is left.

Without it, the runtime would be process 1 and signals it sends itself would do nothing.
It runs no user code and holds no more than it needs to start programs as the sandbox's
user, inside the sandbox's own user namespace. The node talks to it; if it ends, the kernel
ends everything else in the sandbox.

    node → init   {"run": n, "command": […], "environment": {…}}   one descriptor: its output
                  {"signal": number, "to": n}
    init → node   {"started": n}             one descriptor, for n = 0: the runtime's /proc status
                  {"exit": n, "status": s} or {"exit": n, "signal": s}

Program 0 is the runtime, which is forked before the sandbox has a function.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import lockdown, messages

CHANNEL = 3
"""The descriptor of the private channel in the runtime. Node.js keeps only low ones private."""

ORDERS = 4
"""The descriptor of a template's nursery, if the runtime is one."""

RUNTIME = 0
NOT_STARTED = 127

report_end: Callable[[int], None] | None = None
"""Told the status of a runtime that is about to end, where no process 1 reports it."""


class Init:
    """Owns the programs of one sandbox until the node lets go of it."""

    def __init__(self, control: socket.socket, become_user: Callable[[], None]) -> None:
        self._control = control
        self._become_user = become_user
        self._programs: dict[int, int] = {}

    def start_runtime(
        self, channel: int, output: int, body: Callable[[int], int], orders: int | None = None
    ) -> None:
        """Fork the runtime; `body(channel)` returns its exit status."""
        pid = os.fork()
        if pid == 0:
            wanted = {0: _null(), 1: output, 2: output, CHANNEL: channel}
            self._be_runtime(wanted if orders is None else {**wanted, ORDERS: orders}, body)
        self._programs[pid] = RUNTIME
        os.close(channel)
        os.close(output)
        status = os.open(f"/proc/{pid}/status", os.O_RDONLY)
        messages.send(self._control, {"started": RUNTIME}, [status])
        os.close(status)

    def serve(self) -> None:
        """Serve the node until it lets go. Returns when there is nothing left to do."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _note)
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        self._reap()
        while True:
            ready = dict(poll.poll())
            if woken in ready:
                os.read(woken, 4096)
                self._reap()
            if self._control.fileno() in ready:
                try:
                    message, descriptors = messages.receive(self._control)
                except messages.Closed:
                    return
                self._obey(message, descriptors)

    def _obey(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "run" in message:
            self._run(int(message["run"]), message["command"], message["environment"], descriptors)
        elif "signal" in message:
            for pid, number in self._programs.items():
                if number == message["to"]:
                    os.kill(pid, int(message["signal"]))

    def _run(
        self, number: int, command: list[str], environment: dict[str, str], descriptors: list[int]
    ) -> None:
        output = descriptors[0]
        pid = os.fork()
        if pid == 0:
            self._be_program(output, command, environment)
        os.close(output)
        self._programs[pid] = number
        messages.send(self._control, {"started": number})

    def _be_runtime(self, descriptors: dict[int, int], body: Callable[[int], int]) -> None:
        status = NOT_STARTED
        try:
            os.setsid()
            self._arrange(descriptors)
            self._become_user()
            status = body(CHANNEL)
        except SystemExit as exc:
            status = _status_of(exc)
        except BaseException:
            import traceback  # deferred: only a defect of ours leads here

            traceback.print_exc()
            status = 1
        finally:
            _end(status)

    def _be_program(self, output: int, command: list[str], environment: dict[str, str]) -> None:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            self._arrange({0: _null(), 1: output, 2: output})
            self._become_user()
            os.chdir("/var/task")
            execute(command, environment)
        finally:
            os._exit(NOT_STARTED)

    def _arrange(self, wanted: dict[int, int]) -> None:
        """Give the descriptors their numbers, and close every other."""
        # Copied out of the way first, so that none is overwritten before it is in place.
        copies = {number: os.dup(source) for number, source in wanted.items()}
        high = [_above(copy, 16) for copy in copies.values()]
        for number, copy in zip(copies, high):  # noqa: B905  # not in Python 3.9
            os.dup2(copy, number)
        lockdown.close_from(max(wanted) + 1)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._programs.pop(pid, None)
            if number is not None:
                self._report(number, status)

    def _report(self, number: int, status: int) -> None:
        key = "signal" if os.WIFSIGNALED(status) else "status"
        value = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        try:
            messages.send(self._control, {"exit": number, key: value})
        except (messages.Closed, BlockingIOError):
            return


def execute(command: list[str], environment: dict[str, str]) -> None:
    """Become `command`. On failure say why on standard error and exit as a shell would."""
    lockdown.restore_signals()
    try:
        os.execve(command[0], command, environment)  # noqa: S606  # its purpose
    except OSError as exc:
        os.write(2, f"{command[0]}: {exc.strerror}\n".encode())
        os._exit(NOT_STARTED if isinstance(exc, FileNotFoundError) else 126)


def _end(status: int) -> None:
    """End as an interpreter does: threads are waited for, what was registered is called."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  # has no public name
        atexit._run_exitfuncs()  # noqa: SLF001  # likewise
        sys.stdout.flush()
    except BaseException:
        status = status or 120
    finally:
        if report_end is not None:
            report_end(status)
        os._exit(status)


def _above(descriptor: int, lowest: int) -> int:
    """Return a copy of `descriptor` numbered `lowest` or higher; the given one is closed."""
    import fcntl  # deferred: not needed by whoever only executes

    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(descriptor)
    return copy


def _null() -> int:
    return os.open("/dev/null", os.O_RDWR)


def _note(number: int, frame: object) -> None:
    """A handler must exist for the signal to reach the wake-up descriptor."""


def _status_of(exc: SystemExit) -> int:
    """The status that the interpreter would end with."""
    if exc.code is None:
        return 0
    if isinstance(exc.code, int):
        return exc.code & 0xFF
    os.write(2, f"{exc.code}\n".encode(errors="replace"))
    return 1
