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
    for name in _MASKED if masked else ():
        if os.path.exists(f"/proc/{name}"):
            linux.mount("/dev/null", f"/proc/{name}", None, linux.MS_BIND, secret=secret)
