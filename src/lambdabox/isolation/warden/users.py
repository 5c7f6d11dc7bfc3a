"""Host user ids for sandboxes: each has two of its own, which nothing else on the host has.

One for its first process, one for its user. Ids from 0x70000000 on are left unused by
distributions, containers and systemd; each data directory takes a range of them, so that
two nodes of one machine do not share an id.
"""

import hashlib
import os
from pathlib import Path

_FIRST = 0x70000000
_RANGES = 4096
_RANGE = 65536


class Users:
    """Gives out pairs of ids. `ids(0)` is the node's own user, twice."""

    def __init__(self, base: int | None) -> None:
        """`base` is the range's first id; None where ids cannot be chosen."""
        self._base = base
        self._free: list[int] = []
        self._next = 1

    def take(self) -> int:
        if self._base is None:
            return 0
        if self._free:
            return self._free.pop(0)
        if 2 * self._next + 1 >= _RANGE:
            raise OSError("no user id is left for another sandbox")
        self._next += 1
        return self._next - 1

    def give_back(self, user: int) -> None:
        if self._base is not None:
            self._free.append(user)

    def ids(self, user: int) -> list[int]:
        """The host's ids of a pair: of its first process and of its user."""
        if self._base is None:
            return [0]
        return [self._base + 2 * user, self._base + 2 * user + 1]


def base_of(data_directory: Path) -> int:
    """Return the first id of the range that belongs to a data directory."""
    digest = hashlib.sha256(os.fsencode(data_directory.resolve())).digest()
    return _FIRST + int.from_bytes(digest[:4], "big") % _RANGES * _RANGE


def can_be_given(base: int) -> bool:
    """Tell whether this process's user namespace has the range of ids that begins at `base`."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _outside, count = map(int, line.split())
        if first <= base and base + _RANGE <= first + count:
            return True
    return False
