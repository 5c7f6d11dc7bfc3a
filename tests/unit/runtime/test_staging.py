import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.runtime import archive, staging
from lambdabox.runtime.staging import Staging

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Blobs:
    """A BlobStore without durability."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def add(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.path(digest).write_bytes(content)
        return digest

    async def put(self, content: bytes) -> str:
        return self.add(content)

    async def get(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def path(self, digest: str) -> Path:
        return self.root / digest

    async def delete(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)


class Unpacker:
    """Counts unpackings and holds them until `go` is set. Stands for archive.unpack."""

    def __init__(self) -> None:
        self.started = 0
        self.go = threading.Event()
        self.go.set()
        self._unpack = archive.unpack

    def __call__(
        self, source: Path, target: Path, *, limit_bytes: int, writable: bool
    ) -> archive.ArchiveInfo:
        self.started += 1
        info = self._unpack(source, target, limit_bytes=limit_bytes, writable=writable)
        assert self.go.wait(20)
        return info


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "staged"


@pytest.fixture
def unpacker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Unpacker]:
    unpacker = Unpacker()
    monkeypatch.setattr(archive, "unpack", unpacker)
    yield unpacker
    unpacker.go.set()


def code(name: str = "app.py") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        writer.writestr(f"package/{name}", "x = 1")
    return file.getvalue()


def names(root: Path) -> set[str]:
    return {name for name in os.listdir(root) if name != ".boot-id"}


async def test_a_blob_is_unpacked_read_only(root: Path, blobs: Blobs) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    staged = await stage.stage(digest)
    assert (staged / "package/app.py").read_text() == "x = 1"
    modes = [
        p.stat().st_mode & 0o777 for p in (staged, staged / "package", staged / "package/app.py")
    ]
    assert modes == [0o555, 0o555, 0o444]


async def test_the_path_is_known_only_once_staged(root: Path, blobs: Blobs) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    assert stage.path(digest) is None
    staged = await stage.stage(digest)
    assert stage.path(digest) == staged


async def test_what_is_staged_is_not_unpacked_again(
    root: Path, blobs: Blobs, unpacker: Unpacker
) -> None:
    digest = blobs.add(code())
    first = await Staging(root, blobs).stage(digest)
    assert await Staging(root, blobs).stage(digest) == first
    assert unpacker.started == 1


async def test_callers_at_the_same_time_share_one_unpacking(
    root: Path, blobs: Blobs, unpacker: Unpacker
) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    staged: list[Path] = []

    async def call() -> None:
        staged.append(await stage.stage(digest))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call)
    assert unpacker.started == 1
    assert staged == [root / digest] * 20


async def test_nothing_is_visible_while_unpacking(
    root: Path, blobs: Blobs, unpacker: Unpacker
) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    unpacker.go.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.stage, digest)
        await anyio.wait_all_tasks_blocked()
        assert stage.path(digest) is None
        unpacker.go.set()
    assert stage.path(digest) is not None


async def test_a_cancelled_caller_does_not_spoil_it_for_the_others(
    root: Path, blobs: Blobs, unpacker: Unpacker
) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    unpacker.go.clear()
    async with anyio.create_task_group() as others:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(stage.stage, digest)
                await anyio.wait_all_tasks_blocked()
                others.start_soon(stage.stage, digest)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                unpacker.go.set()
    assert stage.path(digest) == root / digest


async def test_another_takes_over_from_a_caller_cancelled_before_it_started(
    root: Path, blobs: Blobs, unpacker: Unpacker
) -> None:
    stage = Staging(root, blobs)
    busy = [blobs.add(code(f"{n}.py")) for n in range(staging._UNPACKERS)]
    digest = blobs.add(code())
    unpacker.go.clear()
    async with anyio.create_task_group() as others:
        for other in busy:
            others.start_soon(stage.stage, other)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as first:
            first.start_soon(stage.stage, digest)
            await anyio.wait_all_tasks_blocked()
            others.start_soon(stage.stage, digest)
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        unpacker.go.set()
    assert stage.path(digest) == root / digest


async def test_a_bad_archive_is_told_to_all_who_wait_and_leaves_nothing(
    root: Path, blobs: Blobs, unpacker: Unpacker
) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(b"not a zip")
    refused: list[InvalidParameterValueException] = []

    async def call() -> None:
        try:
            await stage.stage(digest)
        except InvalidParameterValueException as exc:
            refused.append(exc)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(call)
    assert len(refused) == 5
    assert unpacker.started == 1
    assert names(root) == set()


async def test_a_failure_is_not_remembered(root: Path, blobs: Blobs) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    content = blobs.path(digest).read_bytes()
    blobs.path(digest).write_bytes(content[:-8] + b"damaged!")
    with pytest.raises(InvalidParameterValueException):
        await stage.stage(digest)
    blobs.path(digest).write_bytes(content)
    assert await stage.stage(digest) == root / digest


async def test_half_unpacked_content_is_removed_on_failure(root: Path, blobs: Blobs) -> None:
    content = bytearray(code())
    content[content.index(b"x = 1")] ^= 1
    with pytest.raises(InvalidParameterValueException):
        await Staging(root, blobs).stage(blobs.add(bytes(content)))
    assert names(root) == set()


async def test_a_blob_that_is_not_there_is_a_key_error(root: Path, blobs: Blobs) -> None:
    with pytest.raises(KeyError):
        await Staging(root, blobs).stage("0" * 64)


@pytest.mark.parametrize("digest", ["", "..", "../blobs", "A" * 64])
async def test_no_digest_leads_outside(digest: str, root: Path, blobs: Blobs) -> None:
    stage = Staging(root, blobs)
    for action in (stage.stage, stage.remove):
        with pytest.raises(ValueError, match="not a SHA-256 digest"):
            await action(digest)


async def test_leftovers_of_a_crash_are_removed_and_the_complete_kept(
    root: Path, blobs: Blobs
) -> None:
    digest = blobs.add(code())
    await Staging(root, blobs).stage(digest)
    for name in (".unpacking-1", ".removed-2"):
        (root / name / "deep").mkdir(parents=True)
        (root / name / "deep").chmod(0o555)
        (root / name).chmod(0o555)
    assert Staging(root, blobs).path(digest) is not None
    assert names(root) == {digest}


async def test_after_a_reboot_everything_is_unpacked_again(
    root: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = blobs.add(code())
    await Staging(root, blobs).stage(digest)
    (tmp_path / "boot").write_text("another boot\n")
    monkeypatch.setattr(staging, "_BOOT_ID", tmp_path / "boot")
    stage = Staging(root, blobs)
    assert stage.path(digest) is None
    assert await stage.stage(digest) == root / digest
    assert Staging(root, blobs).path(digest) is not None


async def test_removed_code_is_gone_and_can_be_staged_again(root: Path, blobs: Blobs) -> None:
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    await stage.stage(digest)
    await stage.remove(digest)
    assert stage.path(digest) is None
    assert names(root) == set()
    await stage.stage(digest)


async def test_code_that_is_being_removed_is_not_handed_out(
    root: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Staging(root, blobs)
    digest = blobs.add(code())
    await store.stage(digest)
    begun, go = threading.Event(), threading.Event()
    remove = staging._remove

    def remove_when_told(target: Path) -> None:
        begun.set()
        assert go.wait(20)
        remove(target)

    monkeypatch.setattr(staging, "_remove", remove_when_told)
    staged: list[Path] = []

    async def stage() -> None:
        staged.append(await store.stage(digest))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.remove, digest)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.start_soon(stage)
        await anyio.wait_all_tasks_blocked()
        assert staged == []  # although the directory is still there
        go.set()
    assert names(root) == {digest}
    assert staged == [root / digest]


async def test_removing_what_is_not_there_is_no_error(root: Path, blobs: Blobs) -> None:
    await Staging(root, blobs).remove("0" * 64)


async def test_removal_does_not_follow_links(root: Path, blobs: Blobs, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "kept").touch()
    stage = Staging(root, blobs)
    digest = blobs.add(code())
    staged = await stage.stage(digest)
    staged.chmod(0o755)
    (staged / "link").symlink_to(outside)
    outside.chmod(0o500)
    await stage.remove(digest)
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o500


async def test_a_sweep_keeps_what_is_referred_to_and_what_is_being_unpacked(
    root: Path, blobs: Blobs, unpacker: Unpacker
) -> None:
    stage = Staging(root, blobs)
    kept, swept, pending = (blobs.add(code(name)) for name in ("a", "b", "c"))
    await stage.stage(kept)
    await stage.stage(swept)
    unpacker.go.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.stage, pending)
        await anyio.wait_all_tasks_blocked()
        await stage.sweep([kept])
        unpacker.go.set()
    assert names(root) == {kept, pending}


async def test_unpacking_leaves_the_loop_free(root: Path, blobs: Blobs, unpacker: Unpacker) -> None:
    stage = Staging(root, blobs)
    unpacker.go.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.stage, blobs.add(code()))
        await anyio.wait_all_tasks_blocked()
        unpacker.go.set()  # reached only if the loop was not blocked


@pytest.fixture
def ordinary_user(root: Path, blobs: Blobs, tmp_path: Path) -> Iterator[None]:
    """Become a user without rights for the length of a test."""
    if os.geteuid() != 0:
        yield
        return
    root.mkdir()
    os.chown(root, 65534, 65534)
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    yield
    os.seteuid(0)


async def test_an_ordinary_user_can_stage_and_remove_read_only_code(
    blobs: Blobs, root: Path, request: pytest.FixtureRequest
) -> None:
    digest = blobs.add(code())
    blobs.path(digest).chmod(0o644)
    request.getfixturevalue("ordinary_user")
    stage = Staging(root, blobs)
    await stage.stage(digest)
    await stage.remove(digest)
    assert names(root) == set()
