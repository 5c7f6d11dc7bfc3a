"""Control groups on a real kernel: version 1 whole, version 2 as far as the machine has it."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import cgroups as support
from support.confined import need_root
from support.processes import eventually

from lambdabox.isolation.cgroup_files import CgroupFiles
from lambdabox.isolation.warden.cgroups import MOST_PROCESSES, Cgroup, Cgroups, sweep
from lambdabox.isolation.warden.hierarchies import Hierarchies

FORK_BOMB = """
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
# Ignores what can be ignored, and has a child in a session of its own.
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
while True:
    signal.pause()
"""


@pytest.fixture(params=["version 1", "version 2"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hierarchies]:
    need_root()
    found = support.legacy(tmp_path) if request.param == "version 1" else support.unified(tmp_path)
    yield found
    sweep(found)
    for root in found.roots:
        root.rmdir()


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[Cgroups]:
    need_root()
    found = support.legacy(tmp_path)
    cgroups = Cgroups(found)
    yield cgroups
    cgroups.close()
    assert not [root for root in found.roots if root.exists()]


def made(cgroups: Cgroups) -> Cgroup:
    group = cgroups.create("1")
    assert group is not None
    return group


def files_of(group: Cgroup) -> CgroupFiles:
    return CgroupFiles(group.node_descriptors())


def group_in(found: Hierarchies, name: str = "1") -> Cgroup:
    group = Cgroup(found, name)
    group.make()
    return group


def ticks_of(pid: int) -> int:
    """The processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_process_that_writes_0_is_inside(found: Hierarchies) -> None:
    group = group_in(found)
    with support.inside(group, "sys.stdin.read()") as process:
        assert group.processes() == {process.pid}
        lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
        expected = len(found.roots)
        assert (
            len([line for line in lines if line.endswith(f"{found.roots[0].name}/1")]) == expected
        )


def test_kill_ends_everything_that_is_inside(found: Hierarchies) -> None:
    group = group_in(found)
    with support.inside(group, STUBBORN) as process:
        assert eventually(lambda: len(group.processes()) == 2, within=10)
        group.kill()
        assert group.processes() == set()
        assert process.wait(10) == -signal.SIGKILL
    assert group.remove()


def test_kill_ends_what_is_frozen(found: Hierarchies) -> None:
    group = group_in(found)
    with support.inside(group, "while True: pass") as process:
        files = files_of(group)
        files.freeze()
        files.close()
        group.kill()
        assert process.wait(10) == -signal.SIGKILL
    assert group.remove()


def test_kill_outruns_a_fork_bomb(found: Hierarchies) -> None:
    group = group_in(found)
    # Without a pids controller, as in the bare version 2 of a hybrid machine, it is bounded here.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))\n"
    # Of users of its own: those another bomb had may not all have been reaped, and count.
    user = 61234 + found.version
    demote = f"os.setresuid({user}, {user}, {user})\n"
    with support.inside(group, limit + demote + FORK_BOMB):
        assert eventually(lambda: len(group.processes()) > 80, within=30)
        group.kill(60)
        assert group.processes() == set()
    assert eventually(group.remove, within=30)


def test_an_empty_group_is_killed_and_removed_at_once(found: Hierarchies) -> None:
    group = group_in(found)
    group.kill()
    assert group.remove()
    assert group.remove()


def test_a_group_with_a_process_is_not_removed(found: Hierarchies) -> None:
    group = group_in(found)
    with support.inside(group, "sys.stdin.read()"):
        assert not group.remove()


def test_a_frozen_process_stands_still_until_thawed(found: Hierarchies) -> None:
    group = group_in(found)
    with support.inside(group, "while True: pass") as process:
        files = files_of(group)
        assert eventually(lambda: ticks_of(process.pid) > 2, within=10)
        files.freeze()
        assert eventually(lambda: _stands_still(process.pid), within=10)
        before = ticks_of(process.pid)
        files.thaw()
        assert eventually(lambda: ticks_of(process.pid) > before + 2, within=10)
        files.close()


def _stands_still(pid: int) -> bool:
    before = ticks_of(pid)
    select.select([], [], [], 0.1)  # five ticks, of which a running process would use most
    return ticks_of(pid) == before


def test_what_a_killed_node_left_is_swept(found: Hierarchies) -> None:
    groups = [group_in(found, name) for name in ("3", "4")]
    with support.inside(groups[0], STUBBORN) as process:
        files = files_of(groups[0])
        files.freeze()
        files.close()
        assert sweep(found) == 2
        assert process.wait(10) == -signal.SIGKILL
    assert [path for root in found.roots for path in root.iterdir() if path.is_dir()] == []


