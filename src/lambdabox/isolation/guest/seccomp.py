"""Turn the system call policy into a filter that the kernel runs before every call.

Classic BPF, assembled here: a binary search over the ranges of numbers that share an answer,
about eight comparisons deep. Where the answer does not depend on arguments the kernel learns
it when the filter is installed (since Linux 5.11), and such calls then cost nothing more.
The kernel truncates the arguments that are checked to 32 bits, hence so do the checks.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import NamedTuple, Union

from . import linux
from .syscall_numbers import NUMBERS
from .syscall_policy import ALLOWED, CHECKED, GATED, IGNORED, REFUSED

_LOAD = 0x20
_AND = 0x54
_JUMP_EQUAL = 0x15
_JUMP_GREATER_OR_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06
_LONGEST_JUMP = 255

# Where struct seccomp_data holds what a filter may look at; both architectures are little-endian.
_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ERRNO = 0x00050000

_ALLOW = "allow"
_IGNORE = "ignore"
_KILL = "kill"
_ENOSYS = "no such call"
_EPERM = "refuse"
_NO_FAMILY = "no such address family"
_NO_PROTOCOL = "no such protocol"
_ANSWERS = {
    _ALLOW: 0x7FFF0000,
    _IGNORE: _ERRNO,
    _KILL: 0x80000000,
    _ENOSYS: _ERRNO | errno.ENOSYS,
    _EPERM: _ERRNO | errno.EPERM,
    _NO_FAMILY: _ERRNO | errno.EAFNOSUPPORT,
    _NO_PROTOCOL: _ERRNO | errno.EPROTONOSUPPORT,
}

# CLONE_NEW* of clone(2); CLONE_NEWTIME is not among its flags.
_NEW_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWCGROUP | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNET
)  # fmt: skip
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET = 1, 2, 5
_SOCK_TYPE_MASK = 0xF
_DEFAULT_PROTOCOL, _ICMP, _TCP, _UDP, _ICMPV6 = 0, 1, 6, 17, 58
_NETLINK_ROUTE = 0
_TIOCLINUX, _TIOCCONS, _TIOCSTI, _TIOCSETD = 0x541C, 0x541D, 0x5412, 0x5423
_FILE_SYSTEM_REQUESTS = 0x6600
_FS_IOC_GETFLAGS, _FS_IOC_FIEMAP = 0x80086601, 0xC020660B
_PR_SET_MM = 35
# PER_LINUX, PER_LINUX32, UNAME26, the two together, and the question which it is.
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


class _Instruction(NamedTuple):
    """One instruction. A jump names its targets, None being the next instruction."""

    code: int
    operand: int
    when_true: str | None = None
    when_false: str | None = None


# A string is a label.
_Item = Union[str, _Instruction]  # noqa: UP007 (Python 3.9 evaluates this line)


class _Range(NamedTuple):
    first: int
    target: str


def program(machine: str = linux.MACHINE, *, nursery_secret: int | None = None) -> bytes:
    """Assemble the filter; with a secret, the one of a nursery (see `new_secret`).

    Raises ValueError for an architecture that has no table.
    """
    if machine not in NUMBERS:
        known = ", ".join(NUMBERS)
        raise ValueError(f"there is no system call filter for {machine}, only for {known}")
    checks = {name: _CHECKS[name]() for name in CHECKED}
    if nursery_secret is not None:
        checks.update((name, _gate(nursery_secret)) for name in GATED)
    ranges = _ranges(NUMBERS[machine], _targets(checks))
    items: list[_Item] = [
        _Instruction(_LOAD, _ARCHITECTURE),
        _Instruction(_JUMP_EQUAL, _ARCHITECTURES[machine], None, _KILL),
        _Instruction(_LOAD, _NUMBER),
        *_search(ranges),
    ]
    for name, check in checks.items():
        items += [_check_label(name), *check]
    for label, answer in _ANSWERS.items():
        items += [label, _Instruction(_RETURN, answer)]
    return _assemble(items)


def new_secret(random: Callable[[int], bytes]) -> int:
    """Return a secret for a nursery: 56 bits, never in reach of a call that passes no secret."""
    return int.from_bytes(random(7), "little") | 1 << 55


def install(filter_program: bytes) -> None:
    """Put this thread, and all it will start, under a filter, for good.

    Needs no_new_privs. Filters add up, and the strictest answer counts.
    """
    linux.install_filter(filter_program)


def _targets(checks: dict[str, list[_Item]]) -> dict[str, str]:
    """Return where each call's decision is, by its name."""
    targets = {name: _ALLOW for names in ALLOWED.values() for name in names}
    targets.update((name, _EPERM) for names in REFUSED.values() for name in names)
    targets.update((name, _IGNORE) for name in IGNORED)
    targets.update((name, _check_label(name)) for name in checks)
    return targets


def _check_label(name: str) -> str:
    return f"check {name}"


