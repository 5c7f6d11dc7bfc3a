"""Notice that files of a directory have changed, within a fortieth of a second.

By looking, not by inotify: that needs a watch for each directory, misses what network and
container mounts change, and what has changed must be read from disk anyway. Looking at a
large tree takes time, so the pauses grow with it, and at most a fifth of a processor is used.
"""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lambdabox.cli.packaging import LEFT_OUT

PAUSE_SECONDS = 0.025
SETTLE_SECONDS = 0.01
LONGEST_SETTLING = 1.0
_SHARE = 4  # of pausing for each part of looking
_BY_EDITORS = (".swp", ".swx", "~", ".tmp", "4913")
"""Ends of names of files that editors make beside the one they save."""

Snapshot = Mapping[str, tuple[int, int, int]]


class Watcher:
    """Watches one directory; what there is when it is made counts as seen."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen = snapshot(root)

    def wait(self, seconds: float) -> list[str]:
        """Return the names of files changed since the last call; empty when `seconds` pass first.

        Files saved together are told together.
        """
        deadline = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            current = snapshot(self._root)
            if current != self._seen:
                return self._settled(current)
            now = time.monotonic()
            if now >= deadline:
                return []
            time.sleep(min(max(PAUSE_SECONDS, _SHARE * (now - began)), deadline - now))

    def _settled(self, current: Snapshot) -> list[str]:
        """Wait until nothing changes any more, so that no half-written file is taken."""
        deadline = time.monotonic() + LONGEST_SETTLING
        while time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)
            later = snapshot(self._root)
            if later == current:
                break
            current = later
        before, self._seen = self._seen, current
        return sorted(
            name for name in before.keys() | current.keys() if before.get(name) != current.get(name)
        )


def snapshot(root: Path) -> Snapshot:
    """Return what tells a changed file, of each file below `root` that would be deployed."""
    return dict(_files(str(root), len(str(root)) + 1))


def _files(directory: str, cut: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:  # just gone, or no directory any more
        return
    for entry in entries:
        if entry.name in LEFT_OUT or entry.name.endswith((".pyc", *_BY_EDITORS)):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, cut)
            continue
        try:
            state = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        yield entry.path[cut:], (state.st_mtime_ns, state.st_size, state.st_ino)
