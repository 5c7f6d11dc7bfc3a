"""The Linux system calls that build a sandbox, for Python's standard library has few of them.

Thin and typed: each function is one call that raises OSError with the kernel's reason.
Part of what runs inside sandboxes, so it needs Python 3.9 and the standard library alone.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x00100000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_SET_SECUREBITS = 28
PR_SET_NAME = 15

_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_PIDFD_OPEN = 434
_CLOSE_RANGE = 436
_OPENAT2 = 437
_MOUNT_SETATTR = 442
# The few older calls differ by architecture: x86_64, aarch64.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT = {"x86_64": 165, "aarch64": 40}
_SETNS = {"x86_64": 308, "aarch64": 268}
_UNSHARE = {"x86_64": 272, "aarch64": 97}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SECCOMP = {"x86_64": 317, "aarch64": 277}

_SECCOMP_SET_MODE_FILTER = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_FSMOUNT_CLOEXEC = 1
_FSOPEN_CLOEXEC = 1

_CAPABILITY_VERSION = 0x20080522
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# With its types declared a call takes half the time, and locking down makes dozens of them.
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
MACHINE = os.uname().machine


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(number: int, *arguments: object) -> int:
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


# `secret` opens the gate of a nursery's filter, which looks at the sixth argument.


def unshare(flags: int, *, secret: int = 0) -> None:
    number = _UNSHARE[MACHINE]
    result = _syscall(number, ctypes.c_ulong(flags), *_unused(4), ctypes.c_ulong(secret))
    _check(result, "unshare")


def setns(descriptor: int, kind: int, *, secret: int = 0) -> None:
    arguments = ctypes.c_long(descriptor), ctypes.c_long(kind), *_unused(3)
    _check(_syscall(_SETNS[MACHINE], *arguments, ctypes.c_ulong(secret)), "setns")


def mount(
    source: str,
    target: str,
    kind: str | None,
    flags: int,
    data: str | None = None,
    *,
    secret: int = 0,
) -> None:
    result = _syscall(
        _MOUNT[MACHINE],
        source.encode(),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
        ctypes.c_ulong(secret),
    )
    _check(result, f"mount {target}")


def _unused(count: int) -> list[ctypes.c_ulong]:
    return [ctypes.c_ulong(0)] * count


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _check(_syscall(_PIVOT_ROOT[MACHINE], os.fsencode(new), os.fsencode(old)), "pivot_root")


def open_tree(directory: int, path: str = "", *, recursive: bool = False) -> int:
    """Return a descriptor of a detached copy of the mount at `path` below `directory`."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    flags |= 0 if path else AT_EMPTY_PATH
    flags |= AT_RECURSIVE if recursive else 0
    result = _syscall(_OPEN_TREE, ctypes.c_int(directory), os.fsencode(path), ctypes.c_uint(flags))
    return _check(result, f"open_tree {path}")


def move_mount(tree: int, target: str, *, secret: int = 0) -> None:
    """Attach the detached mount `tree` at `target`."""
    result = _syscall(
        _MOVE_MOUNT, ctypes.c_int(tree), b"", ctypes.c_int(-100), os.fsencode(target),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH), ctypes.c_ulong(secret),
    )  # fmt: skip
    _check(result, f"move_mount {target}")


def map_mount_ids(tree: int, users: int) -> None:
    """Let the owners of files on the detached mount `tree` be those of a user namespace."""
    set_mount_attributes(tree, MOUNT_ATTR_IDMAP, users=users)


def set_mount_attributes(
    tree: int, attributes: int, *, recursive: bool = False, users: int = 0
) -> None:
    """Set MOUNT_ATTR_* on the detached mount `tree`. `users` is for MOUNT_ATTR_IDMAP."""
    value = struct.pack("=QQQQ", attributes, 0, 0, users)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    result = _syscall(
        _MOUNT_SETATTR, ctypes.c_int(tree), b"", ctypes.c_uint(flags), value,
        ctypes.c_size_t(len(value)),
    )  # fmt: skip
    _check(result, "mount_setattr")


def new_filesystem(kind: str, options: dict[str, str | None], attributes: int) -> int:
    """Return a descriptor of a detached mount of a new `kind` file system.

    An option without a value is None.
    """
    context = _check(_syscall(_FSOPEN, kind.encode(), ctypes.c_uint(_FSOPEN_CLOEXEC)), "fsopen")
    try:
        for name, value in options.items():
            command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
            _fsconfig(context, command, name, value)
        _fsconfig(context, _FSCONFIG_CMD_CREATE, None, None)
        result = _syscall(
            _FSMOUNT, ctypes.c_int(context), ctypes.c_uint(_FSMOUNT_CLOEXEC),
            ctypes.c_uint(attributes),
        )  # fmt: skip
        return _check(result, f"fsmount {kind}")
    finally:
        os.close(context)


def _fsconfig(context: int, command: int, name: str | None, value: str | None) -> None:
    result = _syscall(
        _FSCONFIG,
        ctypes.c_int(context),
        ctypes.c_uint(command),
        name.encode() if name is not None else None,
        value.encode() if value is not None else None,
        ctypes.c_int(0),
    )
    _check(result, f"fsconfig {name or 'create'}")


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open `path`, which cannot leave `directory`: no `..` above it, no symbolic links."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    result = _syscall(
        _OPENAT2, ctypes.c_int(directory), os.fsencode(path), how, ctypes.c_size_t(len(how))
    )
    return _check(result, f"open {path}")


def close_range(first: int, last: int) -> None:
    """Close the descriptors from `first` to `last`, those that are open."""
    result = _syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0))
    _check(result, "close_range")


def open_pidfd(pid: int) -> int:
    return _check(_syscall(_PIDFD_OPEN, ctypes.c_int(pid), ctypes.c_uint(0)), "pidfd_open")


def drop_from_bounding_set(capabilities: int) -> None:
    """Drop those of a mask, which takes one call each."""
    for capability in range(capabilities.bit_length()):
        if capabilities >> capability & 1 and _prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            _check(-1, f"prctl CAPBSET_DROP {capability}")


def prctl(option: int, *arguments: int) -> int:
    result = _prctl(option, *(*arguments, 0, 0, 0, 0)[:4])
    return _check(result, f"prctl {option}") if result < 0 else int(result)


def set_capabilities(effective: int, permitted: int, inheritable: int = 0) -> None:
    """Set this thread's capabilities, given as masks of 64 bits."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    words = []
    for shift in (0, 32):
        words += [(mask >> shift) & 0xFFFFFFFF for mask in (effective, permitted, inheritable)]
    _check(_syscall(_CAPSET[MACHINE], header, struct.pack("=6I", *words)), "capset")


class _FilterProgram(ctypes.Structure):
    """The kernel's struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install_filter(program: bytes) -> None:
    """Have every system call of this thread, and of what it starts, pass a BPF program first."""
    fprog = _FilterProgram(len(program) // 8, program)
    arguments = (ctypes.c_uint(_SECCOMP_SET_MODE_FILTER), ctypes.c_uint(0), ctypes.byref(fprog))
    _check(_syscall(_SECCOMP[MACHINE], *arguments), "seccomp")


def set_link_up(name: str) -> None:
    """Bring a network interface of the current network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", name.encode(), 0)
        flags = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | _IFF_UP))


def set_name(name: str) -> None:
    """Name this thread, as process lists show it."""
    _check(_libc.prctl(ctypes.c_int(PR_SET_NAME), ctypes.c_char_p(name.encode())), "prctl name")
