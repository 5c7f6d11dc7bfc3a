"""Run a node: what happens before it serves, and what is told when it cannot.

Hold the data directory, bind the port, start what holds functions, give up root; then
`serving` goes on. Little is imported here, so that the privileged process starts early.
"""

import errno
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from lambdabox.isolation.warden.users import base_of
from lambdabox.server.config import Settings
from lambdabox.server.isolation import (
    Isolation,
    announce,
    give_up_privileges,
    start_isolation,
)
from lambdabox.server.lock import DataDirectoryInUse, hold
from lambdabox.server.warden import IsolationError

log = logging.getLogger("lambdabox")

BACKLOG = 2_048


class StartError(Exception):
    """The node cannot start, or go on. The message says why and what to do."""


class NodeFailedError(Exception):
    """The node had to stop. The message says why."""


Ready = Callable[[str, Isolation], None]
"""Told the node's URL and how functions are held, once it accepts requests."""


def run(settings: Settings, *, ready: Ready = lambda _url, _isolation: None) -> None:
    """Run a node until SIGTERM or SIGINT. Raises StartError or NodeFailedError."""
    _configure_logging(settings.log_level)
    _open_standard_streams()
    os.umask(0o077)  # code, environment variables and logs are nobody else's
    _make_directory(settings.data_dir)
    # Where a link leads is found while every directory on the way can be entered.
    settings = replace(settings, data_dir=settings.data_dir.resolve())
    try:
        with hold(settings.data_dir), _bind(settings) as listener:
            # Imports take half a second, and what starts here is mostly waited for.
            ahead = threading.Thread(target=import_module, args=("lambdabox.server.serving",))
            ahead.start()
            try:
                isolation = start_isolation(settings, listener.getsockname()[1])
            finally:
                ahead.join()
            try:
                announce(isolation)
                give_up_privileges(settings, isolation)
                # The directory we were started in may be one that we cannot enter any more.
                os.chdir("/")
                is_lost = _serve(settings, listener, isolation, ready)
            finally:
                isolation.stop()
    except (DataDirectoryInUse, IsolationError) as exc:
        raise StartError(str(exc)) from exc
    except PermissionError as exc:
        raise _unusable(settings.data_dir, exc) from exc
    if is_lost:
        raise NodeFailedError(
            "The process that makes sandboxes has ended, and every sandbox with it. Start the "
            "node again; if nobody has killed that process, what it wrote above says why it ended."
        )


def _serve(settings: Settings, listener: socket.socket, isolation: Isolation, ready: Ready) -> bool:
    """Serve until told to stop. Return whether that was because the warden is lost."""
    # Deferred: imported meanwhile, see `run`.
    from lambdabox.backends.schema import SchemaError
    from lambdabox.server import serving

    try:
        return serving.run(settings, listener, isolation, ready)
    except SchemaError as exc:
        raise StartError(str(exc)) from exc


def _open_standard_streams() -> None:
    """Give the numbers 0 to 2 to nothing else, if we were started without them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise _unusable(path, exc) from exc


def _unusable(directory: Path, exc: OSError) -> StartError:
    place = f" ({exc.filename})" if exc.filename not in (None, str(directory)) else ""
    return StartError(
        f"The data directory {directory} cannot be used: {exc.strerror}{place}. "
        f"{_owner_hint(directory)}Name another --data-dir."
    )


def _owner_hint(directory: Path) -> str:
    try:
        owner = directory.stat().st_uid
    except OSError:
        return ""
    if owner == os.geteuid() or os.geteuid() == 0:
        return ""
    if owner == base_of(directory):
        return "It belongs to a node that was started as root: start it as root again. "
    return f"It belongs to another user (uid {owner}). "


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as exc:
        listener.close()
        hint = (
            "Another program uses the port: name another one with --port."
            if exc.errno == errno.EADDRINUSE
            else "Name another address with --host, or another port with --port."
        )
        raise StartError(
            f"Cannot listen on {settings.host}:{settings.port}: {exc.strerror}. {hint}"
        ) from exc
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _configure_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("botocore", "urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
