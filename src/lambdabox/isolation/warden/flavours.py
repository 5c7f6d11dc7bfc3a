"""A kind of sandbox: its fork server, and a few of its sandboxes made ahead.

How many are kept ready follows the load: what was used in the last moments will be used
again in the next.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lambdabox.isolation.guest import forkserver, linux, lockdown, messages, runner
from lambdabox.isolation.warden.sandboxes import Sandbox
from lambdabox.isolation.warden.view import GUEST_ROOT, INTERPRETER_ROOT, View, is_system

FEWEST_READY = 4
MOST_READY = 32
FEWEST_NODES = 2
MOST_NODES = 8
"""The same of those with Node.js in them, which takes ten times the memory and time."""
WINDOW_SECONDS = 2.0
QUIET_SECONDS = 0.02
"""How long nothing must have been started before sandboxes are made ahead of need."""
START_SECONDS = 0.01
"""The same where few are left: a start that is in progress should have the processors."""
MOST_PENDING = 2
PAUSE_SECONDS = 5.0
MOST_FRUITLESS = 3
"""How often a fork server may end without having made anything before there is a pause."""
MOST_KILLED = 50
"""Likewise, if it was killed."""
_START_PYTHON = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from guest.main import main; main()"
)
_LIBRARY_PATH = (
    "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
)
_ENVIRONMENT = {
    "LD_LIBRARY_PATH": _LIBRARY_PATH,
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
}
_NODE_BOOTSTRAP = "/var/runtime/node/bootstrap.mjs"
_AWAITS = "LAMBDABOX_AWAITS_FUNCTION"


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells one flavour from another."""

    account: str
    """Forks share their parent's memory layout and hash seed, so never across accounts."""
    interpreter: str | None
    """The root of a language's installation on the host."""
    python: str | None
    """The executable to fork Python functions from; None where each function is executed."""
    preload: tuple[str, ...] = ()
    node: str | None = None
    """The executable that sandboxes start beforehand, to wait for a function in it."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Kind":
        """Read the node's description."""
        return cls(
            given["account"],
            given["interpreter"],
            given["python"],
            tuple(given["preload"]),
            given.get("node"),
        )


