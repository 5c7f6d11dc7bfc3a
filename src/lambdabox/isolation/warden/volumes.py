"""What a function sees as /tmp: limited to its EphemeralStorage, on disk, and gone with it.

A volume belongs to an environment and may be attached to one sandbox after another, because a
reset keeps /tmp. It appears in no mount table but the sandbox's own. Where the machine has no
loop devices it is in memory, and then counts as the function's memory.
To make one and to end it takes longer than all else that a sandbox needs, and most functions
write nothing: a volume that nobody has ever touched is handed out again.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from lambdabox.isolation.guest import linux, messages
from lambdabox.isolation.warden.images import Images, UnavailableError, inodes
from lambdabox.isolation.warden.volume_maker import VolumeMaker

USUAL_MIB = 512
_READY = 4
_MOST_READY = 64


class Volume:
    """One empty directory with a limit. Its owner closes it."""

    def __init__(self, mount: int, size_mib: int, drop: Callable[[int], None] = os.close) -> None:
        self.size_mib = size_mib
        self._mount = mount
        self._drop = drop
        self._state = self._look()

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was ever made, removed or even listed in it: no trace of its user."""
        return self._mount >= 0 and self._state == self._look()

    def clone(self) -> int:
        """Return a detached mount of it, to attach to a sandbox."""
        return linux.open_tree(self._mount)

    def close(self) -> None:
        """Let go of it. It ends with the last sandbox it is attached to. May be called twice."""
        if self._mount >= 0:
            self._drop(self._mount)
            self._mount = -1

    def _look(self) -> tuple[int, ...]:
        root, usage = os.fstat(self._mount), os.statvfs(self._mount)
        times = root.st_atime_ns, root.st_mtime_ns, root.st_ctime_ns
        return *times, root.st_mode, root.st_nlink, usage.f_bfree, usage.f_ffree


class Volumes:
    """Makes volumes, a few of the usual size ahead of need."""

    def __init__(self, directory: Path, *, on_disk: bool = True) -> None:
        self._images: Images | None = None
        self._maker: VolumeMaker | None = None
        self._ready: deque[Volume] = deque()
        self.lacks: str | None = "volumes on disk need root"
        """Why volumes are in memory; None if they are on disk."""
        if on_disk:
            self._try_disk(directory)

    def take(self, size_mib: int) -> Volume:
        """Return a new volume; the caller closes it."""
        if size_mib != USUAL_MIB:
            return self._make(size_mib)
        self.refill()
        if not self._ready:
            self._collect(wait=True)
        return self._ready.popleft() if self._ready else self._make(size_mib)

    def give_back(self, volume: Volume) -> None:
        """Take back a volume that no sandbox has any more."""
        is_usual = volume.size_mib == USUAL_MIB and len(self._ready) < _MOST_READY
        if self._images is not None and is_usual and volume.is_untouched:
            self._ready.append(volume)
        else:
            volume.close()

    def refill(self) -> None:
        """Have some made ahead, if any are missing. Never waits, and never raises."""
        if self._maker is None:
            return
        # What goes wrong is told to whoever takes one.
        with contextlib.suppress(messages.Closed, OSError):
            self._collect()
            missing = _READY - len(self._ready)
            while self._maker is not None and self._maker.coming(USUAL_MIB) < missing:
                self._maker.order(USUAL_MIB)

    def close(self) -> None:
        """Let go of what is ready. Volumes that were taken are their owners'."""
        while self._ready:
            self._ready.popleft().close()
        if self._maker is not None:
            self._maker.close()
            self._maker = None
        if self._images is not None:
            self._images.close()
            self._images = None

    def _try_disk(self, directory: Path) -> None:
        """Find out by doing it, for a container may show devices that it may not use."""
        made: Images | None = None
        try:
            made = Images(directory)
            os.close(made.mount(USUAL_MIB))
        except (UnavailableError, OSError) as exc:
            self.lacks = f"volumes cannot be on disk: {exc}"
            if made is not None:
                made.close()
        else:
            self._images, self.lacks = made, None
            self._maker = VolumeMaker(made)

    def _collect(self, *, wait: bool = False) -> None:
        """Take in what the maker has made; wait for one of the usual size if asked to."""
        if self._maker is None:
            return
        try:
            while found := self._maker.receive(wait=wait and self._maker.coming(USUAL_MIB) > 0):
                wait = False
                self._ready.append(Volume(found[1], found[0], self._maker.drop))
        except messages.Closed:
            self._maker.close()
            self._maker = None

    def _make(self, size_mib: int) -> Volume:
        if self._images is None:
            return _in_memory(size_mib)
        drop = self._maker.drop if self._maker is not None else os.close
        return Volume(self._images.mount(size_mib), size_mib, drop)


def _in_memory(size_mib: int) -> Volume:
    options: dict[str, str | None] = {
        "size": f"{size_mib}m",
        "nr_inodes": str(inodes(size_mib)),
        "mode": "1777",
    }
    attributes = linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
    return Volume(linux.new_filesystem("tmpfs", options, attributes), size_mib)
