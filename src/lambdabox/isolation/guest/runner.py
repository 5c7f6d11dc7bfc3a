"""What a prepared runtime process does: warm itself, wait for a function, become it.

A prepared process is locked down already when it waits, so that a cold start has only to
show it the code and say which function it is.

    node → runtime   A  the function; body: JSON {environment, directory, command}
                        without a command the function is served in this very process
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

from .init import execute

_HEAD = 5
_CHANNEL_VARIABLE = "LAMBDABOX_CHANNEL_FD"
_LONGEST = 1024 * 1024


class Ahead(NamedTuple):
    """A program that waits for its function itself."""

    command: list[str]
    environment: dict[str, str]


Serve = Callable[[int], int]
ForkPoint = Callable[[int], "int | None"]


def run(
    channel: int,
    serve: Serve | None,
    warm: Callable[[], None] | None,
    fork_point: ForkPoint | None = None,
) -> int:
    """Wait on `channel` for a function and run it. Returns the exit status.

    `fork_point` is for a template: called by the bootstrap when the function's init is done.
    """
    if serve is not None:
        open_streams()
    if warm is not None:
        warm()
    order = _receive(channel)
    if order is None:
        return 0
    environment = order["environment"]
    os.umask(0o022)
    os.chdir(order["directory"])
    if order["command"]:
        os.set_inheritable(channel, True)
        execute(order["command"], environment)
    if serve is None:
        raise RuntimeError("this sandbox cannot serve a function without a command")
    adopt(environment)
    if fork_point is not None:
        importlib.import_module("lambdabox_bootstrap.snapshot").__dict__["fork_point"] = fork_point
    return serve(channel)


def become(ahead: Ahead, channel: int) -> None:
    """Execute a program that takes the order from the channel."""
    os.umask(0o022)
    os.set_inheritable(channel, True)
    execute(ahead.command, {**ahead.environment, _CHANNEL_VARIABLE: str(channel)})


def adopt(environment: dict[str, str]) -> None:
    """Make up for what the interpreter would have read from the environment at its start."""
    time_zone = os.environ.get("TZ")
    os.environ.clear()
    os.environ.update(environment)
    if environment.get("TZ") != time_zone:  # else it need not be read from its file again
        time.tzset()
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [os.path.abspath(entry) for entry in entries if entry]


def open_streams() -> None:
    """Give Python streams of this process, for the fork server's know other files."""
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = _writer(1, "surrogateescape")
    sys.stderr = _writer(2, "backslashreplace")
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def _writer(descriptor: int, errors: str) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", errors=errors, closefd=False)


def _receive(channel: int) -> dict[str, Any] | None:
    data = _exactly(channel, _HEAD)
    if data is None:
        return None
    length = int.from_bytes(data[:4], "big")
    if data[4:5] != b"A" or length > _LONGEST:
        raise ValueError(f"expected frame A, got {data!r}")
    body = _exactly(channel, length)
    if body is None:
        return None
    order: dict[str, Any] = json.loads(body)
    return order


def _exactly(channel: int, length: int) -> bytes | None:
    data = b""
    while len(data) < length:
        chunk = os.read(channel, length - len(data))
        if not chunk:
            return None
        data += chunk
    return data
