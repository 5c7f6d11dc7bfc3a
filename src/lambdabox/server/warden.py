"""Start the process that makes sandboxes, and learn what this machine lets it do.

It is started before the node gives up root, and goes when the node lets go of it or ends.
"""

import contextlib
import json
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from lambdabox.domain.values import dataclass
from lambdabox.isolation.guest import messages
from lambdabox.runtime.launch import BOOTSTRAPS
from lambdabox.runtime.python_packages import package_locations
from lambdabox.server.config import Settings

log = logging.getLogger("lambdabox")

WARDEN = Path(messages.__file__).parents[1] / "warden"
START_SECONDS = 10.0
STOP_SECONDS = 10.0


class IsolationError(Exception):
    """The isolation that the settings ask for cannot be had. The message says why."""


@dataclass(frozen=True, slots=True)
class Router:
    """The node's sockets on the one address that sandboxes reach it at."""

    address: str
    endpoint: socket.socket
    dns_udp: socket.socket
    dns_tcp: socket.socket

    def close(self) -> None:
        for end in (self.endpoint, self.dns_udp, self.dns_tcp):
            end.close()


@dataclass(frozen=True, slots=True)
class Warden:
    """The process that makes sandboxes, and what it says this machine lets it do."""

    connection: socket.socket
    process: "subprocess.Popen[bytes]"
    network: str
    """What functions reach: isolated, nat or host."""
    is_root: bool
    """Whether it has root's power, or only that of a user namespace."""
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
        if self.router is not None:
            self.router.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("the process that makes sandboxes does not end")
            with contextlib.suppress(PermissionError):  # it has kept root, and we have not
                self.process.kill()


def start_warden(settings: Settings, port: int = 0, *, check: bool = False) -> Warden:
    """Start the warden of the node at `port`, which functions will find it at, too.

    With `check` it only says what it could do, and ends.

    Raises IsolationError if this machine allows no sandboxes, or not the network asked for.
    """
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
        "check": check,
    }
    command = [sys.executable, "-I", "-S", str(WARDEN), json.dumps(configuration)]
    with theirs:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/"
        )
    try:
        message, descriptors = _greeting(ours, process)
    except BaseException:
        ours.close()
        raise
    router = None
    if descriptors:
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        for end in sockets:
            end.setblocking(False)
        router = Router(message["router"], *sockets)
    return Warden(
        ours,
        process,
        network=message["network"],
        is_root=message["is_root"],
        lacks=tuple(message["lacks"]),
        clones=message["clones"],
        notes=tuple(message["notes"]),
        router=router,
    )


def _greeting(
    ours: socket.socket, process: "subprocess.Popen[bytes]"
) -> tuple[dict[str, Any], list[int]]:
    ours.settimeout(START_SECONDS)
    try:
        message, descriptors = messages.receive(ours)
    except (messages.Closed, OSError) as exc:
        process.kill()
        process.wait()
        raise IsolationError(
            f"the process that makes sandboxes did not start within {START_SECONDS:.0f} seconds"
            if isinstance(exc, TimeoutError)
            else "the process that makes sandboxes ended while it started; see above"
        ) from exc
    if "error" in message:
        process.wait()
        raise IsolationError(message["error"])
    ours.settimeout(None)
    return message, descriptors
