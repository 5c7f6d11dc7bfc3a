"""Network namespaces, held open by descriptors.

A namespace without a process lives as long as a descriptor of it, or a socket in it. So
whatever the warden holds vanishes with the warden, however it ends, and nothing has to be
unmounted or cleared. For one thread: the caller is moved into a namespace and back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lambdabox.isolation.guest import linux

# Of the thread, not the process: they differ where a caller has threads, as tests do.
_OWN = "/proc/thread-self/ns/net"
_SYSCTL = "/proc/sys/net/"


class Namespace:
    """A network namespace. Its owner closes it."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def current(cls) -> Namespace:
        return cls(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in this namespace for the block: sockets opened in it stay there."""
        with _coming_back():
            linux.setns(self.descriptor, linux.CLONE_NEWNET)
            yield

    def close(self) -> None:
        """Let go of it. May be called twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@contextmanager
def new_namespace() -> Iterator[Namespace]:
    """Make a network namespace and be in it for the block, which it outlives."""
    with _coming_back():
        linux.unshare(linux.CLONE_NEWNET)
        namespace = Namespace.current()
        try:
            yield namespace
        except BaseException:
            namespace.close()
            raise


@contextmanager
def _coming_back() -> Iterator[None]:
    home = Namespace.current()
    try:
        yield
    finally:
        try:
            linux.setns(home.descriptor, linux.CLONE_NEWNET)
        finally:
            home.close()


def write_sysctl(name: str, value: int, *, missing_ok: bool = False) -> None:
    """Set net.`name`, given with slashes, in the current namespace.

    `missing_ok` is for what a kernel may be built without, such as IPv6.
    """
    try:
        descriptor = os.open(_SYSCTL + name, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if missing_ok:
            return
        raise
    try:
        os.write(descriptor, b"%d" % value)
    finally:
        os.close(descriptor)


def read_proc(name: str) -> str:
    """Return /proc/net/`name` of the current namespace; empty where the kernel has none."""
    try:
        descriptor = os.open(f"/proc/thread-self/net/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.read(descriptor, 65_536).decode()
    finally:
        os.close(descriptor)