class Flavour:
    """Owns one fork server, which is started when first needed and again if it dies."""

    def __init__(self, kind: Kind, view: View, *, packages: str, is_root: bool) -> None:
        self.kind = kind
        self.ready: deque[Sandbox] = deque()
        self.pending: dict[int, Sandbox] = {}
        self.waiting: deque[Callable[[Sandbox | None, str], None]] = deque()
        self.is_serving = False
        self.connection: socket.socket | None = None
        self.last_used = time.monotonic()
        self._view = view
        self._packages = packages
        self._is_root = is_root
        self._pid = 0
        self._resume = 0.0
        self._failure = ""
        self._restart = 0.0
        self._start_failure = ""
        self._fruitless = 0
        self._uses: deque[float] = deque(maxlen=MOST_READY * 2)

    def failed(self, why: str) -> None:
        """Make none ahead for a while: what could not be made now hardly can be at once."""
        self._resume = time.monotonic() + PAUSE_SECONDS
        if why != self._failure:
            self._failure = why
            print(f"lambdabox: a sandbox could not be made: {why}", file=sys.stderr, flush=True)

    @property
    def refusal(self) -> str | None:
        """Why no fork server is started at the moment; None if one can be."""
        return self._start_failure if time.monotonic() < self._restart else None

    def cannot_start(self, why: str) -> None:
        """Remember what a fork server said before it ended."""
        self._start_failure = f"sandboxes of {self._title} cannot be made: {why}"

    def has_made(self, sandbox: Sandbox) -> None:
        """Take note that a sandbox is there."""
        self.pending.pop(sandbox.number)
        self._fruitless = 0

    def lost(self) -> None:
        """Clean up after a fork server that has ended. See `refusal` for what comes next."""
        was_serving = self.is_serving
        self._hear_last_words()
        status = self.stop()
        self._fruitless += 1
        if _was_killed(status):
            # That is somebody's doing, and no reason not to start another at once.
            was_serving, limit = True, MOST_KILLED
        else:
            limit = MOST_FRUITLESS
        if was_serving and self._fruitless < limit:
            return
        if not self._start_failure:
            self.cannot_start(f"their fork server ended with {_told(status)}")
        print(f"lambdabox: {self._start_failure}", file=sys.stderr, flush=True)
        self._restart = time.monotonic() + PAUSE_SECONDS

    def _hear_last_words(self) -> None:
        """Read what it said before it ended; orders it did not read hide that at first."""
        if self.connection is None:
            return
        self.connection.setblocking(False)
        with contextlib.suppress(messages.Closed, BlockingIOError):
            message, descriptors = messages.receive(self.connection)
            for descriptor in descriptors:
                os.close(descriptor)
            if "broken" in message:
                self.cannot_start(message["broken"])

    def take_ready(self) -> Sandbox | None:
        """Return one that was made ahead, if any is there. Ends those without a runtime."""
        while self.ready:
            sandbox = self.ready.popleft()
            if not sandbox.is_deserted:
                return sandbox
            sandbox.kill()
        return None

    def used(self) -> None:
        self.last_used = time.monotonic()
        self._uses.append(self.last_used)

    def delay(self, since_start: float) -> float | None:
        """Return in how many seconds one more should be made; None if it is not for now.

        `since_start` is how long ago the warden last gave a sandbox to a function.
        """
        if not self.is_serving or len(self.pending) >= MOST_PENDING:
            return None
        target = self._target()
        missing = target + len(self.waiting) - len(self.ready) - len(self.pending)
        if missing <= 0:
            return None
        if not self.ready:
            return 0.0
        pause = START_SECONDS if len(self.ready) < target // 2 else QUIET_SECONDS
        return max(0.0, pause - since_start)

    def _target(self) -> int:
        """How many should be ready: as many as were used in the last moments."""
        now = time.monotonic()
        while self._uses and self._uses[0] < now - WINDOW_SECONDS:
            self._uses.popleft()
        if now < self._resume:
            return 0
        fewest, most = (
            (FEWEST_READY, MOST_READY) if self.kind.node is None else (FEWEST_NODES, MOST_NODES)
        )
        return min(max(fewest, len(self._uses)), most)

    def start(self) -> socket.socket:
        """Start the fork server. Returns the connection to watch."""
        ours, theirs = messages.pair()
        pid = os.fork()
        if pid == 0:
            self._become_fork_server(theirs)
        theirs.close()
        self._pid = pid
        self._start_failure = ""
        self.is_serving = False
        self.connection = ours
        return ours

    def stop(self) -> int:
        """End the fork server, whose sandboxes go on. Returns the status it ended with."""
        status = 0
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                _, status = os.waitpid(self._pid, 0)
        self.is_serving = False
        return status

    def spawn(self, sandbox: Sandbox, order: dict[str, Any], descriptors: list[int]) -> None:
        """Ask for a sandbox. Raises messages.Closed if the fork server is gone."""
        if self.connection is None:
            raise messages.Closed
        messages.send(self.connection, order, descriptors)
        self.pending[sandbox.number] = sandbox

    def reap(self, pid: int) -> None:
        if self.connection is not None:
            with contextlib.suppress(messages.Closed):
                messages.send(self.connection, {"reap": pid})

    @property
    def _title(self) -> str:
        return self.kind.python or self.kind.interpreter or "the system's programs"

    def _become_fork_server(self, warden: socket.socket) -> None:
        try:
            os.setsid()
            lockdown.reset_signals()
            lockdown.close_descriptors(keep=(0, 1, 2, warden.fileno()))
            self._view.enter()
            if self.kind.python is None:
                linux.set_name("lambdabox-fork")
                kit = forkserver.Kit(ahead=self._ahead(), is_root=self._is_root)
                forkserver.serve(warden, kit)
            else:
                self._execute_python(warden)
        except BaseException as exc:
            with contextlib.suppress(messages.Closed):
                messages.send(warden, {"broken": str(exc) or repr(exc)})
        finally:
            os._exit(1)

    def _ahead(self) -> runner.Ahead | None:
        """What a sandbox executes before it has a function."""
        if self.kind.node is None:
            return None
        program = inside(self.kind.interpreter or "/usr", self.kind.node)
        return runner.Ahead([program, _NODE_BOOTSTRAP], {**_ENVIRONMENT, _AWAITS: "1"})

    def _execute_python(self, warden: socket.socket) -> None:
        warden.set_inheritable(True)
        settings = {
            "descriptor": warden.fileno(),
            "packages": self._packages,
            "preload": self.kind.preload,
            "is_root": self._is_root,
        }
        program = inside(self.kind.interpreter or "/usr", self.kind.python or "")
        command = [
            program, "-S", "-c", _START_PYTHON, os.path.dirname(GUEST_ROOT + "/guest"),
            json.dumps(settings),
        ]  # fmt: skip
        environment = {**_ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"}
        os.execve(program, command, environment)  # noqa: S606  # a fork server is one


def inside(interpreter: str, path: str) -> str:
    """Return where a file of an interpreter's installation is inside the view."""
    if is_system(interpreter):
        return path
    return INTERPRETER_ROOT + path.removeprefix(interpreter)


def _was_killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _told(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"status {os.WEXITSTATUS(status)}; what it wrote is above"
