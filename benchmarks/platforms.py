"""How each platform is started, and how much memory it takes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PEER = PROJECT / ".venv-peer" / "bin" / "ministack"
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Platform:
    name: str
    command: Sequence[str]
    """With {port} and {directory} to be filled in."""
    settings: Mapping[str, str]


LAMBDABOX = Platform(
    "lambdabox",
    (
        str(Path(sys.executable).with_name("lambdabox")),
        "up", "--port", "{port}", "--data-dir", "{directory}",
    ),
    {},
)  # fmt: skip
MINISTACK = Platform(
    "ministack",
    (str(PEER),),
    {
        "GATEWAY_PORT": "{port}",
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "STATE_DIR": "{directory}/state",
        "S3_DATA_DIR": "{directory}/s3",
        "TMPDIR": "{directory}",
    },
)


NAMESPACES = replace(
    LAMBDABOX,
    name="namespaces",
    settings={"LAMBDABOX_ISOLATION": "namespaces", "LAMBDABOX_NETWORK": "nat"},
)
"""All isolation and all limits on, as by default where the node is root."""
PROCESSES = replace(LAMBDABOX, name="processes", settings={"LAMBDABOX_ISOLATION": "process"})


def with_settings(platform: Platform, **settings: str) -> Platform:
    """Return a lambdabox with further settings."""
    added = {f"LAMBDABOX_{name.upper()}": value for name, value in settings.items()}
    return replace(platform, settings={**platform.settings, **added})


def available() -> tuple[list[Platform], str | None]:
    """Return what can be measured, and why the peer cannot if so."""
    if PEER.exists():
        return [LAMBDABOX, MINISTACK], None
    return [
        LAMBDABOX
    ], f"{MINISTACK.name} is left out: {PEER} is not there; `make bench` installs it."


@contextmanager
def started(platform: Platform, directory: Path) -> Iterator[tuple[int, int]]:
    """Start `platform` and give its process and port, at once and not when it is ready."""
    port = _free_port()
    places = {"port": str(port), "directory": str(directory)}
    directory.mkdir()
    with (directory.parent / "log").open("ab") as log:
        process = subprocess.Popen(
            [part.format(**places) for part in platform.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            env={
                **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
                **{name: value.format(**places) for name, value in platform.settings.items()},
            },
        )
    try:
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def memory_mib(pid: int) -> float:
    """The proportional set size: a process's own memory and its share of what is shared."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds of processor time: a platform's own process, and those that it has started."""

    node: float
    children: float

    @classmethod
    def of(cls, pid: int) -> "CpuTimes":
        return cls(_cpu_seconds(pid), sum(_cpu_seconds(child) for child in descendants(pid)))

    def since(self, before: "CpuTimes") -> "CpuTimes":
        return CpuTimes(self.node - before.node, self.children - before.children)


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it has just ended
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Proportional memory of a node, in MiB, by what it is for."""

    node: float
    warden: float
    """The warden and its fork servers."""
    sandboxes: float
    """All of them together, those made ahead included."""
    count: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        """Measure the node `pid`, whose sandboxes have a process namespace within the warden's."""
        levels = {child: ids for child in descendants(pid) if (ids := _ids(child))}
        outermost = len(_ids(pid))
        inside = [child for child, ids in levels.items() if len(ids) > outermost + 1]
        around = [child for child in levels if child not in inside]
        return cls(
            memory_mib(pid),
            sum(map(_memory_or_none, around)),
            sum(map(_memory_or_none, inside)),
            sum(levels[child][-1] == 1 for child in inside),
        )


def _memory_or_none(pid: int) -> float:
    try:
        return memory_mib(pid)
    except ProcessLookupError:
        return 0.0  # it has just ended


def _ids(pid: int) -> list[int]:
    """Return a process's number in each process namespace that it is in, from the outermost."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    return [
        int(number)
        for line in status.splitlines()
        if line.startswith("NSpid:")
        for number in line.split()[1:]
    ]


def descendants(pid: int) -> list[int]:
    children: dict[int | None, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent(name), []).append(int(name))
    found = list(children.get(pid, ()))
    for one in found:
        found += children.get(one, ())
    return found


def _parent(pid: str) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
