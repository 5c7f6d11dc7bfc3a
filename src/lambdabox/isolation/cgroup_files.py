"""Freeze, thaw, measure and slow a sandbox through files that the warden opened for the node.

The node has no right to open them itself. The kernel asked for it when they were opened, so
holding them is enough, and an invocation need not wait for the warden. A file's name says
which version of control groups it is of.
"""

import errno
import os
from collections.abc import Mapping

CPU_PERIOD_MICROSECONDS = 20_000
_SHORTEST_QUOTA_MICROSECONDS = 1_000  # the kernel takes no less
_MIB_PER_CPU = 1769
_LONGEST = 16_384

FREEZE = {"freezer.state": (b"FROZEN", b"THAWED"), "cgroup.freeze": (b"1", b"0")}
CPU = ("cpu.cfs_quota_us", "cpu.max")
STATISTICS = "memory.stat"
KILLS = ("memory.oom_control", "memory.events")
# Memory that cannot be taken back: anonymous, and in-memory files. Version 1 also has swap,
# and names what includes the groups below first.
_UNRECLAIMABLE = ((b"total_rss", b"total_shmem", b"total_swap"), (b"anon", b"shmem"))


def quota(memory_mib: int) -> int:
    """Return the microseconds of CPU time that so much memory gets in a period."""
    share = CPU_PERIOD_MICROSECONDS * memory_mib // _MIB_PER_CPU
    return max(share, _SHORTEST_QUOTA_MICROSECONDS)


def cpu_limit(name: str, memory_mib: int | None) -> bytes:
    """Return what to write into the file `name`; None lifts the limit."""
    if name == "cpu.max":
        amount = "max" if memory_mib is None else str(quota(memory_mib))
        return f"{amount} {CPU_PERIOD_MICROSECONDS}".encode()
    return b"-1" if memory_mib is None else str(quota(memory_mib)).encode()


def numbers(content: bytes) -> dict[bytes, int]:
    """Parse lines of a name and a number."""
    pairs = (line.split() for line in content.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def used_memory(content: bytes) -> int:
    """Return the bytes in use, of either version's memory.stat."""
    found = numbers(content)
    names = next((names for names in _UNRECLAIMABLE if names[0] in found), ())
    return sum(found.get(name, 0) for name in names)


class CgroupFiles:
    """Owns the descriptors. What this machine cannot do is left undone without a word:
    the warden has said at its start what is missing.
    """

    def __init__(self, descriptors: Mapping[str, int]) -> None:
        self._descriptors = dict(descriptors)

    def freeze(self) -> None:
        """Stop every process inside. Takes effect shortly after."""
        self._set_frozen(True)

    def thaw(self) -> None:
        self._set_frozen(False)

    def limit_cpu(self, memory_mib: int | None) -> None:
        """Limit CPU time in proportion to memory; None lifts the limit."""
        for name in CPU:
            self._write(name, cpu_limit(name, memory_mib))

    def used_memory_bytes(self) -> int:
        """What its processes hold that could not be dropped, at this moment."""
        return used_memory(self._read(STATISTICS))

    def oom_kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        return max(numbers(self._read(name)).get(b"oom_kill", 0) for name in KILLS)

    def close(self) -> None:
        """Give the descriptors back. May be called twice."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _set_frozen(self, frozen: bool) -> None:
        for name, (stop, go) in FREEZE.items():
            self._write(name, stop if frozen else go)

    def _write(self, name: str, content: bytes) -> None:
        descriptor = self._descriptors.get(name)
        if descriptor is not None:
            try:
                os.pwrite(descriptor, content, 0)
            except OSError as exc:
                if exc.errno != errno.ENODEV:  # the group is gone, with all that was in it
                    raise

    def _read(self, name: str) -> bytes:
        descriptor = self._descriptors.get(name)
        if descriptor is None:
            return b""
        try:
            return os.pread(descriptor, _LONGEST, 0)
        except OSError as exc:
            if exc.errno != errno.ENODEV:
                raise
            return b""
