"""Try once, before anything relies on it, what the making of every sandbox takes.

A machine may refuse at any step: an old kernel, a sysctl, a security module, a container
around us. Told at the start, with what to do about it, the node can choose another driver;
found out later, each invocation would fail.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from lambdabox.isolation.guest import linux, seccomp

KERNEL = "Linux 5.14 or newer, on x86_64 or aarch64"
_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP
    | linux.CLONE_NEWNET
)  # fmt: skip
# What a sysctl must not be for ordinary users to have namespaces, and what to do then.
_SWITCHES = (
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


class RefusedError(Exception):
    """The machine does not let sandboxes be made. The message says why, and what to do."""


def separate(*, is_root: bool, leaves_network: bool) -> None:
    """Enter mount and process namespaces of our own; a user's first, unless we are root.

    The process namespace is for the next child. Without root, the host's network can be left
    but not entered again: whoever is to make others has to leave it. Raises RefusedError.
    """
    attempt = _Attempt(is_root=is_root)
    if not is_root:
        attempt("user namespaces", _enter_user_namespace)
        if leaves_network:
            attempt("namespaces", linux.unshare, linux.CLONE_NEWNET)
    attempt("namespaces", linux.unshare, linux.CLONE_NEWNS | linux.CLONE_NEWPID)
    attempt("mounts", _make_mounts_private)


def try_everything(*, is_root: bool) -> None:
    """Do in a child what a sandbox takes, and let the kernel clear it away. Raises RefusedError.

    The caller is process 1 of its process namespace, or a descendant.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _attempt_all(is_root=is_root)
        except BaseException as exc:
            os.write(writing, str(exc).encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        why = file.read().decode()
    os.waitpid(pid, 0)
    if why:
        raise RefusedError(why)


def _attempt_all(*, is_root: bool) -> None:
    attempt = _Attempt(is_root=is_root)
    attempt("namespaces", linux.unshare, _NAMESPACES)
    attempt("mounts", _make_mounts_private)
    attempt("detached mounts", _copy_a_mount)
    attempt("another /proc", _mount_proc)
    attempt("user namespaces", linux.unshare, linux.CLONE_NEWUSER)
    attempt("system call filters", _install_filter)


class _Attempt:
    """Calls, and says in words what it means if the kernel refuses."""

    def __init__(self, *, is_root: bool) -> None:
        self._is_root = is_root

    def __call__(self, what: str, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except (KeyError, ValueError) as exc:  # a machine that nobody has looked at
            raise RefusedError(f"sandboxes need {KERNEL}, not {os.uname().machine}") from exc
        except OSError as exc:
            hint = self._hint(what, exc.errno or 0)
            why = os.strerror(exc.errno or 0)
            raise RefusedError(f"the kernel refuses {what} ({why}); {hint}") from exc

    def _hint(self, what: str, number: int) -> str:
        if number in (errno.ENOSYS, errno.EINVAL, errno.ENODEV):
            return f"sandboxes need {KERNEL}, and this is {os.uname().release}"
        for name, bad, advice in _SWITCHES:
            if (not self._is_root or number == errno.ENOSPC) and _sysctl(name) == bad:
                return f"allow them with `{advice}` as root"
        if number == errno.ENOSPC:
            return "allow more of them with `sysctl user.max_user_namespaces=15000` as root"
        if what == "another /proc":
            return (
                "parts of the /proc here are covered, as in a container: have it show all "
                "(docker: --security-opt systempaths=unconfined)"
            )
        if self._is_root:
            return "this root lacks CAP_SYS_ADMIN, as in a container that is not privileged"
        return "a security policy, such as that of a container, forbids them to ordinary users"


def _enter_user_namespace() -> None:
    """Be root in a user namespace that has this process's own user and group only."""
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _make_mounts_private() -> None:
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)


def _copy_a_mount() -> None:
    directory = os.open("/usr", os.O_PATH | os.O_CLOEXEC)
    tree = linux.open_tree(directory, recursive=True)
    linux.set_mount_attributes(tree, linux.MOUNT_ATTR_RDONLY, recursive=True)


def _mount_proc() -> None:
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)


def _install_filter() -> None:
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(seccomp.program())


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
