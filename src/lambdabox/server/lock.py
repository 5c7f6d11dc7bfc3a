"""One node per data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DataDirectoryInUse(Exception):
    """Another node holds the data directory."""


@contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Hold `directory` for the block; the kernel lets go of it however the node ends.

    Raises DataDirectoryInUse.
    """
    path = directory / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            raise DataDirectoryInUse(
                f"The data directory {directory} is in use by another node (process "
                f"{holder or 'unknown'}). Stop that node, or name another --data-dir."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
