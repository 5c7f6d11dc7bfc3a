"""Volumes on a real kernel: their limit, their end, and that nothing of them stays."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import cgroups as support
from support.confined import need_root
from support.processes import eventually
from support.programs import missing
from support.sandboxes import named

from lambdabox.isolation.cgroup_files import CgroupFiles
from lambdabox.isolation.guest import linux
from lambdabox.isolation.warden import images
from lambdabox.isolation.warden.cgroups import Cgroups
from lambdabox.isolation.warden.volumes import USUAL_MIB, Volume, Volumes

MIB = 1024 * 1024


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where images are; afterwards no device, mount or file of them may be left."""
    need_root()
    mounts, descriptors = mounts_of_ext4(), os.listdir("/proc/self/fd")
    yield tmp_path / "volumes"
    assert eventually(lambda: not devices_of(tmp_path), within=10)
    assert mounts_of_ext4() == mounts
    assert os.listdir("/proc/self/fd") == descriptors


@pytest.fixture
def volumes(directory: Path) -> Iterator[Volumes]:
    volumes = Volumes(directory)
    if volumes.lacks:
        missing(volumes.lacks)
    yield volumes
    volumes.close()


@pytest.fixture(params=["on disk", "in memory"])
def either(request: pytest.FixtureRequest, directory: Path) -> Iterator[Volumes]:
    volumes = Volumes(directory, on_disk=request.param == "on disk")
    if request.param == "on disk" and volumes.lacks:
        missing(volumes.lacks)
    yield volumes
    volumes.close()


@pytest.fixture
def volume(either: Volumes) -> Iterator[Volume]:
    volume = either.take(USUAL_MIB)
    yield volume
    volume.close()


def devices_of(directory: Path) -> list[str]:
    """The loop devices whose file is below a directory, deleted or not."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = path.read_text()
        except OSError:
            continue  # it was let go of in between
        if backing.startswith(str(directory)):
            found.append(path.parts[3])
    return found


def mounts_of_ext4() -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if "/dev/loop" in line]


def path_of(tree: int) -> Path:
    return Path(f"/proc/self/fd/{tree}")


def fill(path: Path, *, at_most_mib: int) -> int:
    """Write until there is no more room; return the MiB written."""
    chunk = b"x" * MIB
    with path.open("wb", buffering=0) as file:
        for written in range(at_most_mib):
            try:
                file.write(chunk)
            except OSError:
                return written
    return at_most_mib


def test_a_volume_is_empty_and_open_to_everybody(volume: Volume) -> None:
    tree = volume.clone()
    assert list(path_of(tree).iterdir()) == []
    assert path_of(tree).stat().st_mode & 0o7777 == 0o1777
    os.close(tree)


def test_a_volume_has_no_room_beyond_its_size(volume: Volume) -> None:
    tree = volume.clone()
    written = fill(path_of(tree) / "file", at_most_mib=1000)
    assert USUAL_MIB <= written <= USUAL_MIB * 1.02
    (path_of(tree) / "file").unlink()
    assert fill(path_of(tree) / "again", at_most_mib=100) == 100
    os.close(tree)


def test_the_number_of_files_is_limited_too(volume: Volume) -> None:
    tree = volume.clone()
    assert os.statvfs(path_of(tree)).f_files <= images.inodes(USUAL_MIB) * 1.02
    os.close(tree)


def test_a_successor_sees_what_its_predecessor_wrote(volume: Volume) -> None:
    first = volume.clone()
    (path_of(first) / "kept").write_text("data")
    os.close(first)
    second = volume.clone()
    assert (path_of(second) / "kept").read_text() == "data"
    os.close(second)


def test_volumes_share_nothing(either: Volumes) -> None:
    one, other = either.take(USUAL_MIB), either.take(USUAL_MIB)
    trees = one.clone(), other.clone()
    (path_of(trees[0]) / "secret").write_text("x")
    assert list(path_of(trees[1]).iterdir()) == []
    for tree in trees:
        os.close(tree)
    one.close()
    other.close()
    other.close()


def test_devices_and_set_user_id_files_are_powerless(volume: Volume) -> None:
    tree = volume.clone()
    flags = os.statvfs(path_of(tree)).f_flag
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV
    assert not flags & os.ST_NOEXEC  # people unpack programs into /tmp
    os.close(tree)


@pytest.mark.parametrize("size_mib", [512, 1024, 3000, 10_240])
def test_every_size_has_the_room_it_promises(volumes: Volumes, size_mib: int) -> None:
    volume = volumes.take(size_mib)
    tree = volume.clone()
    usage = os.statvfs(path_of(tree))
    room = usage.f_bavail * usage.f_frsize / MIB
    assert size_mib <= room <= size_mib * 1.02
    os.close(tree)
    volume.close()


def test_room_that_was_freed_is_the_host_s_again(directory: Path) -> None:
    # On a file system of its own, so that its use is the images' alone.
    host = linux.new_filesystem("tmpfs", {"size": "1g"}, 0)
    # By its path for any process, since mkfs is another one.
    volumes = Volumes(Path(f"/proc/{os.getpid()}/fd/{host}/volumes"))
    if volumes.lacks:
        missing(volumes.lacks)
    volume = volumes.take(USUAL_MIB)
    tree = volume.clone()
    with (path_of(tree) / "file").open("wb") as file:
        file.write(b"x" * (100 * MIB))
        os.fsync(file.fileno())
    assert used_bytes(host) > 100 * MIB
    (path_of(tree) / "file").unlink()
    assert eventually(lambda: used_bytes(host) < 10 * MIB, within=10)
    os.close(tree)
    volume.close()
    volumes.close()
    os.close(host)


def used_bytes(tree: int) -> int:
    usage = os.statvfs(path_of(tree))
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


def test_what_is_written_to_disk_is_not_the_function_s_memory(
    volumes: Volumes, tmp_path: Path
) -> None:
    cgroups = Cgroups(support.legacy(tmp_path))
    group = cgroups.create("1")
    assert group is not None
    group.limit(64)
    files = CgroupFiles(group.node_descriptors())
    volume = volumes.take(USUAL_MIB)
    tree = volume.clone()
    body = f"""
