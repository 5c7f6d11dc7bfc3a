"""The networks of sandboxes, made ahead of need and used again.

A slot is what one sandbox gets: a network namespace with the Runtime API's listener in it.
Making one costs far more than handing one over, so a pool keeps some ready. One that is
given back is used again only when nothing of its last user is left in it; else it is
closed, and the kernel clears it away.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

from lambdabox.isolation.guest import linux
from lambdabox.isolation.warden.namespaces import Namespace, new_namespace, read_proc

API_PORT = 9001
BACKLOG = 64
LOOPBACK = "127.0.0.1"


class NetworkError(Exception):
    """A network cannot be set up. The message says why, and what to do."""


class NetworkSlot:
    """The network of one sandbox.

    `namespace` is None where the sandbox uses the host's; `address` is what the sandbox has
    towards the outside, if it has; `api_address` is where it finds the Runtime API.
    """

    __slots__ = ("address", "api_address", "listener", "namespace")

    def __init__(
        self, namespace: Namespace | None, listener: socket.socket, address: str | None = None
    ) -> None:
        self.namespace = namespace
        self.listener = listener
        self.address = address
        self.api_address = "{}:{}".format(*listener.getsockname())

    def connect(self, port: int) -> socket.socket:
        """Return a non-blocking socket that is connecting to `port` of the sandbox's loopback.

        Raises OSError if that fails at once.
        """
        if not 0 < port < 65_536:
            raise ValueError(f"{port} is no port: one is a number from 1 to 65535")
        if self.namespace is None:
            return _connect(port)
        with self.namespace.entered():
            return _connect(port)

    def close(self) -> None:
        """Let go of it. May be called twice."""
        end(self.listener)
        if self.namespace is not None:
            self.namespace.close()


class SlotSource:
    """Makes slots of one kind: each mode is a subclass."""

    def make(self) -> NetworkSlot:
        with new_namespace() as namespace:
            return self.furnish(namespace)

    def adopt(self, descriptor: int) -> NetworkSlot:
        """Make a slot of a namespace that a sandbox has made itself. Takes the descriptor."""
        namespace = Namespace(descriptor)
        try:
            with namespace.entered():
                return self.furnish(namespace)
        except BaseException:
            namespace.close()
            raise

    def furnish(self, namespace: Namespace) -> NetworkSlot:
        """Make a slot of the current namespace, which is new and empty."""
        raise NotImplementedError

    def renew(self, slot: NetworkSlot) -> bool:
        """Make the slot as good as new, or return False. No process may be in it. Never raises."""
        raise NotImplementedError

    def discard(self, slot: NetworkSlot) -> None:
        """Close a slot that is not used again."""
        slot.close()

    def close(self) -> None:
        """Undo what was set up for all slots. Theirs have been closed."""


class IsolatedSlots(SlotSource):
    """Namespaces that hold a loopback interface and nothing else."""

    def furnish(self, namespace: Namespace) -> NetworkSlot:
        linux.set_link_up("lo")
        return NetworkSlot(namespace, listen(LOOPBACK, API_PORT))

    def renew(self, slot: NetworkSlot) -> bool:
        return is_renewed(slot)


class HostSlots(SlotSource):
    """No isolation: the Runtime API listens on a free port of the host's loopback."""

    def make(self) -> NetworkSlot:
        return NetworkSlot(None, listen(LOOPBACK, 0))

    def renew(self, slot: NetworkSlot) -> bool:
        return is_renewed(slot)


class NetworkPool:
    """Slots that are ready, and those that come back.

    Keeps `ready` slots ahead of need, and up to `most` of those given back.
    """

    def __init__(self, source: SlotSource, *, ready: int, most: int) -> None:
        self._source = source
        self._ready = ready
        self._most = max(ready, most)
        self._slots: list[NetworkSlot] = []

    def __len__(self) -> int:
        return len(self._slots)

    def take(self) -> NetworkSlot:
        """Return a slot, which is the caller's until given back. Raises OSError or NetworkError."""
        return self._slots.pop() if self._slots else self._source.make()

    def adopt(self, descriptor: int) -> NetworkSlot:
        """Return a slot in the namespace of that descriptor. Raises as `take` does."""
        return self._source.adopt(descriptor)

    def give_back(self, slot: NetworkSlot) -> None:
        """Take a slot back, once every process in it is gone. Never raises."""
        if len(self._slots) < self._most and self._source.renew(slot):
            self._slots.append(slot)
        else:
            self._source.discard(slot)

    def discard(self, slot: NetworkSlot) -> None:
        """Close a slot that was adopted."""
        self._source.discard(slot)

    def refill(self) -> bool:
        """Make one slot if any is missing; return whether more are. Raises as `take` does."""
        if len(self._slots) < self._ready:
            self._slots.append(self._source.make())
        return len(self._slots) < self._ready

    def close(self) -> None:
        """Close what is here. Slots still taken are their users' to close."""
        while self._slots:
            self._slots.pop().close()
        self._source.close()


def is_renewed(slot: NetworkSlot, interface: str | None = None) -> bool:
    """Renew a slot that has a namespace, if its last user has left no trace in it.

    A trace is a socket that outlives its process, such as a connection that is being closed,
    or anything sent over `interface`.
    """
    if slot.namespace is None or slot.namespace.descriptor < 0:
        return False
    # Whatever may be wrong with a slot, the answer is not to use it again.
    with suppress(OSError), slot.namespace.entered():
        end(slot.listener)
        if not _has_sockets() and not (interface and _has_sent(interface)):
            slot.listener = listen(LOOPBACK, API_PORT)
            return True
    return False


def listen(address: str, port: int, backlog: int = BACKLOG) -> socket.socket:
    """Return a non-blocking TCP listener in the current namespace."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def _connect(port: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    result = connection.connect_ex((LOOPBACK, port))
    if result not in (0, errno.EINPROGRESS):
        connection.close()
        raise OSError(result, f"port {port} of the sandbox cannot be connected to")
    return connection


def end(listener: socket.socket) -> None:
    """Stop listening, also where another process has a copy of the socket."""
    with suppress(OSError):  # it may be closed already
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _has_sockets() -> bool:
    """Whether any socket of an Internet protocol is left in the current namespace."""
    for line in (read_proc("sockstat") + read_proc("sockstat6")).splitlines():
        protocol, *words = line.split()
        counts = dict(zip(words[::2], words[1::2], strict=False))
        if protocol != "sockets:" and any(int(counts.get(key, 0)) for key in ("inuse", "tw")):
            return True
    return False


def _has_sent(interface: str) -> bool:
    for line in read_proc("dev").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == interface:
            return int(counters.split()[9]) > 0
    return True  # Gone, so not as it was made.
