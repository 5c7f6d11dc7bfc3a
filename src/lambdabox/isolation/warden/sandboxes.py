"""One sandbox as the warden holds it: made ready, given to a function, ended.

A prepared sandbox has its namespaces, its limits and its first processes, all locked down,
and belongs to nobody yet. Assigning it shows it a function's files.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lambdabox.isolation.guest import linux
from lambdabox.isolation.warden.cgroups import Cgroup
from lambdabox.isolation.warden.network import NetworkSlot

NOBODY = -1
"""Of a clone, which has no users of its own."""

_READ_ONLY = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV


@dataclass(slots=True)
class Ends:
    """The node's ends of what leads into a sandbox."""

    control: int
    channel: int
    output: int
    orders: int | None = None
    """Of a template."""

    @property
    def descriptors(self) -> list[int]:
        given = (self.control, self.channel, self.output, self.orders)
        return [descriptor for descriptor in given if descriptor is not None]

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass(slots=True)
class Sandbox:
    number: int
    user: int
    """Its pair of host user ids."""
    cgroup: Cgroup | None
    network: NetworkSlot | None
    """None of a clone, until it has told of its namespace."""
    ends: Ends | None
    """None once handed over."""
    pid: int = 0
    pidfd: int = -1
    mounts: int = -1
    users: int = -1
    volume: str = ""
    """The name of the /tmp that it was shown."""
    ending: bool = field(default=False)

    @property
    def is_clone(self) -> bool:
        return self.user == NOBODY

    @property
    def is_deserted(self) -> bool:
        """Whether its runtime has ended before anybody was given it."""
        if self.ends is None:
            return False
        poll = select.poll()
        poll.register(self.ends.channel, 0)  # that nobody holds the other end is told always
        return bool(poll.poll(0))

    def started(self, pid: int, pidfd: int, mounts: int, users: int) -> None:
        self.pid, self.pidfd, self.mounts, self.users = pid, pidfd, mounts, users

    @contextlib.contextmanager
    def handing_over(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """What the node is told, and given with it, in the block; then it has the only ends.

        Raises OSError.
        """
        if self.ends is None or self.network is None:
            raise RuntimeError("a sandbox was assigned twice")
        files = self.cgroup.node_descriptors() if self.cgroup else {}
        answer = {"sandbox": self.number, "api": self.network.api_address, "cgroup": list(files)}
        listener = self.network.listener.fileno()
        try:
            yield answer, [*self.ends.descriptors, listener, *files.values()]
        finally:
            close_all(files.values())
        self.ends.close()
        self.ends = None

    def kill(self) -> None:
        """Begin the end of every process inside. They are gone when `pidfd` says so."""
        self.ending = True
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self.cgroup is not None:
            with contextlib.suppress(OSError):  # the warden tries again
                self.cgroup.strike()

    def release(self) -> None:
        """Give back what the warden holds for it, after its processes are gone."""
        for descriptor in (self.pidfd, self.mounts, self.users):
            if descriptor >= 0:
                os.close(descriptor)
        self.pidfd = self.mounts = self.users = -1
        if self.ends is not None:
            self.ends.close()
            self.ends = None


class Attacher:
    """Shows sandboxes directories of the host, from below one root of deployed code."""

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def tree(self, name: str) -> int:
        """Return a detached, read-only mount of the directory `name` below the root.

        Raises OSError for a name that leads elsewhere: the node that sends it is not trusted
        with more.
        """
        directory = linux.open_beneath(self._root, name, os.O_PATH | os.O_DIRECTORY)
        try:
            tree = linux.open_tree(directory)
        finally:
            os.close(directory)
        try:
            linux.set_mount_attributes(tree, _READ_ONLY)
        except OSError:
            os.close(tree)
            raise
        return tree

    def stack(self, names: list[str]) -> int | None:
        """Return a detached mount of the directories, the later over the earlier."""
        if not names:
            return None
        if len(names) == 1:
            return self.tree(names[0])
        opened: list[int] = []
        try:
            for name in names:
                opened.append(linux.open_beneath(self._root, name, os.O_PATH | os.O_DIRECTORY))
            lower = ":".join(f"/proc/self/fd/{descriptor}" for descriptor in reversed(opened))
            return linux.new_filesystem("overlay", {"lowerdir": lower}, _READ_ONLY)
        finally:
            close_all(opened)

    def attach(self, sandbox: Sandbox, trees: dict[str, int]) -> None:
        """Attach detached mounts at their paths inside the sandbox; closes them."""
        try:
            with self._inside(sandbox):
                for target, tree in trees.items():
                    linux.move_mount(tree, target)
        finally:
            for tree in trees.values():
                os.close(tree)

    @contextlib.contextmanager
    def _inside(self, sandbox: Sandbox) -> Iterator[None]:
        linux.setns(sandbox.mounts, linux.CLONE_NEWNS)
        try:
            yield
        finally:
            linux.setns(self._own, linux.CLONE_NEWNS)
