"""Decide how functions are held on this machine, and say what that is worth.

By default Linux namespaces with all the strength that the node's user has; plain processes
only where not even that is possible, and then loudly.
"""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lambdabox.domain.values import dataclass
from lambdabox.isolation.warden import nft
from lambdabox.isolation.warden.users import base_of
from lambdabox.server.config import Settings
from lambdabox.server.privileges import give_up_root
from lambdabox.server.warden import IsolationError, Warden, start_warden

log = logging.getLogger("lambdabox")

UNHELD = (
    "functions are plain processes: nothing is isolated, and they can do all that this user can"
)
# Where version managers keep interpreters, below the home directory.
_VERSION_MANAGERS = (
    ".pyenv", ".nvm", ".fnm", ".rbenv", ".local/share/uv", ".local/share/fnm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Isolation:
    """How functions are held."""

    warden: Warden | None
    """None where they are plain processes."""
    lacks: tuple[str, ...]
    """What is missing for full strength, in sentences."""

    @property
    def network(self) -> str:
        return self.warden.network if self.warden is not None else "host"

    @property
    def strength(self) -> str:
        """In a few words, for whoever starts a node."""
        if self.warden is None:
            return "none: functions are plain processes"
        return "namespaces" if self.warden.is_root else "namespaces, without root"

    def stop(self) -> None:
        if self.warden is not None:
            self.warden.stop()


NONE = Isolation(None, ())


def start_isolation(settings: Settings, port: int = 0, *, check: bool = False) -> Isolation:
    """Start what holds functions, as the settings and the machine allow. See `start_warden`.

    Raises IsolationError if the settings insist on what is not possible.
    """
    if settings.isolation == "process":
        return Isolation(None, (f"As the settings say, {UNHELD}.",))
    try:
        warden = start_warden(settings, port, check=check)
    except IsolationError as exc:
        # Nobody who asks for a network of a kind means to have none.
        if settings.isolation == "namespaces" or settings.network in ("isolated", "nat"):
            raise
        return Isolation(None, (f"This machine allows no sandboxes ({exc}), so {UNHELD}.",))
    return Isolation(warden, warden.lacks)


def examine(settings: Settings) -> Isolation:
    """Return what a node started now would have. Nothing is left running.

    Raises IsolationError as `start_isolation` does.
    """
    with tempfile.TemporaryDirectory(prefix="lambdabox-doctor-") as directory:
        found = start_isolation(replace(settings, data_dir=Path(directory)), check=True)
        found.stop()
    return found


def missing_for_root() -> list[str]:
    """Return what a node started as root would still lack here, as seen without root."""
    missing = []
    if nft.program() is None:
        missing.append(f"a network of their own for functions lacks {nft.MISSING}")
    if not os.path.exists("/dev/loop-control"):
        missing.append("a /tmp on disk lacks loop devices (modprobe loop)")
    if shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        missing.append("a /tmp on disk lacks mkfs.ext4 (apt-get install e2fsprogs)")
    if "cgroup" not in Path("/proc/mounts").read_text():
        missing.append("limits lack control groups, which are not mounted")
    return missing


def announce(isolation: Isolation) -> None:
    """Say once, in the log, what is missing and what was changed on the machine."""
    for lack in isolation.lacks:
        log.warning("%s", lack)
    for note in isolation.warden.notes if isolation.warden is not None else ():
        log.warning("%s", note)


def give_up_privileges(settings: Settings, isolation: Isolation) -> None:
    """Go on without root, once all that needs it has been done.

    Where the warden has no more than a user namespace, so has this process, and plain
    processes need the node's user to be able to run them.
    """
    if isolation.warden is None or not isolation.warden.is_root:
        if os.geteuid() == 0:
            # So that a node that gives up root takes over again what this one makes as root.
            os.chown(settings.data_dir, 0, 0)
        return
    user = base_of(settings.data_dir)
    try:
        give_up_root(user, owns=settings.data_dir, reads=_readable(settings))
    except OSError as exc:
        raise IsolationError(
            f"The node cannot become the user {user}, as which it runs without root: {exc}."
        ) from exc


def _readable(settings: Settings) -> Sequence[Path]:
    packages = [settings.python_packages] if settings.python_packages else []
    return [
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(__file__).parents[2],
        *(settings.home / name for name in _VERSION_MANAGERS),
        *(root for path in settings.interpreters.values() for root in _installation(Path(path))),
        *packages,
    ]


def _installation(executable: Path) -> Iterator[Path]:
    """Return where an interpreter's files are: beside it, and beside what it is a link to."""
    for path in (executable, executable.resolve()):
        yield path.parent.parent if path.parent.name == "bin" else path.parent