def test_processes_and_threads_are_limited(legacy: Cgroups) -> None:
    group = made(legacy)
    body = """
import threading
threading.stack_size(65536)
stop = threading.Event()
try:
    while True:
        threading.Thread(target=stop.wait, daemon=True).start()
except RuntimeError:
    print(threading.active_count() - 1, flush=True)
sys.stdin.read()
os._exit(0)
"""
    with support.inside(group, body) as process:
        assert process.stdout is not None
        started = int(process.stdout.readline())
        # One is the program's first thread, and room for one is kept for process 1 of a sandbox.
        assert started + 1 == MOST_PROCESSES + 1


def test_who_takes_more_memory_than_allowed_is_killed_and_counted(legacy: Cgroups) -> None:
    group = made(legacy)
    group.limit(64)
    files = files_of(group)
    with support.inside(group, "sys.stdin.readline(); data = b'x' * (200 << 20)") as process:
        assert process.stdin is not None
        assert files.oom_kills() == 0
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(30) == -signal.SIGKILL
        assert files.oom_kills() == 1
    files.close()


def test_used_memory_counts_what_a_function_took_and_not_what_it_read(
    legacy: Cgroups, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(os.urandom(40 << 20))
    group = made(legacy)
    group.limit(256)
    body = f"""
kept = bytearray(b"x" * (20 << 20))
file = open({str(tmp_path / "large")!r}, "rb")
os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
while file.read(1 << 20): pass
print("done", flush=True); sys.stdin.read()
"""
    with support.inside(group, body) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        files = files_of(group)
        assert 20 << 20 <= files.used_memory_bytes() < 35 << 20
        files.close()


def test_memory_can_be_limited_anew_in_both_directions(legacy: Cgroups) -> None:
    group = made(legacy)
    for memory_mib in (256, 128, 512):
        group.limit(memory_mib)
    memory = Path(group._by_controller["memory"])
    assert (memory / "memory.limit_in_bytes").read_text() == f"{512 << 20}\n"
    assert (memory / "memory.memsw.limit_in_bytes").read_text() == f"{512 << 20}\n"


def test_processor_time_is_in_proportion_to_memory(legacy: Cgroups) -> None:
    group = made(legacy)
    files = files_of(group)
    with support.inside(group, "while True: pass") as process:
        files.limit_cpu(128)  # 7 % of a processor
        assert _throttled(group, process) > 0
        files.limit_cpu(None)
        assert (Path(group._by_controller["cpu"]) / "cpu.cfs_quota_us").read_text() == "-1\n"
        group.set_cpu(1769)
        assert (Path(group._by_controller["cpu"]) / "cpu.cfs_quota_us").read_text() == "20000\n"
    files.close()


def _throttled(group: Cgroup, process: subprocess.Popen[str]) -> int:
    """How often the kernel made a process wait for the next period, once it has."""
    statistics = Path(group._by_controller["cpu"]) / "cpu.stat"

    def count() -> int:
        return int(statistics.read_text().split("nr_throttled ")[1].split()[0])

    assert process.poll() is None
    assert eventually(lambda: count() > 3, within=30)
    return count()


def test_the_node_may_use_its_files_without_being_root(legacy: Cgroups) -> None:
    group = made(legacy)
    descriptors = group.node_descriptors()
    spin = "kept = bytearray(b'x' * (8 << 20)); print('done', flush=True)\nwhile True: pass"
    with support.inside(group, spin) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setresuid(61235, 61235, 61235)
                files = CgroupFiles(descriptors)
                files.limit_cpu(128)
                files.freeze()
                status = 0 if files.used_memory_bytes() and not files.oom_kills() else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert eventually(lambda: _stands_still(process.pid), within=10)
    for descriptor in descriptors.values():
        os.close(descriptor)


def test_files_of_a_group_that_is_gone_say_nothing(legacy: Cgroups) -> None:
    group = made(legacy)
    files = files_of(group)
    legacy.discard(group)
    files.freeze()
    files.limit_cpu(None)
    assert (files.used_memory_bytes(), files.oom_kills()) == (0, 0)
    files.close()


def test_a_thousand_groups_leave_nothing(legacy: Cgroups) -> None:
    before = os.listdir("/proc/self/fd")
    for number in range(1000):
        group = legacy.create(str(number))
        assert group is not None
        group.limit(128)
        files = files_of(group)
        legacy.discard(group)
        files.close()
    assert legacy._found is not None
    assert [p for root in legacy._found.roots for p in root.iterdir() if p.is_dir()] == []
    assert os.listdir("/proc/self/fd") == before
