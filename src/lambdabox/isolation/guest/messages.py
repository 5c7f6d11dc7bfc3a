"""Small messages with descriptors between the processes that make a sandbox.

JSON over a Unix SOCK_SEQPACKET pair: one message is one datagram, so nothing is ever half
read. Part of what runs inside sandboxes: Python 3.9, standard library.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

LONGEST = 192 * 1024
MOST_DESCRIPTORS = 32


class Closed(Exception):
    """The other side is gone."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends, neither of them inheritable."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
    """Send one message. Raises Closed, or BlockingIOError on a full non-blocking socket."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > LONGEST:
        raise ValueError(f"a message of {len(data)} bytes is longer than {LONGEST}")
    try:
        if descriptors:
            socket.send_fds(end, [data], descriptors)
        else:
            end.send(data)
    except (BrokenPipeError, ConnectionResetError) as exc:
        raise Closed from exc


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the next message and its descriptors; none if this process has too many for all.

    Raises Closed, BlockingIOError, or ValueError for what is no message; nothing stays open then.
    """
    try:
        data, descriptors, flags, _ = socket.recv_fds(end, LONGEST, MOST_DESCRIPTORS)
    except ConnectionResetError as exc:
        raise Closed from exc
    if not data:
        # Nobody sends empty messages, but a liar might, with descriptors.
        _close(descriptors)
        raise Closed
    try:
        message = _parse(data)
    except BaseException:
        _close(descriptors)
        raise
    if flags & socket.MSG_CTRUNC:
        _close(descriptors)
        return message, []
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return message, descriptors


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ValueError("this is no message") from exc
    if not isinstance(message, dict):
        raise ValueError("this is no message, for it is no object")
    return message
