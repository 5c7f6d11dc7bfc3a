"""Decide how sandboxes are held on this machine, and start what holds them.

By default Linux namespaces with all the strength that the node's user has; plain processes
only where not even that is possible, and then loudly.
"""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdabox.isolation.guest import messages
from lambdabox.isolation.warden.users import base_of
from lambdabox.runtime.launch import BOOTSTRAPS
from lambdabox.runtime.python_packages import package_locations
from lambdabox.server.config import Settings
from lambdabox.server.privileges import give_up_root

log = logging.getLogger("lambdabox")

WARDEN = Path(messages.__file__).parents[1] / "warden"
START_SECONDS = 10.0
STOP_SECONDS = 10.0
# Where version managers keep interpreters, below the home directory.
_VERSION_MANAGERS = (
    ".pyenv", ".nvm", ".fnm", ".rbenv", ".local/share/uv", ".local/share/fnm",
)  # fmt: skip


class IsolationError(Exception):
    """The isolation that the settings ask for cannot be had. The message says why."""


@dataclass(frozen=True, slots=True)
class Router:
    """The node's sockets on the one address that sandboxes reach it at."""

    address: str
    endpoint: socket.socket
    dns_udp: socket.socket
    dns_tcp: socket.socket


@dataclass(frozen=True, slots=True)
class Warden:
    """The process that makes sandboxes, and what it says this machine lets it do."""

    connection: socket.socket
    process: "subprocess.Popen[bytes]"
    lacks: tuple[str, ...]
    """What is missing for full strength, in words."""
    clones: bool
    """Whether initialised functions can be forked."""
    notes: tuple[str, ...]
    """What it has changed on the machine, in words."""
    router: "Router | None"
    """Where sandboxes find the node, if they have a network of their own."""

    def stop(self) -> None:
        """Let go of the warden, and wait until it has ended every sandbox and itself."""
        with contextlib.suppress(OSError):  # it may be gone already
            # Not only closed: a loop that still watches the socket keeps it open.
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("the process that makes sandboxes does not end")


def start_warden(settings: Settings, port: int = 0) -> Warden | None:
    """Start the warden if the settings and the machine allow; None means plain processes.

    `port` is the node's, at which functions will find it too.

    Raises IsolationError if the settings insist on what is not possible.
    """
    if settings.isolation == "process":
        log.warning("sandboxes are plain processes: functions can do whatever this user can")
        return None
    try:
        warden = _start(settings, port)
    except IsolationError as exc:
        # Nobody who asks for a network of a kind means to have none.
        if settings.isolation == "namespaces" or settings.network in ("isolated", "nat"):
            raise
        log.warning(
            "this machine does not allow namespaces (%s), so sandboxes are plain processes: "
            "nothing is isolated, and functions can do whatever this user can",
            exc,
        )
        return None
    for note in (*warden.lacks, *warden.notes):
        log.warning("sandboxes: %s", note)
    return warden


def give_up_privileges(settings: Settings) -> None:
    """Go on without root, once all that needs it has been done."""
    if os.geteuid() == 0:
        give_up_root(base_of(settings.data_dir), owns=settings.data_dir, reads=_readable(settings))


def _start(settings: Settings, port: int) -> Warden:
    for name in ("staged", "volumes"):
        (settings.data_dir / name).mkdir(mode=0o700, exist_ok=True)
    ours, theirs = messages.pair()
    configuration = {
        "descriptor": theirs.fileno(),
        "data": str(settings.data_dir),
        "root": str(settings.data_dir / "staged"),
        "bootstraps": str(BOOTSTRAPS),
        "packages": package_locations(settings.python_packages),
        "network": settings.network,
        "port": port,
        "subnet": settings.subnet,
    }
    command = [sys.executable, "-I", "-S", str(WARDEN), json.dumps(configuration)]
    with theirs:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/"
        )
    ours.settimeout(START_SECONDS)
    try:
        message, descriptors = messages.receive(ours)
    except (messages.Closed, OSError) as exc:
        process.kill()
        process.wait()
        raise IsolationError("the process that makes sandboxes does not start") from exc
    if "error" in message:
        process.wait()
        raise IsolationError(message["error"])
    ours.settimeout(None)
    router = None
    if descriptors:
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        for end in sockets:
            end.setblocking(False)
        router = Router(message["router"], *sockets)
    return Warden(
        ours,
        process,
        lacks=tuple(message["lacks"]),
        clones=message["clones"],
        notes=tuple(message["notes"]),
        router=router,
    )


def _readable(settings: Settings) -> Sequence[Path]:
    overrides = [Path(path).expanduser().parent.parent for path in settings.interpreters.values()]
    packages = [settings.python_packages] if settings.python_packages else []
    return [
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(__file__).parents[2],
        *(settings.home / name for name in _VERSION_MANAGERS),
        *overrides,
        *packages,
    ]
