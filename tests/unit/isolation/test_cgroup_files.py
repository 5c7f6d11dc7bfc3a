import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdabox.isolation.cgroup_files import CgroupFiles, quota, used_memory

V1_STATISTICS = b"cache 900\nrss 11\nshmem 2\ntotal_cache 950\ntotal_rss 1000\ntotal_shmem 20\n"
V2_STATISTICS = b"anon 5000\nfile 7000\nkernel 3\nshmem 40\nanon_thp 1\n"

V1 = {
    "freezer.state": b"THAWED\n",
    "cpu.cfs_quota_us": b"-1\n",
    "memory.stat": V1_STATISTICS,
    "memory.oom_control": b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
}
V2 = {
    "cgroup.freeze": b"0\n",
    "cpu.max": b"max 100000\n",
    "memory.stat": V2_STATISTICS,
    "memory.events": b"low 0\nhigh 0\nmax 8\noom 2\noom_kill 1\noom_group_kill 0\n",
}


class Group:
    """A directory with the files of a control group; each write replaces the content."""

    def __init__(self, directory: Path, contents: dict[str, bytes]) -> None:
        self._directory = directory
        for name, content in contents.items():
            (directory / name).write_bytes(content)
        opened = {name: os.open(directory / name, os.O_RDWR) for name in contents}
        self.files = CgroupFiles(opened)

    def written(self, name: str, count: int) -> bytes:
        return (self._directory / name).read_bytes()[:count]


@pytest.fixture(params=[V1, V2], ids=["version 1", "version 2"])
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path, request.param)
    yield group
    group.files.close()


@pytest.mark.parametrize(
    ("memory_mib", "microseconds"),
    [(128, 1447), (1769, 20_000), (3538, 40_000), (10_240, 115_771), (64, 1000)],
)
def test_cpu_time_is_in_proportion_to_memory(memory_mib: int, microseconds: int) -> None:
    assert quota(memory_mib) == microseconds


def test_used_memory_is_what_cannot_be_dropped() -> None:
    assert used_memory(V1_STATISTICS) == 1020
    assert used_memory(V2_STATISTICS) == 5040
    assert used_memory(b"") == 0


def test_swapped_memory_of_version_1_is_still_used() -> None:
    assert used_memory(b"total_rss 10\ntotal_swap 5\n") == 15


def test_kills_and_memory_are_read_anew_each_time(group: Group) -> None:
    kills = group.files.oom_kills()
    assert kills in (1, 3)
    assert (group.files.oom_kills(), group.files.used_memory_bytes()) in ((3, 1020), (1, 5040))


def test_freezing_writes_what_the_version_understands(group: Group, tmp_path: Path) -> None:
    group.files.freeze()
    name = next(name for name in ("freezer.state", "cgroup.freeze") if (tmp_path / name).exists())
    frozen = {"freezer.state": b"FROZEN", "cgroup.freeze": b"1"}[name]
    assert group.written(name, len(frozen)) == frozen
    group.files.thaw()
    thawed = {"freezer.state": b"THAWED", "cgroup.freeze": b"0"}[name]
    assert group.written(name, len(thawed)) == thawed


def test_the_cpu_limit_is_written_in_the_version_s_form(group: Group, tmp_path: Path) -> None:
    group.files.limit_cpu(1769)
    if (tmp_path / "cpu.max").exists():
        assert group.written("cpu.max", 11) == b"20000 20000"
        group.files.limit_cpu(None)
        assert group.written("cpu.max", 9) == b"max 20000"
    else:
        assert group.written("cpu.cfs_quota_us", 5) == b"20000"
        group.files.limit_cpu(None)
        assert group.written("cpu.cfs_quota_us", 2) == b"-1"


def test_without_control_groups_nothing_is_done_and_nothing_is_known() -> None:
    files = CgroupFiles({})
    files.freeze()
    files.thaw()
    files.limit_cpu(128)
    assert (files.used_memory_bytes(), files.oom_kills()) == (0, 0)
    files.close()


def test_closing_gives_every_descriptor_back(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    group = Group(tmp_path, V2)
    group.files.close()
    group.files.close()
    assert os.listdir("/proc/self/fd") == before