def _ranges(numbers: dict[str, int], targets: dict[str, str]) -> list[_Range]:
    """Return the fewest ranges of numbers that cover all of them, in order."""
    by_number = {number: targets.get(name, _ENOSYS) for name, number in numbers.items()}
    ranges = [_Range(0, by_number.get(0, _ENOSYS))]
    # One past the highest: that and all above it, among them every x32 call, do not exist.
    for number in range(1, max(by_number) + 2):
        target = by_number.get(number, _ENOSYS)
        if target != ranges[-1].target:
            ranges.append(_Range(number, target))
    return ranges


def _search(ranges: list[_Range]) -> list[_Item]:
    """Return a binary search that ends at the target of the range that holds the number."""
    middle = len(ranges) // 2
    low, high = ranges[:middle], ranges[middle:]
    items: list[_Item] = [
        _Instruction(_JUMP_GREATER_OR_EQUAL, high[0].first, _entry(high), _entry(low))
    ]
    for half in (low, high):
        if len(half) > 1:
            items += [_entry(half), *_search(half)]
    return items


def _entry(ranges: list[_Range]) -> str:
    if len(ranges) == 1:
        return ranges[0].target
    return f"{ranges[0].first} to {ranges[-1].first}"


def _load_argument(position: int) -> _Instruction:
    return _Instruction(_LOAD, _ARGUMENTS + 8 * position)


def _one_of(values: tuple[int, ...], then: str, otherwise: str | None) -> list[_Item]:
    jumps: list[_Item] = [_Instruction(_JUMP_EQUAL, value, then) for value in values[:-1]]
    return [*jumps, _Instruction(_JUMP_EQUAL, values[-1], then, otherwise)]


def _check_clone() -> list[_Item]:
    return [_load_argument(0), _Instruction(_JUMP_ANY_BIT, _NEW_NAMESPACES, _EPERM, _ALLOW)]


def _check_ioctl() -> list[_Item]:
    return [
        _load_argument(1),
        *_one_of((_TIOCSTI, _TIOCLINUX, _TIOCCONS, _TIOCSETD), _EPERM, None),
        *_one_of((_FS_IOC_GETFLAGS, _FS_IOC_FIEMAP), _ALLOW, None),
        _Instruction(_AND, 0xFF00),
        _Instruction(_JUMP_EQUAL, _FILE_SYSTEM_REQUESTS, _EPERM, _ALLOW),
    ]


def _check_personality() -> list[_Item]:
    return [_load_argument(0), *_one_of(_PERSONALITIES, _ALLOW, _EPERM)]


def _check_prctl() -> list[_Item]:
    return [_load_argument(0), *_one_of((_PR_SET_MM,), _EPERM, _ALLOW)]


def _check_socket() -> list[_Item]:
    protocols = (_DEFAULT_PROTOCOL, _TCP, _UDP, _ICMP, _ICMPV6)
    return [
        _load_argument(0),
        *_one_of((_AF_NETLINK,), "netlink socket", None),
        _load_argument(1),
        _Instruction(_AND, _SOCK_TYPE_MASK),
        *_one_of((_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET), "ordinary socket", _EPERM),
        "ordinary socket",
        _load_argument(0),
        *_one_of((_AF_UNIX, _AF_INET, _AF_INET6), "socket protocol", _NO_FAMILY),
        "socket protocol",
        _load_argument(2),
        *_one_of(protocols, _ALLOW, _NO_PROTOCOL),
        "netlink socket",
        _load_argument(2),
        *_one_of((_NETLINK_ROUTE,), _ALLOW, _NO_PROTOCOL),
    ]


def _check_socketpair() -> list[_Item]:
    return [_load_argument(0), *_one_of((_AF_UNIX,), _ALLOW, _NO_FAMILY)]


_CHECKS: dict[str, Callable[[], list[_Item]]] = {
    "clone": _check_clone,
    "ioctl": _check_ioctl,
    "personality": _check_personality,
    "prctl": _check_prctl,
    "socket": _check_socket,
    "socketpair": _check_socketpair,
}


def _gate(secret: int) -> list[_Item]:
    """Let a call pass that shows the secret in its sixth argument."""
    low, high = secret & 0xFFFFFFFF, secret >> 32
    sixth = _ARGUMENTS + 8 * 5
    return [
        _Instruction(_LOAD, sixth),
        _Instruction(_JUMP_EQUAL, low, None, _EPERM),
        _Instruction(_LOAD, sixth + 4),
        _Instruction(_JUMP_EQUAL, high, _ALLOW, _EPERM),
    ]


def _assemble(items: list[_Item]) -> bytes:
    """Replace labels by distances. All jumps lead forward, as the kernel demands."""
    code: list[_Instruction] = []
    places: dict[str, int] = {}
    for item in items:
        if isinstance(item, str):
            places[item] = len(code)
        else:
            code.append(item)

    def distance(position: int, label: str | None) -> int:
        if label is None:
            return 0
        jump = places[label] - position - 1
        if not 0 <= jump <= _LONGEST_JUMP:
            raise ValueError(f"the filter's jump to {label!r} spans {jump} instructions")
        return jump

    return b"".join(
        struct.pack(
            "=HBBI",
            instruction.code,
            distance(position, instruction.when_true),
            distance(position, instruction.when_false),
            instruction.operand,
        )
        for position, instruction in enumerate(code)
    )
