"""What every BlobStore promises. A store joins by adding itself to `STORES`."""

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from lambdabox.backends.files import FileBlobStore
from lambdabox.ports import BlobStore

pytestmark = pytest.mark.anyio

Open = Callable[[], BlobStore]
"""Opens the store anew, as a restarted process would."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def file_store(folder: Path) -> Open:
    return lambda: FileBlobStore(folder / "blobs")


STORES = {"files": file_store}


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return STORES[request.param](tmp_path)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


CONTENT = b"the code of a function"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


async def test_a_blob_is_named_by_its_sha256(open_store: Open) -> None:
    assert await open_store().put(CONTENT) == DIGEST


async def test_a_blob_comes_back(open_store: Open) -> None:
    store = open_store()
    await store.put(CONTENT)
    assert await store.get(DIGEST) == CONTENT
    assert store.path(DIGEST).read_bytes() == CONTENT


async def test_an_empty_blob_comes_back(open_store: Open) -> None:
    store = open_store()
    assert await store.get(await store.put(b"")) == b""


async def test_a_blob_survives_a_restart(open_store: Open) -> None:
    await open_store().put(CONTENT)
    assert await open_store().get(DIGEST) == CONTENT


@pytest.mark.parametrize("digest", [DIGEST, "", "../../etc/passwd", DIGEST.upper()])
async def test_a_blob_that_is_not_there_is_a_key_error(digest: str, open_store: Open) -> None:
    with pytest.raises(KeyError):
        await open_store().get(digest)


async def test_a_deleted_blob_is_gone(open_store: Open) -> None:
    store = open_store()
    await store.put(CONTENT)
    await store.delete(DIGEST)
    with pytest.raises(KeyError):
        await store.get(DIGEST)


@pytest.mark.parametrize("digest", [DIGEST, "", "../../etc/passwd"])
async def test_deleting_what_is_not_there_is_no_error(digest: str, open_store: Open) -> None:
    await open_store().delete(digest)


async def test_a_deleted_blob_can_be_put_again(open_store: Open) -> None:
    store = open_store()
    await store.put(CONTENT)
    await store.delete(DIGEST)
    await store.put(CONTENT)
    assert await store.get(DIGEST) == CONTENT


async def test_writers_of_one_blob_at_the_same_time_all_succeed(open_store: Open) -> None:
    store = open_store()
    digests: list[str] = []

    async def put() -> None:
        digests.append(await store.put(CONTENT * 10_000))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(put)
    assert len(set(digests)) == 1
    assert await store.get(digests[0]) == CONTENT * 10_000


# What a directory adds.


async def test_a_file_that_exists_is_not_written_again(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    await store.put(CONTENT)
    before = store.path(DIGEST).stat()
    await store.put(CONTENT)
    after = store.path(DIGEST).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_leftovers_of_a_crash_are_removed_and_blobs_kept(tmp_path: Path) -> None:
    await FileBlobStore(tmp_path).put(CONTENT)
    (tmp_path / "incoming" / "half").write_bytes(b"half a blob")
    store = FileBlobStore(tmp_path)
    assert files_in(tmp_path) == [store.path(DIGEST)]


def promises_of_a_killed_writer(folder: Path) -> list[str]:
    """Kill a process in the middle of its writes; return the digests it had been given."""
    script = (
        "import sys, anyio, pathlib\n"
        "from lambdabox.backends.files import FileBlobStore\n"
        "async def main():\n"
        "    store = FileBlobStore(pathlib.Path(sys.argv[1]))\n"
        "    for n in range(100000):\n"
        "        print(await store.put(b'%d' % n * 50_000), flush=True)\n"
        "anyio.run(main)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, folder], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer, writer.stdout as output:
        promised = [output.readline().decode().strip() for _ in range(10)]
        writer.kill()
    return promised


async def test_a_killed_writer_has_kept_its_promises_and_left_whole_blobs(tmp_path: Path) -> None:
    promised = await anyio.to_thread.run_sync(promises_of_a_killed_writer, tmp_path)
    store = FileBlobStore(tmp_path)
    files = files_in(tmp_path)
    assert set(promised) <= {path.name for path in files}
    for path in files:
        assert hashlib.sha256(await store.get(path.name)).hexdigest() == path.name


async def test_a_failed_write_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = FileBlobStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            await store.put(CONTENT)
    assert files_in(tmp_path) == []
    assert await store.get(await store.put(CONTENT)) == CONTENT


async def test_content_and_name_are_synced_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    store = FileBlobStore(tmp_path)
    monkeypatch.setattr(os, "fsync", recording)
    await store.put(CONTENT)
    first, *directories = synced
    folder = store.path(DIGEST).parent
    assert Path(first).parent == tmp_path / "incoming"
    assert directories == [str(folder), str(folder.parent), str(tmp_path)]


async def test_blobs_are_private_to_the_platform(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path / "blobs")
    await store.put(CONTENT)
    assert store.path(DIGEST).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("digest", ["", "..", "../../etc/passwd", DIGEST.upper(), DIGEST + "\n"])
def test_no_path_leads_outside(digest: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a SHA-256 digest"):
        FileBlobStore(tmp_path).path(digest)
