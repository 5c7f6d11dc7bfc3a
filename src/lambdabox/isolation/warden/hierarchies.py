"""Find where on this machine control groups for sandboxes can be made.

There are three worlds: version 1, with a tree per controller; version 2, with one tree for
all; and systems that mount both and give most controllers to the first. Our groups live below
one directory named after the data directory, so that a node that was killed is cleaned up
by its successor, wherever that was started from.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CONTROLLERS = ("memory", "pids", "cpu")
_NODE = "node"


@dataclass(frozen=True, slots=True)
class Hierarchies:
    version: Literal[1, 2]
    directories: dict[str, Path]
    """Our directory by controller; version 2 has the same for all. "freezer" comes with it."""

    @property
    def lacks(self) -> list[str]:
        """The controllers that cannot be used here."""
        return [name for name in (*CONTROLLERS, "freezer") if name not in self.directories]

    @property
    def roots(self) -> list[Path]:
        return sorted(set(self.directories.values()))


def name_of(data_dir: Path) -> str:
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()
    return f"lambdabox-{digest[:16]}"


def find(data_dir: Path, *, mounts: str, own: str) -> Hierarchies | None:
    """Make our directories, and return them; None where nothing can be limited.

    `mounts` and `own` are the contents of /proc/self/mountinfo and /proc/self/cgroup.
    """
    name, unified, legacy = name_of(data_dir), None, {}
    for point, kind, options in _cgroup_mounts(mounts):
        if kind == "cgroup2":
            unified = point
        else:
            # Where a controller is mounted twice, the first is as good as the second.
            legacy.update({o: point for o in options if o not in legacy})
    if unified is not None:
        found = _version_2(unified, own, name)
        if found is not None:
            return found
    return _version_1(legacy, name)


def _cgroup_mounts(mounts: str) -> Iterator[tuple[Path, str, list[str]]]:
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _source, options = rest.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            # Space, tab, newline and backslash are written as octal numbers.
            point = fields.split()[4].encode().decode("unicode_escape")
            yield Path(point), kind, options.split(",")


def _version_1(legacy: dict[str, Path], name: str) -> Hierarchies | None:
    directories = {}
    for controller in (*CONTROLLERS, "freezer"):
        if controller in legacy:
            with contextlib.suppress(OSError):
                directory = legacy[controller] / name
                directory.mkdir(exist_ok=True)
                directories[controller] = directory
    return Hierarchies(1, directories) if directories else None


def _version_2(unified: Path, own: str, name: str) -> Hierarchies | None:
    """Use the top of the tree, or what has been delegated to us."""
    for parent in _parents(unified, own):
        with contextlib.suppress(OSError):
            available = (parent / "cgroup.controllers").read_text().split()
            if "memory" in available:
                return _claim(parent, name, [one for one in CONTROLLERS if one in available])
    return None


def _claim(parent: Path, name: str, controllers: list[str]) -> Hierarchies:
    directory = parent / name
    directory.mkdir(exist_ok=True)
    try:
        _enable(parent, controllers)
        _enable(directory, controllers)
    except OSError:
        directory.rmdir()
        raise
    return Hierarchies(2, dict.fromkeys([*controllers, "freezer"], directory))


def _parents(unified: Path, own: str) -> list[Path]:
    parents = [unified]
    for line in own.splitlines():
        if line.startswith("0::/"):
            delegated = unified / line.removeprefix("0::/")
            # A predecessor may have moved into a group of its own, which stays as it was.
            parents.append(delegated.parent if delegated.name == _NODE else delegated)
    return parents


def _enable(parent: Path, controllers: list[str]) -> None:
    control = parent / "cgroup.subtree_control"
    if set(controllers) <= set(control.read_text().split()):
        return
    text = " ".join(f"+{controller}" for controller in controllers)
    try:
        control.write_text(text)
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        # Only a group without processes may divide what it has, so they move one down.
        _evacuate(parent)
        control.write_text(text)


def _evacuate(parent: Path) -> None:
    node = parent / _NODE
    node.mkdir(exist_ok=True)
    for pid in (parent / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            (node / "cgroup.procs").write_text(pid)
