"""Find and end the processes that have left a sandbox's process group.

A daemon forks twice and starts a session of its own, and so escapes a signal to the group.
The node is the subreaper of all it starts, so such an orphan becomes its child; whose it
was shows in its session or in its mark: a value of the limit on POSIX message queues that
no other sandbox has. Unlike an environment variable the mark outlives exec, cannot be
unset, and can still be read from a zombie.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Collection, Iterator

from lambdabox.domain.values import dataclass

_PR_SET_CHILD_SUBREAPER = 36
MARKS = 400_000
_MARK_LINE = b"Max msgqueue size"
_SWEEPS = 100


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    session: int


def become_subreaper() -> None:
    """Let orphaned descendants become children of this process."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def free_mark(used: Collection[int], first: int) -> int | None:
    """Return a mark that is not in `used`, trying from number `first` on.

    None if this process's own limit leaves no room below it.
    """
    hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]
    highest = 819_200 if hard == resource.RLIM_INFINITY else hard
    for number in range(first, first + len(used) + 1):
        mark = highest - 1 - number % MARKS
        if mark >= 0 and mark not in used:
            return mark
    return None


def mark_process(pid: int, mark: int) -> None:
    """Mark a process that has just been started, and thereby all it will start."""
    resource.prlimit(pid, resource.RLIMIT_MSGQUEUE, (mark, mark))


def end_orphans(leaders: Collection[int], mark: int | None, deadline: float) -> None:
    """Kill and reap the orphans of a sandbox that `leaders` began. Blocks, until `deadline`.

    The leaders must have ended and not have been reaped: their sessions' numbers are then
    still their own. The death of an orphan can uncover another, hence the loop.
    """

    def belongs(process: Process) -> bool:
        if process.parent != os.getpid() or process.pid in leaders:
            return False
        is_marked = mark is not None and _mark_of(process.pid) == mark
        return is_marked or process.session in leaders

    while orphans := [process.pid for process in _processes() if belongs(process)]:
        for pid in orphans:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not all(_reap(pid, deadline) for pid in orphans) or time.monotonic() > deadline:
            return


def kill_marked(entry: bytes, deadline: float) -> int:
    """Kill this user's processes with `entry` in their initial environment; return how many.

    Blocks until they are gone, or until `deadline`.
    """
    killed: set[int] = set()
    for _ in range(_SWEEPS):
        found = [process.pid for process in _processes() if _is_leftover(process.pid, entry)]
        if not found or time.monotonic() > deadline:
            break
        killed.update(pid for pid in found if _kill_checked(pid, entry, deadline))
    return len(killed)


def _processes() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _read(f"/proc/{name}/stat")):
            # The command stands in brackets and may hold anything, brackets too.
            fields = stat[stat.rindex(b")") + 2 :].split(None, 4)
            yield Process(int(name), parent=int(fields[1]), session=int(fields[3]))


def _mark_of(pid: int) -> int | None:
    for line in _read(f"/proc/{pid}/limits").splitlines():
        if line.startswith(_MARK_LINE):
            hard = line.split()[4]
            return int(hard) if hard.isdigit() else None
    return None


def _is_leftover(pid: int, entry: bytes) -> bool:
    if pid == os.getpid():
        return False
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
    except OSError:
        return False
    return entry in _read(f"/proc/{pid}/environ").split(b"\0")


def _kill_checked(pid: int, entry: bytes, deadline: float) -> bool:
    """Kill `pid` if it still is what was found, and wait for its end."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Only now is it sure that the number is not given to another process in between.
        if not _is_leftover(pid, entry):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _poll(pidfd, deadline)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def _reap(pid: int, deadline: float) -> bool:
    """Reap a killed child; return False if it has not died by the deadline."""
    _await_end(pid, deadline)
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return True


def _await_end(pid: int, deadline: float) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        _poll_without_pidfd(lambda: _has_ended(pid), deadline)
        return
    try:
        _poll(pidfd, deadline)
    finally:
        os.close(pidfd)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _poll(pidfd: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.poll(max(deadline - time.monotonic(), 0) * 1000)


def _poll_without_pidfd(has_ended: Callable[[], bool], deadline: float) -> None:
    while time.monotonic() < deadline and not has_ended():
        time.sleep(0.001)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
