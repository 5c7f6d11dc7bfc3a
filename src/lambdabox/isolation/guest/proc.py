"""A sandbox's own /proc: of its processes, without what it tells of the machine."""

from __future__ import annotations

import os

from . import linux

_FLAGS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
# No use inside: memory, keys, timers, symbols and interrupts of the whole machine.
_MASKED = ("kcore", "keys", "timer_list", "sysrq-trigger", "interrupts", "kallsyms", "modules")


def mount_proc(*, masked: bool, secret: int = 0) -> None:
    """Mount /proc for the process namespace that this process is in.

    Unmasked for a template: whoever mounts one further down must see all of one above it.
    """
    linux.mount("proc", "/proc", "proc", _FLAGS, secret=secret)
    if masked:
        _mask(secret)


def replace_proc(*, masked: bool, options: str | None) -> None:
    """Likewise, in place of the one that is there, with the root that the view gives."""
    # In a user namespace a new one may be mounted only while the old one can be seen.
    linux.mount("proc", "/tmp", "proc", _FLAGS, options)  # noqa: S108  # empty yet
    linux.unmount("/proc")
    linux.mount("/tmp", "/proc", None, linux.MS_MOVE)  # noqa: S108
    if masked:
        _mask(0)


def _mask(secret: int) -> None:
    for name in _MASKED:
        if os.path.exists(f"/proc/{name}"):
            linux.mount("/dev/null", f"/proc/{name}", None, linux.MS_BIND, secret=secret)
