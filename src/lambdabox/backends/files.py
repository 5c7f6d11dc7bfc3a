"""Keep blobs as files named by the SHA-256 of their content.

A name says what the content is, so a blob is never changed and a second `put` of it
writes nothing. A blob appears under its name only when it is whole and on the disk:
`put` returns after the file and the directory that names it are synced. One process
owns the directory.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path

import anyio.to_thread
from anyio import CapacityLimiter

_DIGEST = re.compile(r"[0-9a-f]{64}")
_WRITERS = 4


class FileBlobStore:
    """A BlobStore in a directory. What an earlier process left half-written is removed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._limiter = CapacityLimiter(_WRITERS)
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self._incoming.iterdir():
            leftover.unlink()

    async def put(self, content: bytes) -> str:
        return await anyio.to_thread.run_sync(self._put, content, limiter=self._limiter)

    async def get(self, digest: str) -> bytes:
        return await anyio.to_thread.run_sync(self._get, digest, limiter=self._limiter)

    def path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is not a SHA-256 digest of 64 lower-case hex digits")
        return self._root / digest[:2] / digest[2:4] / digest

    async def delete(self, digest: str) -> None:
        await anyio.to_thread.run_sync(self._delete, digest, limiter=self._limiter)

    async def sweep(self, keep: Collection[str]) -> None:
        """Delete every blob but those in `keep`. Only while nothing is being put."""
        await anyio.to_thread.run_sync(self._sweep, frozenset(keep))

    def _put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        target = self.path(digest)
        if not target.exists():
            self._write(content, target)
        # Another writer may have just renamed this very blob into place and not yet synced
        # its name, so this call syncs too, whoever wrote the file.
        for directory in (target.parent, target.parent.parent, self._root):
            _sync_directory(directory)
        return digest

    def _write(self, content: bytes, target: Path) -> None:
        temporary = self._incoming / secrets.token_hex(16)
        try:
            with open(temporary, "xb", opener=_open_private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _get(self, digest: str) -> bytes:
        try:
            return self.path(digest).read_bytes()
        except (FileNotFoundError, ValueError) as exc:
            raise KeyError(digest) from exc

    def _sweep(self, keep: frozenset[str]) -> None:
        for blob in self._root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"):
            if blob.name not in keep:
                blob.unlink(missing_ok=True)

    def _delete(self, digest: str) -> None:
        if _DIGEST.fullmatch(digest):
            self.path(digest).unlink(missing_ok=True)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
