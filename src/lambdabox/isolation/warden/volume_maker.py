"""Makes and ends file systems for /tmp in a process of its own.

Either waits milliseconds for the kernel, in which the warden would start nothing. The warden
orders ahead, and hands over what is to be let go, so that the last reference is not its own.

    warden → maker   {"make": size}
                     {"drop": true}                  descriptor: a mount
    maker → warden   {"made": size}                  descriptor: a mount
                     {"failed": size, "why": text}
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from collections import Counter

from lambdabox.isolation.guest import linux, lockdown, messages
from lambdabox.isolation.warden.images import Images


class VolumeMaker:
    """The warden's side. Owns the process and the connection to it."""

    def __init__(self, images: Images) -> None:
        ours, theirs = messages.pair()
        self._connection = ours
        self._ordered: Counter[int] = Counter()
        self._pid = os.fork()
        if self._pid == 0:
            _be_maker(theirs, images)
        theirs.close()

    def coming(self, size_mib: int) -> int:
        """How many of a size are ordered and not yet received."""
        return self._ordered[size_mib]

    def order(self, size_mib: int) -> None:
        """Raises messages.Closed if the maker is gone."""
        messages.send(self._connection, {"make": size_mib})
        self._ordered[size_mib] += 1

    def receive(self, *, wait: bool) -> tuple[int, int] | None:
        """Return the size and the descriptor of one that is made, None if none is there yet.

        Raises OSError where it could not be made or received, messages.Closed if the maker is gone.
        """
        self._connection.setblocking(wait)
        try:
            message, descriptors = messages.receive(self._connection)
        except BlockingIOError:
            return None
        finally:
            self._connection.setblocking(True)
        if "failed" in message:
            self._ordered[message["failed"]] -= 1
            raise OSError(message["why"])
        self._ordered[message["made"]] -= 1
        if not descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return message["made"], descriptors[0]

    def drop(self, mount: int) -> None:
        """Close a mount, elsewhere if possible."""
        with contextlib.suppress(messages.Closed, OSError):
            messages.send(self._connection, {"drop": True}, [mount])
        os.close(mount)

    def close(self) -> None:
        """End the maker once it has dropped what it was given."""
        with contextlib.suppress(messages.Closed, OSError):
            while any(self._ordered.values()):
                found = self.receive(wait=True)
                if found is not None:
                    os.close(found[1])
        self._connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _be_maker(warden: socket.socket, images: Images) -> None:
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.set_name("lambdabox-tmp")
        lockdown.reset_signals()
        kept = (0, 1, 2, warden.fileno(), *images.descriptors)
        lockdown.close_descriptors(keep=kept)
        _serve(warden, images)
        images.close()
    finally:
        os._exit(0)


def _serve(warden: socket.socket, images: Images) -> None:
    while True:
        try:
            message, descriptors = messages.receive(warden)
            if "make" in message:
                _make(warden, images, message["make"])
        except messages.Closed:
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _make(warden: socket.socket, images: Images, size_mib: int) -> None:
    try:
        mount = images.mount(size_mib)
    except OSError as exc:
        messages.send(warden, {"failed": size_mib, "why": str(exc)})
        return
    try:
        messages.send(warden, {"made": size_mib}, [mount])
    finally:
        os.close(mount)
