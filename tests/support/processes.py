"""What the operating system says of a node and of the sandboxes it started."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lambdabox.isolation.guest import linux


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int

    def is_alive(self) -> bool:
        return _start_of(self.pid) == self.started


def sandboxes_of(data_dir: Path) -> set[Process]:
    """Every process with the environment of a sandbox of this data directory's node."""
    entry = f"TMPDIR={data_dir}/environments/".encode()
    found = set()
    for pid in _pids():
        started = _start_of(pid)
        if started is not None and entry in _read(pid, "environ"):
            found.add(Process(pid, started))
    return found


def children_of(pid: int) -> set[int]:
    """The direct children of a process, those not yet reaped included."""
    return {child for child in _pids() if _parent_of(child) == pid}


def descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def memory_kib(pid: int) -> int:
    """The memory that is the process's own, with its share of what it has in common."""
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def eventually(condition: Callable[[], bool], *, within: float) -> bool:
    """Whether `condition`, of which no event tells, becomes true in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _start_of(pid: int) -> int | None:
    """When a process started, in clock ticks; None if it is gone or only waits to be reaped."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[19]) if fields and fields[0] != b"Z" else None


def _parent_of(pid: int) -> int | None:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else None


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def adopt_no_orphans() -> None:
    """Undo what the process driver does to the process it is made in.

    Who adopts orphans has to reap them; tests of what others leave would see them as theirs.
    """
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 0)
