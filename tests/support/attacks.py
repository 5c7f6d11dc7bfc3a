"""Functions that try what they must not, and what may be left of them: nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.traces import cgroups_of, inmates_of, traces_of

Attack = Callable[..., Any]

ATTACKER = """
def handler(event, context):
    scope = {"context": context}
    exec(event, scope)
    return scope["attack"]()
"""

TRY = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def told(number, *arguments):
    "The name of the error that a system call ends with, or what it returns."
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def refusal(call, *arguments):
    "The name of the error that a Python call ends with, or None."
    try:
        call(*arguments)
    except OSError as exc:
        return errno.errorcode[exc.errno]
"""
"""What an attack's source may begin with."""

_PREPARED = 2
"""Processes of a sandbox that has been made ahead: its init, and the runtime that waits."""


def at_rest(data_dir: Path) -> str:
    """Say what there is besides sandboxes that wait for a function; empty if nothing is."""
    inside = Counter(inmate.namespace for inmate in inmates_of(data_dir))
    crowded = {name: count for name, count in inside.items() if count != _PREPARED}
    if crowded:
        return f"sandboxes with more or less than their {_PREPARED} processes: {crowded}"
    groups = Counter(path.parent for path in cgroups_of(data_dir) if path.name.isdigit())
    if set(groups.values()) - {len(inside)}:
        return f"{len(inside)} sandboxes, but control groups {groups}"
    environments = data_dir / "environments"
    if environments.is_dir() and any(environments.iterdir()):
        return f"directories of environments: {list(environments.iterdir())}"
    if traces_of(data_dir).mounts:
        return f"mounts on the host: {traces_of(data_dir).mounts}"
    return ""
