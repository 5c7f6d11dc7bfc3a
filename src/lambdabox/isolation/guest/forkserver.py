"""A fork server: an interpreter with everything imported, which forks sandboxes.

One serves one interpreter and one account, because its children share the layout of its
memory and its hash seed. It holds the privileges that making namespaces takes and never
runs user code: the fork that does has given them up before.

    warden → fork server   {"spawn": n, "uids": [init, user], "gids": […], "cgroups": k,
                            "network": bool, "template": bool, "rehearse": bool}
                           descriptors: control, channel, output, a template's orders, k of
                           cgroups, the network's
                           {"reap": pid}
    fork server → warden   {"ready": true}
                           {"spawned": n, "pid": …}        descriptors: pidfd, mount and user
                           namespace
                           {"failed": n, "why": …}
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import init, linux, lockdown, messages, nursery, proc, runner, seccomp

HOSTNAME = "sandbox.localdomain"
USER, GROUP = 993, 990
"""The sandbox's user as its code sees it: sbx_user1051, as on AWS."""

INIT_OOM_SCORE = -900

_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP


@dataclass(frozen=True)
class Kit:
    """What this fork server's sandboxes run."""

    serve: runner.Serve | None = None
    """Serves a function in a fork; None where every function is a command of its own."""
    warm: Callable[[], None] | None = None
    ahead: runner.Ahead | None = None
    """Executed in each sandbox beforehand; it takes the frame with the function itself."""
    is_root: bool = True
    """False inside a user namespace of an ordinary user, where ids cannot be chosen."""


def serve(warden: socket.socket, kit: Kit) -> None:
    """Fork sandboxes as the warden asks, until it closes its end."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    filter_program = seccomp.program()
    messages.send(warden, {"ready": True})
    while True:
        try:
            message, descriptors = messages.receive(warden)
        except messages.Closed:
            return
        if "reap" in message:
            _reap(int(message["reap"]))
            continue
        try:
            _spawn(warden, kit, own, filter_program, message, descriptors)
        except OSError as exc:
            messages.send(warden, {"failed": message["spawn"], "why": str(exc)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def _spawn(
    warden: socket.socket,
    kit: Kit,
    own: int,
    filter_program: bytes,
    order: dict[str, Any],
    descriptors: list[int],
) -> None:
    ours, theirs = socket.socketpair()
    linux.unshare(linux.CLONE_NEWPID)
    try:
        pid = os.fork()
        if pid == 0:
            _Child(kit, filter_program, order, descriptors, theirs).run()
    finally:
        linux.setns(own, linux.CLONE_NEWPID)
    theirs.close()
    with ours:
        pidfd = os.pidfd_open(pid)
        opened = [pidfd]
        try:
            _adopt(pid, ours, kit, order, opened)
            messages.send(warden, {"spawned": order["spawn"], "pid": pid}, opened)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)


def _adopt(
    pid: int, sync: socket.socket, kit: Kit, order: dict[str, Any], opened: list[int]
) -> None:
    """Give the child, which has made its namespaces, its user ids; add these to `opened`."""
    said = sync.recv(1024)
    if said != b"+":
        raise OSError(f"a sandbox could not be made: {said.decode(errors='replace') or 'it died'}")
    inside = (0, USER) if kit.is_root else (USER,)
    groups = (0, GROUP) if kit.is_root else (GROUP,)
    if not kit.is_root:
        _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/uid_map", _map(inside, order["uids"]))
    _write(f"/proc/{pid}/gid_map", _map(groups, order["gids"]))
    # Before it locks itself, after which an ordinary user could not open them.
    for kind in ("mnt", "user"):
        opened.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
    sync.send(b"+")
    said = sync.recv(1024)
    if said != b"+":
        raise OSError(f"a sandbox could not be locked: {said.decode(errors='replace')}")


def _map(inside: tuple[int, ...], outside: list[int]) -> str:
    return "".join(f"{a} {b} 1\n" for a, b in zip(inside, outside))  # noqa: B905  # not in Python 3.9


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


class _Child:
    """The first process of a new sandbox, from fork to init."""

    def __init__(
        self,
        kit: Kit,
        filter_program: bytes,
        order: dict[str, Any],
        descriptors: list[int],
        sync: socket.socket,
    ) -> None:
        self._kit = kit
        self._filter = filter_program
        self._order = order
        self._control, self._channel, self._output, *others = descriptors
        self._orders = others.pop(0) if order["template"] else None
        self._cgroups = others[: order["cgroups"]]
        self._network = descriptors[-1] if order["network"] else None
        self._sync = sync
        self._secret = 0

    def run(self) -> None:
        try:
            self._make_namespaces()
            self._sync.send(b"+")
            if self._sync.recv(1) != b"+":
                os._exit(1)
            self._become_init()
            control = socket.socket(fileno=self._control)
            life = init.Init(control, self._become_user)
            life.start_runtime(self._channel, self._output, self._run_runtime, self._orders)
            self._sync.send(b"+")
            lockdown.close_descriptors(keep=(self._control,))
            life.serve()
        except BaseException as exc:
            self._complain(exc)
        finally:
            os._exit(1)

    def _complain(self, exc: BaseException) -> None:
        try:
            self._sync.send(f"{type(exc).__name__}: {exc}"[:1000].encode())
        except OSError:
            return

    def _make_namespaces(self) -> None:
        for descriptor in self._cgroups:
            # Itself, and by the file that takes one thread: another's pid, or the file that
            # takes a process, waits 14 ms for the whole machine.
            os.write(descriptor, b"0")
        if self._kit.is_root:
            # A function that takes too much memory should lose its runtime, not this process.
            with contextlib.suppress(PermissionError):  # without CAP_SYS_RESOURCE
                lockdown.set_oom_score(INIT_OOM_SCORE)
        linux.unshare(_NAMESPACES)
        if self._network is not None:
            linux.setns(self._network, linux.CLONE_NEWNET)
        proc.replace_proc(masked=self._orders is None, options=self._proc_options())
        socket.sethostname(HOSTNAME)
        linux.unshare(linux.CLONE_NEWUSER)

    def _proc_options(self) -> str | None:
        """Hide processes of other users from all but init: it was forked with its parent's
        command line, which names directories of the host."""
        return f"hidepid=2,gid={self._order['gids'][0]}" if self._kit.is_root else None

    def _become_init(self) -> None:
        if self._kit.is_root:
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        lockdown.keep_capabilities(lockdown.INIT_CAPABILITIES)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)

    def _become_user(self) -> None:
        # Until it is dumpable again, a process may not even write about itself in /proc.
        linux.prctl(linux.PR_SET_DUMPABLE, 1)
        if self._kit.is_root:
            lockdown.set_oom_score(0)
            lockdown.renounce_root()
            lockdown.become(USER, GROUP)
        if self._orders is None:
            lockdown.lock_down()
            seccomp.install(self._filter)
        else:
            lockdown.lock_down(limits_processes=False)
            self._secret = seccomp.new_secret(os.urandom)
            seccomp.install(seccomp.program(nursery_secret=self._secret))

    def _run_runtime(self, channel: int) -> int:
        if self._kit.ahead is not None:
            runner.become(self._kit.ahead, channel)
        fork_point = None
        if self._orders is not None:
            fork_point = nursery.Nursery(init.ORDERS, self._secret, self._filter).fork_point
        warm = self._kit.warm if self._order["rehearse"] else None
        return runner.run(channel, self._kit.serve, warm, fork_point)
