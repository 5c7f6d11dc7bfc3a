"""A control group per sandbox: how much memory, how many processes, how much of a processor.

Groups are made new for each sandbox and removed after it. To empty a used one of its page
cache takes twice as long as both, and its counters cannot be set back.
A process enters by writing "0" about itself into files that it was given. In version 1 these
are the files that move one thread: to move another process, or a process with all its threads,
waits some 14 ms for the whole machine. Version 2 has only the latter (here 6 ms) for a process
that exists already.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lambdabox.isolation.cgroup_files import (
    CPU,
    FREEZE,
    KILLS,
    STATISTICS,
    CgroupFiles,
    cpu_limit,
)
from lambdabox.isolation.warden import hierarchies
from lambdabox.isolation.warden.hierarchies import Hierarchies

MOST_PROCESSES = 1024
# Room for process 1 of the sandbox, which the function does not know of.
_OWN_PROCESSES = 1
_FEW_PROCESSES = 16
_MIB = 1024 * 1024
_CHUNK = 65_536
_OF_THE_NODE = (
    ("freezer", tuple(FREEZE), os.O_RDWR),
    ("cpu", CPU, os.O_RDWR),
    ("memory", (STATISTICS, *KILLS), os.O_RDONLY),
)
"""What the node switches and what it only reads, by controller."""
_KILL_SECONDS = 5.0
_PATIENCE_SECONDS = 0.5
_REMOVE_SECONDS = 0.02
_MOUNTS = "/proc/self/mountinfo"
_OWN = "/proc/self/cgroup"


class Cgroup:
    """One sandbox's group, in each tree that matters. Its owner removes it."""

    def __init__(self, found: Hierarchies, name: str) -> None:
        self._version = found.version
        # Text, for a group is made and used up in a thousand system calls or so a second, and
        # to put two objects for paths together costs as much as one of them.
        self._by_controller = {key: f"{root}/{name}" for key, root in found.directories.items()}
        self._directories = sorted(set(self._by_controller.values()))

    def make(self) -> None:
        """Make the directories, with the limits that hold for every sandbox."""
        for directory in self._directories:
            Path(directory).mkdir()
        self._set("pids", "pids.max", str(MOST_PROCESSES + _OWN_PROCESSES))
        if self._version == 1:
            self._set("cpu", "cpu.cfs_period_us", "20000")

    def attach_descriptors(self) -> list[int]:
        """Return new descriptors; a process enters by writing "0" into each of them."""
        name = "tasks" if self._version == 1 else "cgroup.procs"
        return _open_all([f"{directory}/{name}" for directory in self._directories], os.O_WRONLY)

    def node_descriptors(self) -> dict[str, int]:
        """Return new descriptors of what the node may read and switch, see CgroupFiles."""
        opened: dict[str, int] = {}
        try:
            for controller, names, mode in _OF_THE_NODE:
                for name in names if controller in self._by_controller else ():
                    with contextlib.suppress(FileNotFoundError):  # of the other version
                        path = f"{self._by_controller[controller]}/{name}"
                        opened[name] = os.open(path, mode | os.O_CLOEXEC)
        except OSError:
            _close_all(opened.values())
            raise
        return opened

    def limit(self, memory_mib: int) -> None:
        """Limit memory; none of it may be swapped out."""
        amount = str(memory_mib * _MIB)
        if self._version == 2:
            self._set("memory", "memory.max", amount)
            self._set("memory", "memory.swap.max", "0")
            return
        # Together with swap there may never be less than without.
        self._set("memory", "memory.memsw.limit_in_bytes", "-1")
        self._set("memory", "memory.limit_in_bytes", amount)
        self._set("memory", "memory.memsw.limit_in_bytes", amount)

    def set_cpu(self, memory_mib: int | None) -> None:
        """Limit CPU time in proportion to memory; None lifts the limit."""
        name = CPU[self._version - 1]
        self._set("cpu", name, cpu_limit(name, memory_mib).decode())

    def thaw(self) -> None:
        """Let go on what somebody has frozen."""
        for name, (_stop, go) in FREEZE.items():
            self._set("freezer", name, go.decode())

    def processes(self) -> set[int]:
        """The processes in any of the directories."""
        found: set[int] = set()
        for directory in self._directories:
            with contextlib.suppress(FileNotFoundError):
                found.update(map(int, _read(f"{directory}/cgroup.procs").split()))
        found.discard(0)  # how a process of another pid namespace reads
        return found

    def kill(self, seconds: float = _KILL_SECONDS) -> None:
        """Kill everything inside, and wait until it is gone. Raises TimeoutError if it stays."""
        deadline = time.monotonic() + seconds
        while found := self.processes():
            # Whoever is frozen cannot fork meanwhile, but can only die when thawed.
            with self._frozen():
                killed = self._signal(found)
            _await(killed, deadline)
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {sorted(self.processes())} do not die")

    def strike(self) -> None:
        """Help whoever has been killed inside to die, and kill all where there are many.

        The first process has to run once more to end the others, and among a thousand that
        share a fraction of a processor it would not for minutes. Raises OSError if it has to be
        tried again.
        """
        self.set_cpu(None)
        try:
            if self._is_crowded():
                with self._frozen():
                    _close_all(self._signal(self.processes()))
        finally:
            self.thaw()

    def remove(self, seconds: float = _REMOVE_SECONDS) -> bool:
        """Remove the empty group. False if the kernel still counts somebody; try again later."""
        deadline = time.monotonic() + seconds
        while left := [one for one in self._directories if not _remove(one)]:
            self._directories = left
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.0005)
        return True

    def _is_crowded(self) -> bool:
        directory = self._by_controller.get("pids")
        if directory is None:
            return True
        with contextlib.suppress(OSError, ValueError):
            return int(_read(f"{directory}/pids.current")) > _FEW_PROCESSES
        return False

    def _set(self, controller: str, name: str, value: str) -> bool:
        """Write a value; return False without the controller, or this part of it."""
        directory = self._by_controller.get(controller)
        if directory is None:
            return False
        try:
            _write(f"{directory}/{name}", value)
        except FileNotFoundError:
            return False
        return True

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        """Stop every process inside for the block. Raises OSError before it, if at all."""
        opened: dict[str, int] = {}
        if "freezer" in self._by_controller:
            for name in FREEZE:
                with contextlib.suppress(FileNotFoundError):  # of the other version
                    path = f"{self._by_controller['freezer']}/{name}"
                    opened[name] = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        # Opened once: whoever stopped them must not then lack a descriptor to let them go on.
        files = CgroupFiles(opened)
        try:
            files.freeze()
            yield
        finally:
            files.thaw()
            files.close()

    def _signal(self, found: set[int]) -> list[int]:
        """Kill processes; return pidfds of them."""
        opened: dict[int, int] = {}
        for pid in found:
            with contextlib.suppress(OSError):
                opened[pid] = os.pidfd_open(pid)
        try:
            if self._set("freezer", "cgroup.kill", "1"):  # version 2, from Linux 5.14
                return list(opened.values())
            # A number that is still listed is that of the process we hold, and no stranger's.
            listed = self.processes()
        except OSError:
            _close_all(opened.values())
            raise
        for pid, pidfd in opened.items():
            if pid in listed:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return list(opened.values())


