"""Version 2 against a directory that behaves as the kernel's, for not every machine has it."""

import os
from pathlib import Path

import pytest

from lambdabox.isolation.warden import hierarchies
from lambdabox.isolation.warden.cgroups import Cgroup, Cgroups
from lambdabox.isolation.warden.hierarchies import Hierarchies

DATA = Path("/var/lib/lambdabox")
NAME = hierarchies.name_of(DATA)


def mounted(*trees: tuple[Path, str, str]) -> str:
    """The lines of /proc/self/mountinfo for control groups, among others."""
    lines = ["21 1 0:5 / /proc rw,relatime - proc proc rw"]
    lines += [f"30 21 0:26 / {p} rw shared:9 - {kind} cgroup rw,{o}" for p, kind, o in trees]
    return "\n".join(lines) + "\n"


def unified(root: Path, controllers: str) -> str:
    (root / "cgroup.controllers").write_text(controllers + "\n")
    (root / "cgroup.subtree_control").write_text("")
    return mounted((root, "cgroup2", "nsdelegate"))


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a new directory have what the kernel puts into a new group."""
    make = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        fresh = not path.exists()
        make(path, mode, parents, exist_ok)
        if fresh and (path.parent / "cgroup.subtree_control").exists():
            for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.freeze"):
                (path / name).write_text("")
            for name in ("memory.max", "memory.swap.max", "memory.stat", "memory.events"):
                (path / name).write_text("")
            for name in ("pids.max", "cpu.max"):
                (path / name).write_text("")

    monkeypatch.setattr(Path, "mkdir", mkdir)


def test_version_2_uses_the_top_of_the_tree_and_enables_what_it_needs(tmp_path: Path) -> None:
    found = hierarchies.find(DATA, mounts=unified(tmp_path, "cpu io memory pids"), own="0::/\n")
    assert found == Hierarchies(
        2, dict.fromkeys(("memory", "pids", "cpu", "freezer"), tmp_path / NAME)
    )
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (tmp_path / NAME / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert found.lacks == []


def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    found = hierarchies.find(DATA, mounts=unified(tmp_path, "memory pids"), own="0::/\n")
    assert found is not None
    assert found.lacks == ["cpu"]


def test_an_ordinary_user_gets_what_was_delegated(tmp_path: Path) -> None:
    mounts = unified(tmp_path, "")
    service = tmp_path / "user.slice" / "lambdabox.service"
    service.mkdir(parents=True)
    (service / "cgroup.controllers").write_text("memory pids\n")
    (service / "cgroup.subtree_control").write_text("memory pids\n")
    found = hierarchies.find(DATA, mounts=mounts, own="0::/user.slice/lambdabox.service\n")
    assert found is not None
    assert found.roots == [service / NAME]
    # And again from the group into which its processes may have been moved.
    own = "1:name=x:/\n0::/user.slice/lambdabox.service/node\n"
    assert hierarchies.find(DATA, mounts=mounts, own=own) == found


def test_where_controllers_belong_to_version_1_it_is_used(tmp_path: Path) -> None:
    for name in ("unified", "memory", "cpu,cpuacct", "freezer"):
        (tmp_path / name).mkdir()
    mounts = unified(tmp_path / "unified", "hugetlb") + mounted(
        (tmp_path / "memory", "cgroup", "memory"),
        (tmp_path / "cpu,cpuacct", "cgroup", "cpu,cpuacct"),
        (tmp_path / "freezer", "cgroup", "freezer"),
    )
    found = hierarchies.find(DATA, mounts=mounts, own="4:memory:/\n0::/\n")
    assert found is not None
    assert found.version == 1
    assert found.directories["cpu"] == tmp_path / "cpu,cpuacct" / NAME
    assert found.lacks == ["pids"]


def test_without_control_groups_everything_is_lacking() -> None:
    assert hierarchies.find(DATA, mounts=mounted(), own="") is None
    cgroups = Cgroups(None)
    assert cgroups.lacks == ["memory", "pids", "cpu", "freezer"]
    assert cgroups.create("1") is None
    cgroups.close()


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    root = tmp_path / "a b"
    root.mkdir()
    mounts = unified(root, "memory").replace("a b", r"a\040b")
    found = hierarchies.find(DATA, mounts=mounts, own="0::/\n")
    assert found is not None
    assert found.roots == [root / NAME]


def test_two_data_directories_have_two_names() -> None:
    assert hierarchies.name_of(Path("/a")) != hierarchies.name_of(Path("/b"))
    assert hierarchies.name_of(Path("/a/../b")) == hierarchies.name_of(Path("/b"))


def test_limits_of_version_2_are_written_in_its_form(tmp_path: Path) -> None:
    found = hierarchies.find(DATA, mounts=unified(tmp_path, "cpu memory pids"), own="0::/\n")
    assert found is not None
    cgroup = Cgroup(found, "7")
    cgroup.make()
    cgroup.limit(128)
    cgroup.set_cpu(1769)
    root = tmp_path / NAME / "7"
    written = {name: (root / name).read_text() for name in ("memory.max", "memory.swap.max")}
    assert written == {"memory.max": "134217728", "memory.swap.max": "0"}
    assert (root / "cpu.max").read_text() == "20000 20000"
    assert (root / "pids.max").read_text() == "1025"
    descriptors = cgroup.node_descriptors()
    assert sorted(descriptors) == ["cgroup.freeze", "cpu.max", "memory.events", "memory.stat"]
    attach = cgroup.attach_descriptors()
    assert [os.readlink(f"/proc/self/fd/{d}") for d in attach] == [str(root / "cgroup.procs")]
    for descriptor in (*attach, *descriptors.values()):
        os.close(descriptor)
