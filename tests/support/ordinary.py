"""Become an ordinary user, wherever Python is: `python -m support.ordinary UID HOME MODE program…`.

That user owns HOME, and has what the node's user would have of what lies below root's home.
For tests of what works without root, which themselves run as root. MODE is what the machine
allows: "all", "no-namespaces" as behind a sysctl, or "covered-proc" as in a container.
"""

import contextlib
import itertools
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import lambdabox
from lambdabox.isolation.guest import linux
from lambdabox.server.privileges import give_up_root
from support.programs import missing

ROOTS = (Path(__file__).parents[1], Path(lambdabox.__file__).parents[1])

# Apart from those of other test runs on this machine.
_users = itertools.count(1_000_000 + os.getpid() * 100)


@dataclass(frozen=True, slots=True)
class Ordinary:
    """An ordinary user, like no other of this test run, who owns `home`."""

    home: Path
    mode: str = "all"
    user: int = field(default_factory=lambda: next(_users))

    @property
    def prefix(self) -> list[str | Path]:
        """Return what to put before a command that this user is to run."""
        if os.geteuid() != 0:
            missing("this needs root")
        self.home.mkdir(exist_ok=True)
        path = os.pathsep.join(map(str, ROOTS))
        become = [sys.executable, "-m", "support.ordinary"]
        return ["env", f"PYTHONPATH={path}", *become, str(self.user), self.home, self.mode]

    def processes(self) -> list[int]:
        """This user's processes, in whatever namespace."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if entry.name.isdigit() and entry.stat().st_uid == self.user:
                    found.append(int(entry.name))
        return found


def main() -> None:
    user, home, mode = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if mode == "covered-proc":
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("/dev/null", "/proc/version", None, linux.MS_BIND)
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable), *ROOTS]
    give_up_root(user, owns=home, reads=needed)
    if mode == "no-namespaces":
        _forbid_namespaces(user)
    os.environ["HOME"] = str(home)
    os.chdir(home)
    os.execvp(sys.argv[4], sys.argv[4:])  # noqa: S606 (a shell would be in the way)


def _forbid_namespaces(user: int) -> None:
    """Enter a namespace in which no further ones may be made, as the same user."""
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    linux.unshare(linux.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{user} {user} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


if __name__ == "__main__":
    main()