class Cgroups:
    """Makes the groups of one node. Clears away first what a killed predecessor left."""

    def __init__(self, found: Hierarchies | None) -> None:
        self._found = found
        self._leftovers: list[Cgroup] = []
        if found is not None:
            sweep(found)

    @classmethod
    def of(cls, data_dir: Path) -> Cgroups:
        """Use what this machine has."""
        mounts, own = Path(_MOUNTS).read_text(), Path(_OWN).read_text()
        return cls(hierarchies.find(data_dir, mounts=mounts, own=own))

    @property
    def lacks(self) -> list[str]:
        """The controllers that cannot be used here."""
        return [*hierarchies.CONTROLLERS, "freezer"] if self._found is None else self._found.lacks

    def create(self, name: str) -> Cgroup | None:
        """Return a new, empty group; None on a machine without any."""
        if self._found is None:
            return None
        self.clear()
        cgroup = Cgroup(self._found, name)
        try:
            cgroup.make()
        except OSError:
            cgroup.remove()
            raise
        return cgroup

    def clear(self) -> None:
        """Try again to remove what could not be removed before."""
        self._leftovers = [old for old in self._leftovers if not _is_cleared(old)]

    def discard(self, cgroup: Cgroup) -> None:
        """Kill what is in a group and remove it, now or as soon as the kernel lets us."""
        try:
            cgroup.kill(_PATIENCE_SECONDS)
            # The kernel counts a process until it is reaped, which its fork server does soon.
            removed = cgroup.remove(0)
        except OSError:
            # Somebody waits in the kernel, for a disk perhaps, and dies after that; or there
            # is no descriptor left to look with.
            removed = False
        if not removed:
            self._leftovers.append(cgroup)

    def close(self) -> None:
        """Remove everything, the directory of this node included."""
        if self._found is not None:
            # A sandbox that was being made enters its group whenever it gets that far.
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while sweep(self._found) and time.monotonic() < deadline:
                time.sleep(0.005)
            for root in self._found.roots:
                _remove(root)


def sweep(found: Hierarchies) -> int:
    """Kill and remove every group below ours; return how many there were."""
    names = {entry.name for root in found.roots for entry in os.scandir(root) if entry.is_dir()}
    groups = [Cgroup(found, name) for name in names]
    for group in groups:
        group.kill()
    for group in groups:
        group.remove()
    return len(groups)


def _is_cleared(cgroup: Cgroup) -> bool:
    try:
        cgroup.kill(0)
        return cgroup.remove(0)
    except OSError:
        return False


def _open_all(paths: list[str], mode: int) -> list[int]:
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(os.open(path, mode | os.O_CLOEXEC))
    except OSError:
        _close_all(opened)
        raise
    return opened


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while chunk := os.read(descriptor, _CHUNK):  # the kernel may give less than there is
            content += chunk
        return content
    finally:
        os.close(descriptor)


def _write(path: str, value: str) -> None:
    # Without O_CREAT: there are only the kernel's files.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    except OSError as exc:
        exc.filename = path
        raise
    finally:
        os.close(descriptor)


def _remove(directory: str | Path) -> bool:
    """Remove a group's directory; return whether it is gone."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        return False
    return True


def _await(pidfds: list[int], deadline: float) -> None:
    """Wait for processes to end, and let go of them."""
    poller = select.poll()
    for pidfd in pidfds:
        poller.register(pidfd, select.POLLIN)
    waiting = len(pidfds)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for pidfd, _event in poller.poll(left * 1000):
            poller.unregister(pidfd)
            waiting -= 1
    for pidfd in pidfds:
        os.close(pidfd)
