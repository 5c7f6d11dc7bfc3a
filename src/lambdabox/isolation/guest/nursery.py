"""Fork an initialised function into sandboxes of its own: how a snapshot is restored.

A function that has reached its restore point forks once more, into user, process and mount
namespaces of its own. That process, the nursery, forks a clone for each environment, which
makes itself a sandbox and locks itself down as any other before it returns to the function.

User code has run in this process, so it is not trusted with anything: the calls that it needs
pass the filter only with a secret, reach no further than namespaces below the template's own,
and what it sends to the node is checked there.

    node → nursery   {"clone": k}    descriptors: control, channel, output, scratch, k of cgroups
    nursery → node   {"ready": true} or {"obstacle": text}, once
    clone → node     on its control: {"started": 0}    descriptors: /proc status, its network
                     {"exit": 0, "status": n} or {"failed": text}
"""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import warnings
from typing import Any

from . import init, linux, lockdown, messages, proc, seccomp

USER, GROUP = 993, 990
NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
    | linux.CLONE_NEWNET
)
_FORK_SAFE_POOL = "openblas"
"""A library whose worker threads start again in a fork, by handlers of its own."""


class Nursery:
    """Made in a template's runtime before it runs user code. `fork_point` is its one use."""

    def __init__(self, orders: int, secret: int, strict_filter: bytes) -> None:
        self._orders = socket.socket(fileno=orders)
        self._secret = secret
        self._filter = strict_filter

    def fork_point(self, channel: int) -> int | None:
        """Return the descriptor of its channel in each clone; None here, once `channel` is read.

        A process that cannot be forked safely says why, and forks nothing.
        """
        obstacle = _obstacle()
        if obstacle is not None:
            messages.send(self._orders, {"obstacle": obstacle})
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
                if pid == 0:
                    return self._be_nursery(channel)
            os.waitpid(pid, 0)
        # The nursery goes when the node closes its end; this process keeps none.
        self._orders.close()
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        poll.poll()
        return None

    def _be_nursery(self, channel: int) -> int:
        try:
            kinds = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWPID
            linux.unshare(kinds, secret=self._secret)
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{USER} {USER} 1")
            _write("/proc/self/gid_map", f"{GROUP} {GROUP} 1")
            if os.fork():
                os._exit(0)
            os.close(channel)
            proc.mount_proc(masked=False, secret=self._secret)
            messages.send(self._orders, {"ready": True})
            return self._serve()
        except BaseException as exc:
            if not isinstance(exc, _CloneFailed):
                messages.send(self._orders, {"obstacle": f"it could not be forked ({exc})"})
            os._exit(1)

    def _serve(self) -> int:
        """Fork a clone for each order; return in clones only, with their channel."""
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        while True:
            try:
                message, descriptors = messages.receive(self._orders)
            except messages.Closed:
                os._exit(0)
            linux.unshare(linux.CLONE_NEWPID, secret=self._secret)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                os.close(own)
                self._orders.close()
                self._be_clone(message, descriptors)
                return init.CHANNEL
            linux.setns(own, linux.CLONE_NEWPID, secret=self._secret)
            for descriptor in descriptors:
                os.close(descriptor)
            _reap()

    def _be_clone(self, order: dict[str, Any], descriptors: list[int]) -> None:
        control_descriptor, channel, output, scratch, *cgroups = descriptors
        control = socket.socket(fileno=control_descriptor)
        try:
            for cgroup in cgroups[: order["clone"]]:
                os.write(cgroup, b"0")
                os.close(cgroup)
            linux.unshare(NAMESPACES, secret=self._secret)
            proc.mount_proc(masked=True, secret=self._secret)
            linux.move_mount(scratch, "/tmp", secret=self._secret)  # noqa: S108  # of its own
            os.close(scratch)
            _take_over({1: output, 2: output, init.CHANNEL: channel})
            _cut_connections(control.fileno())
            self._tell(control)
            lockdown.lock_down(limits_processes=False)
            seccomp.install(self._filter)
        except BaseException as exc:
            messages.send(control, {"failed": f"{type(exc).__name__}: {exc}"[:500]})
            raise _CloneFailed from exc
        init.report_end = lambda status: messages.send(control, {"exit": 0, "status": status})

    def _tell(self, control: socket.socket) -> None:
        opened = [
            os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            for path in ("/proc/self/status", "/proc/self/ns/net")
        ]
        messages.send(control, {"started": init.RUNTIME}, opened)
        for descriptor in opened:
            os.close(descriptor)


class _CloneFailed(Exception):
    """The clone has told why itself."""


def _obstacle() -> str | None:
    """Return why this process cannot be forked, if it cannot."""
    extra = threading.active_count() - 1
    if extra:
        names = ", ".join(thread.name for thread in threading.enumerate()[1:6])
        return f"its init left {extra} thread{'s' if extra > 1 else ''} running ({names})"
    native = len(os.listdir("/proc/self/task")) - 1
    if not native:
        return None
    with open("/proc/self/maps") as maps:
        is_pool = _FORK_SAFE_POOL in maps.read()
    if is_pool and native < (os.cpu_count() or 1):
        return None
    return f"its init left {native} threads of a library running"


def _take_over(wanted: dict[int, int]) -> None:
    for number, source in wanted.items():
        os.dup2(source, number, inheritable=number != init.CHANNEL)
    for source in set(wanted.values()) - set(wanted):
        os.close(source)


def _cut_connections(keep: int) -> None:
    """Leave to the clone no connection that another clone has too: as after a restore on AWS,
    where the other side has long hung up."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor in (keep, init.CHANNEL):
            continue
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode) and _is_internet(descriptor):
                ended, other = socket.socketpair()
                other.close()
                os.dup2(ended.fileno(), descriptor, inheritable=False)
                ended.close()
        except OSError:
            continue


def _is_internet(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        return copy.family in (socket.AF_INET, socket.AF_INET6)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