os.fchdir({tree})
with open("file", "wb") as file:
    for _ in range(300):
        file.write(b"x" * (1 << 20))
print("written", flush=True); sys.stdin.read()
"""
    try:
        with support.inside(group, body, keep=[tree]) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            assert files.oom_kills() == 0
            assert files.used_memory_bytes() < 30 * MIB
    finally:
        os.close(tree)
        volume.close()
        files.close()
        cgroups.close()


def test_no_image_has_a_name_that_the_node_could_reach_it_by(
    volumes: Volumes, directory: Path
) -> None:
    volumes.take(USUAL_MIB).close()
    volumes.take(2 * USUAL_MIB).close()
    assert list(directory.iterdir()) == []


def test_what_is_ready_is_handed_out_once(volumes: Volumes) -> None:
    for _ in range(4):
        volumes.refill()
    taken = [volumes.take(USUAL_MIB) for _ in range(4)]
    trees = [volume.clone() for volume in taken]
    assert len({os.fstat(tree).st_dev for tree in trees}) == 4
    for tree in trees:
        os.close(tree)
    for volume in taken:
        volume.close()


def test_a_volume_that_nobody_touched_is_handed_out_again(volumes: Volumes) -> None:
    volume = volumes.take(USUAL_MIB)
    tree = volume.clone()
    device = os.fstat(tree).st_dev
    os.close(tree)
    volumes.give_back(volume)
    taken = [volumes.take(USUAL_MIB) for _ in range(6)]
    assert device in {device_of(one) for one in taken}
    for one in taken:
        one.close()


@pytest.mark.parametrize("touch", ["write", "write and remove", "list"])
def test_a_volume_that_was_touched_is_not_handed_out_again(volumes: Volumes, touch: str) -> None:
    volume = volumes.take(USUAL_MIB)
    tree = volume.clone()
    if touch == "list":
        os.listdir(path_of(tree))
    else:
        (path_of(tree) / "file").write_bytes(b"secret")
    if touch == "write and remove":
        (path_of(tree) / "file").unlink()
    os.close(tree)
    assert not volume.is_untouched
    volumes.give_back(volume)
    assert not volume.is_untouched  # it is closed


def test_a_killed_maker_is_done_without(volumes: Volumes, directory: Path) -> None:
    held = [volumes.take(USUAL_MIB)]
    [maker] = [pid for pid in named("lambdabox-tmp") if parent_of(pid) == os.getpid()]
    os.kill(maker, signal.SIGKILL)
    held += [volumes.take(USUAL_MIB) for _ in range(8)]
    assert len({device_of(one) for one in held}) == 9
    for one in held:
        one.close()


def device_of(volume: Volume) -> int:
    tree = volume.clone()
    try:
        return os.fstat(tree).st_dev
    finally:
        os.close(tree)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_nothing_is_left_when_the_owner_is_killed(directory: Path, tmp_path: Path) -> None:
    source = f"""
import signal, sys
from pathlib import Path
from lambdabox.isolation.warden.volumes import Volumes
volumes = Volumes(Path({str(directory)!r}))
kept = [volumes.take(512), volumes.take(1024)]
trees = [volume.clone() for volume in kept]
print("ready", flush=True)
signal.pause()
"""
    owner = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    assert len(devices_of(tmp_path)) >= 2  # and those made ahead
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    assert eventually(lambda: not devices_of(tmp_path), within=10)


def test_without_its_programs_a_volume_is_in_memory_and_says_why(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_PROGRAMS", ("/nowhere",))
    volumes = Volumes(directory)
    assert volumes.lacks is not None
    assert "mkfs.ext4 is not installed" in volumes.lacks
    volume = volumes.take(USUAL_MIB)
    volume.close()
    volumes.close()


def test_three_hundred_volumes_leave_nothing(volumes: Volumes, directory: Path) -> None:
    for _ in range(300):
        volumes.refill()
        volume = volumes.take(USUAL_MIB)
        tree = volume.clone()
        (path_of(tree) / "file").write_bytes(b"x" * 10_000)
        os.close(tree)
        volume.close()
    assert list(directory.iterdir()) == []
