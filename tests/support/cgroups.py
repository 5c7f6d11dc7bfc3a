"""Control groups of a test, and processes inside them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lambdabox.isolation.warden import hierarchies
from lambdabox.isolation.warden.cgroups import Cgroup
from lambdabox.isolation.warden.hierarchies import Hierarchies
from support.programs import missing

ENTER = (
    "import os, sys; [os.write(int(fd), b'0') for fd in sys.argv[1:]]; print('in', flush=True)\n"
)


def legacy(data_dir: Path) -> Hierarchies:
    """Version 1's trees, which is what this machine's controllers are in, or a skip."""
    found = hierarchies.find(
        data_dir,
        mounts=Path("/proc/self/mountinfo").read_text(),
        own=Path("/proc/self/cgroup").read_text(),
    )
    if found is None or found.lacks:
        missing("this needs control groups with memory, pids, cpu and freezer")
    assert found is not None
    return found


def unified(data_dir: Path) -> Hierarchies:
    """The real tree of version 2, of which every kernel lets freeze and kill."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if kind == "cgroup2":
            directory = Path(point) / hierarchies.name_of(data_dir)
            directory.mkdir(exist_ok=True)
            return Hierarchies(2, {"freezer": directory})
    missing("no cgroup2 is mounted")
    raise AssertionError


@contextmanager
def inside(
    group: Cgroup, body: str, *, keep: Sequence[int] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program inside a group; it has entered when this begins."""
    descriptors = group.attach_descriptors()
    command: Sequence[str] = [sys.executable, "-c", ENTER + body, *map(str, descriptors)]
    process = subprocess.Popen(
        command,
        pass_fds=(*descriptors, *keep),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for descriptor in descriptors:
        os.close(descriptor)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        yield process
    finally:
        group.thaw()  # the frozen do not die
        process.kill()
        process.communicate()
