"""Take from a process what its user code must not have, one thing at a time.

Every step is checked: a step that failed unseen would leave a sandbox that looks locked.
The order matters. The bounding set and the securebits can be changed only before root is
given up, a filter only be installed after no_new_privs, and only what is left open and
allowed at the end is what user code has.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterable
from typing import Any

from . import linux

CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 5, 6, 7, 8
INIT_CAPABILITIES = 1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID | 1 << CAP_SETPCAP
"""What process 1 of a sandbox needs to start and to end programs that have nothing at all."""

with open("/proc/sys/kernel/cap_last_cap") as _file:
    _ALL = (2 << int(_file.read())) - 1
# Being user 0 gives no capabilities, ambient ones cannot be raised, and neither can be undone.
_SECUREBITS = 0x1 | 0x2 | 0x40 | 0x80

_MIB = 1024 * 1024
_UNLIMITED = resource.RLIM_INFINITY
# Soft and hard limits as in AWS's sandboxes.
_LIMITS = (
    (resource.RLIMIT_NOFILE, 1024, 1024),
    (resource.RLIMIT_NPROC, 1024, 1024),
    (resource.RLIMIT_CORE, 0, 0),
    (resource.RLIMIT_MEMLOCK, 65536, 65536),
    (resource.RLIMIT_STACK, 8 * _MIB, _UNLIMITED),
    (resource.RLIMIT_MSGQUEUE, 819_200, 819_200),
    (resource.RLIMIT_SIGPENDING, 1024, 1024),
    (resource.RLIMIT_NICE, 0, 0),
    (resource.RLIMIT_RTPRIO, 0, 0),
)

_WITHOUT_PROCESSES = tuple(limit for limit in _LIMITS if limit[0] != resource.RLIMIT_NPROC)

_LAST_DESCRIPTOR = 0xFFFFFFFF
_CATCHABLE = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
# What a fork server and process 1 may handle. All others a fork server resets once, at its start.
_HANDLED = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
# The interpreter ignores these when it starts, and so would every program it executes.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def drop_bounding_set(keep: int = 0, *, of: int | None = None) -> None:
    """Make sure that no program started from here can gain a capability outside `keep`.

    Needs CAP_SETPCAP. Whoever knows that only the mask `of` is left says so, to save time.
    """
    linux.drop_from_bounding_set((_ALL if of is None else of) & ~keep)


def keep_capabilities(mask: int) -> None:
    """Keep of all capabilities only those of `mask`, in every set that a process has."""
    drop_bounding_set(mask)
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    linux.set_capabilities(mask, mask)


def renounce_root() -> None:
    """Make sure that user 0 is nobody special again. Needs those of INIT_CAPABILITIES."""
    drop_bounding_set(of=INIT_CAPABILITIES)
    linux.prctl(linux.PR_SET_SECUREBITS, _SECUREBITS)


def become(user: int, group: int) -> None:
    """Be an ordinary user from now on, which takes every capability away."""
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def lock_down(*, limits_processes: bool = True) -> None:
    """Take all the rest, but the filter and the descriptors. Comes after `become`, if that does.

    A template and its clones share a user, and with it the count of processes; there, only
    their control groups limit it.
    """
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    linux.set_capabilities(0, 0)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    # A change of user takes away access to one's own files in /proc, which programs read.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    limit_resources(_LIMITS if limits_processes else _WITHOUT_PROCESSES)
    reset_signals(_HANDLED)
    os.umask(0o022)


def limit_resources(limits: tuple[tuple[int, int, int], ...] = _LIMITS) -> None:
    """Set AWS's limits; a hard limit that is lower already stays."""
    for which, soft, hard in limits:
        _, current = resource.getrlimit(which)
        most = _lower(hard, current)
        resource.setrlimit(which, (_lower(soft, most), most))


def reset_signals(numbers: Iterable[int] = _CATCHABLE) -> None:
    """Have signals do what they do in an interpreter that has just started."""
    signal.set_wakeup_fd(-1)
    for number in numbers:
        wanted = _at_start(number)
        if signal.getsignal(number) is not wanted:
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def restore_signals() -> None:
    """Undo what Python changes at its start. For whoever is about to execute a program."""
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)


def set_oom_score(score: int) -> None:
    """Say how readily the kernel kills this process when memory runs out, -1000 to 1000."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(score).encode())
    finally:
        os.close(descriptor)


def close_descriptors(keep: Iterable[int] = ()) -> None:
    """Close every descriptor that is not in `keep`."""
    first = 0
    for descriptor in sorted(keep):
        if descriptor > first:
            linux.close_range(first, descriptor - 1)
        first = descriptor + 1
    close_from(first)


def close_from(first: int) -> None:
    """Close the descriptors from `first` on."""
    linux.close_range(first, _LAST_DESCRIPTOR)


def _at_start(number: int) -> Callable[[int, Any], Any] | signal.Handlers:
    if number == signal.SIGINT:
        return signal.default_int_handler
    return signal.SIG_IGN if number in _IGNORED_BY_PYTHON else signal.SIG_DFL


def _lower(one: int, other: int) -> int:
    """Return the lower limit; RLIM_INFINITY is -1 in Python."""
    if _UNLIMITED in (one, other):
        return max(one, other)
    return min(one, other)
