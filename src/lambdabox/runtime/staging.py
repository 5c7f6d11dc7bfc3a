"""Unpack code and layers once per digest, into directories that nobody writes to.

Every execution environment of a version, and every version with the same code, reads the
same directory. A directory carries its digest as its name only when it is complete, so a
process that dies half-way leaves nothing that could be taken for code. The directories
are a cache of the blob store and may be deleted while the platform is stopped.
"""

import os
import re
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from lambdabox.domain import limits
from lambdabox.domain.errors import ApiError
from lambdabox.ports import BlobStore
from lambdabox.runtime import archive

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNPACKERS = 2  # unpacking is bound by the processor and the disk, and others need both
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Attempt:
    """One unpacking, which any number of callers wait for."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.error: Exception | None = None


class Staging:
    """The staged directories under `root`, which one process owns.

    Creating it removes what an earlier process left unfinished, so it takes a moment.
    """

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self._root = root
        self._blobs = blobs
        self._attempts: dict[str, _Attempt] = {}
        self._removing: dict[str, anyio.Event] = {}
        self._unpacking = CapacityLimiter(_UNPACKERS)
        self._deleting = CapacityLimiter(1)
        root.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(root)

    def path(self, digest: str) -> Path | None:
        """Return the directory of `digest` if it is staged. Costs one system call."""
        staged = self._target(digest)
        return staged if staged.is_dir() else None

    async def stage(self, digest: str) -> Path:
        """Return the directory holding the unpacked blob, unpacking it if nobody has.

        Raises InvalidParameterValueException if the blob is not an acceptable archive, and
        KeyError if there is no such blob. A failure is told to those who wait for it now;
        the next caller tries again.
        """
        while (staged := self.path(digest)) is None or digest in self._removing:
            if (removal := self._removing.get(digest)) is not None:
                await removal.wait()
            elif (attempt := self._attempts.get(digest)) is None:
                await self._attempt(digest)
            else:
                # If whoever unpacks is cancelled before it starts, there is neither an
                # error nor a directory, and one of those who waited takes over.
                await attempt.done.wait()
                if attempt.error is not None:
                    raise attempt.error
        return staged

    async def remove(self, digest: str) -> None:
        """Delete the directory. One that is not there is no error.

        No sandbox may be using it any more.
        """
        if (attempt := self._attempts.get(digest)) is not None:
            await attempt.done.wait()
        if (removal := self._removing.get(digest)) is not None:
            await removal.wait()
            return
        removal = self._removing[digest] = anyio.Event()
        try:
            await anyio.to_thread.run_sync(_remove, self._target(digest), limiter=self._deleting)
        finally:
            del self._removing[digest]
            removal.set()

    async def sweep(self, keep: Collection[str]) -> None:
        """Delete every staged directory whose digest is not in `keep`.

        `keep` has to hold what is about to be staged too; unpackings under way are let be.
        """
        staged = await anyio.to_thread.run_sync(_staged, self._root, limiter=self._deleting)
        for digest in staged:
            if digest not in keep:
                await self.remove(digest)

    def _target(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is not a SHA-256 digest of 64 lower-case hex digits")
        return self._root / digest

    async def _attempt(self, digest: str) -> None:
        attempt = self._attempts[digest] = _Attempt()
        try:
            await anyio.to_thread.run_sync(
                _unpack, self._blobs.path(digest), self._target(digest), limiter=self._unpacking
            )
        except (ApiError, OSError, KeyError) as exc:
            attempt.error = exc
            raise
        finally:
            del self._attempts[digest]
            attempt.done.set()


def _unpack(blob: Path, target: Path) -> None:
    if not blob.exists():
        raise KeyError(target.name)
    temporary = target.with_name(f".unpacking-{secrets.token_hex(8)}")
    try:
        archive.unpack(blob, temporary, limit_bytes=limits.UNZIPPED_CODE_BYTES, writable=False)
        temporary.rename(target)
    except BaseException:
        if temporary.exists():
            _delete_tree(temporary)
        raise


def _remove(target: Path) -> None:
    """Take the name away first, so that what is half deleted is never taken for code."""
    removed = target.with_name(f".removed-{secrets.token_hex(8)}")
    try:
        target.rename(removed)
    except FileNotFoundError:
        return
    _delete_tree(removed)


def _staged(root: Path) -> list[str]:
    return [name for name in os.listdir(root) if _DIGEST.fullmatch(name)]


def _clear_leftovers(root: Path) -> None:
    """Delete what is unfinished and, after a reboot, everything.

    Staged files are not synced one by one, which would take longer than unpacking them
    again; so those written before a power failure may be empty.
    """
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"
    marker = root / ".boot-id"
    same_boot = marker.exists() and marker.read_text() == boot
    for entry in root.iterdir():
        if entry.is_dir() and not (same_boot and _DIGEST.fullmatch(entry.name)):
            _delete_tree(entry)
    marker.write_text(boot)


def _delete_tree(tree: Path) -> None:
    """Delete a tree whose directories are read-only. Links in it are not followed."""
    tree.chmod(0o700)
    for directory, names, _ in os.walk(tree):
        for name in names:
            child = Path(directory, name)
            if not child.is_symlink():
                child.chmod(0o700)
    shutil.rmtree(tree)
