"""What a function sees as /tmp: limited to its EphemeralStorage, on disk, and gone with it.

A volume belongs to an environment and may be attached to one sandbox after another, because a
reset keeps /tmp. It appears in no mount table but the sandbox's own. Where the machine has no
loop devices it is in memory, and then counts as the function's memory.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from lambdabox.isolation.guest import linux
from lambdabox.isolation.warden.images import Images, UnavailableError, inodes

USUAL_MIB = 512
_READY = 2


class Volume:
    """One empty directory with a limit. Its owner closes it."""

    def __init__(self, mount: int) -> None:
        self._mount = mount

    def clone(self) -> int:
        """Return a detached mount of it, to attach to a sandbox."""
        return linux.open_tree(self._mount)

    def close(self) -> None:
        """Let go of it. It ends with the last sandbox it is attached to. May be called twice."""
        if self._mount >= 0:
            os.close(self._mount)
            self._mount = -1


class Volumes:
    """Makes volumes, a few of the usual size ahead of need."""

    def __init__(self, directory: Path, *, on_disk: bool = True) -> None:
        self._images: Images | None = None
        self._ready: deque[Volume] = deque()
        self.lacks: str | None = "volumes on disk need root"
        """Why volumes are in memory; None if they are on disk."""
        if on_disk:
            self._try_disk(directory)

    def take(self, size_mib: int) -> Volume:
        """Return a new volume; the caller closes it."""
        if size_mib == USUAL_MIB and self._ready:
            return self._ready.popleft()
        return self._make(size_mib)

    def refill(self) -> None:
        """Make one ahead. To be called when there is nothing else to do."""
        if self._images is not None and len(self._ready) < _READY:
            self._ready.append(self._make(USUAL_MIB))

    def close(self) -> None:
        """Let go of what is ready. Volumes that were taken are their owners'."""
        while self._ready:
            self._ready.popleft().close()
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

    def _make(self, size_mib: int) -> Volume:
        if self._images is None:
            return _in_memory(size_mib)
        return Volume(self._images.mount(size_mib))


def _in_memory(size_mib: int) -> Volume:
    options: dict[str, str | None] = {
        "size": f"{size_mib}m",
        "nr_inodes": str(inodes(size_mib)),
        "mode": "1777",
    }
    attributes = linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
    return Volume(linux.new_filesystem("tmpfs", options, attributes))
