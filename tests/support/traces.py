"""What a node has on this machine, found in the kernel's own books and not by asking the node.

Only what can be told to be that node's counts: by its range of user ids, the names derived from
its data directory, and descent from its processes. Other nodes may run on the same machine.
"""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lambdabox.isolation.warden.hierarchies import name_of
from lambdabox.isolation.warden.nat_host import NodeNames
from lambdabox.isolation.warden.users import base_of
from support.processes import eventually
from support.programs import needed

_RANGE = 65_536
_KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
PATIENCE = 30.0
"""The kernel takes namespaces, groups and sockets apart some time after their last process."""


@dataclass(frozen=True, slots=True)
class Inmate:
    """A process with a user id of a sandbox, and the process namespace it is in."""

    pid: int
    user: int
    namespace: str


@dataclass(frozen=True, slots=True)
class Traces:
    """Everything of a node that outlives, or should not outlive, it."""

    processes: frozenset[int]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    tables: frozenset[str]
    loop_devices: frozenset[str]
    sockets: frozenset[str]


NONE = Traces(*(frozenset() for _ in range(7)))


def traces_of(data_dir: Path) -> Traces:
    names = NodeNames(str(data_dir))
    return Traces(
        frozenset(processes_of(data_dir)),
        frozenset(line for line in _lines("/proc/self/mountinfo") if str(data_dir) in line),
        frozenset(map(str, cgroups_of(data_dir))),
        frozenset(name for name in os.listdir("/sys/class/net") if name == names.interface),
        frozenset(line for line in _tables() if names.table in line),
        frozenset(_loop_devices(data_dir)),
        frozenset(_sockets(data_dir)),
    )


def leaves_nothing(data_dir: Path) -> bool:
    """Whether everything of a node that has ended goes away."""
    return eventually(lambda: traces_of(data_dir) == NONE, within=PATIENCE)


def cgroups_of(data_dir: Path) -> list[Path]:
    """The control groups of a node's sandboxes, and those around them."""
    name, top = name_of(data_dir), Path("/sys/fs/cgroup")
    found: list[Path] = []
    for root in (top / name, *(tree / name for tree in top.iterdir())):
        with suppress(OSError), os.scandir(root) as entries:
            found += [root, *(Path(entry.path) for entry in entries if entry.is_dir())]
    return found


def inmates_of(data_dir: Path) -> list[Inmate]:
    """The processes inside the node's sandboxes."""
    first = base_of(data_dir)
    found = []
    for pid in _pids():
        with suppress(OSError):
            user = _user(pid)
            # The first id is the node's own.
            if first < user < first + _RANGE:
                found.append(Inmate(pid, user, os.readlink(f"/proc/{pid}/ns/pid")))
    return found


def processes_of(data_dir: Path) -> set[int]:
    """The node, its warden, its fork servers and all that is in its sandboxes."""
    ours = {inmate.pid for inmate in inmates_of(data_dir)}
    parents: dict[int, int] = {}
    for pid in _pids():
        with suppress(OSError, IndexError):
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            parents[pid] = int(status[1])
            if os.fsencode(data_dir) in Path(f"/proc/{pid}/cmdline").read_bytes():
                ours.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return ours - {os.getpid()}


def warden_of(data_dir: Path) -> int:
    """The warden that works, which is process 1 of a namespace of its own."""
    for pid in processes_of(data_dir):
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            numbers = _status(pid, "NSpid").split()
            if b"isolation/warden" in command and len(numbers) == 2 and numbers[1] == "1":
                return pid
    raise ProcessLookupError(f"no warden of {data_dir} runs")


def fork_servers_of(data_dir: Path) -> set[int]:
    """The children of the warden that sandboxes are forked from: they have a view of their own."""
    warden = warden_of(data_dir)
    return {
        pid
        for pid in processes_of(data_dir)
        if _status(pid, "PPid") == str(warden)
        and _user(pid) == 0
        and _mounts(pid) != _mounts(warden)
    }


def _mounts(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def namespaces() -> set[str]:
    """Every namespace of the machine that a process is in or holds open."""
    found: set[str] = set()
    for pid in _pids():
        with suppress(OSError):
            found.update(os.readlink(f"/proc/{pid}/ns/{kind}") for kind in _KINDS)
            for name in os.listdir(f"/proc/{pid}/fd"):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.partition(":")[0] in _KINDS:
                    found.add(target)
    return found


def descriptors_by_kind(pid: int) -> dict[str, int]:
    """How many descriptors a process has, of each kind."""
    counts: dict[str, int] = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            kind = target.partition(":")[0] if ":[" in target else target
            counts[kind] = counts.get(kind, 0) + 1
    return counts


def _status(pid: int, key: str) -> str:
    with suppress(OSError):
        for line in _lines(f"/proc/{pid}/status"):
            if line.startswith(f"{key}:"):
                return line.partition(":")[2].strip()
    return ""


def _user(pid: int) -> int:
    return int((_status(pid, "Uid") or "-1").split()[0])


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _tables() -> list[str]:
    return subprocess.check_output([needed("nft"), "list", "tables"], text=True).splitlines()


def _loop_devices(data_dir: Path) -> list[str]:
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it may be let go meanwhile
            if str(data_dir) in file.read_text():
                found.append(file.parts[3])
    return found


def _sockets(data_dir: Path) -> list[str]:
    """Sockets of the host's network that belong to the node's user or to one of a sandbox."""
    first = base_of(data_dir)
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "packet"):
        with suppress(OSError):
            for line in _lines(f"/proc/net/{table}")[1:]:
                fields = line.split()
                # A connection that only waits for stray packets has no owner any more.
                user = int(fields[7])
                if first <= user < first + _RANGE:
                    found.append(f"{table} {line}")
    return found
