"""Whose turn it is: the ready messages of each group, as far as they are in memory.

Groups take turns, however long the backlog of one. Everything is in the table as well, so a
lane holds no more than a little of its group, and may forget it: it then reads on from where
it stopped. What has just been put goes through memory if its group has no backlog.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import field

from lambdabox.backends.queue_table import Entry, Found, Want
from lambdabox.domain.values import dataclass

HELD_BYTES = 16 * 1024 * 1024
HELD_ENTRIES = 8_192
READ_ROWS = 256
READ_BYTES = 1024 * 1024
LOW = 64
"""Of fewer entries a lane reads more."""
READ_AT_ONCE = 16

Room = Callable[[str], int]


@dataclass(slots=True)
class _Lane:
    entries: deque[Entry] = field(default_factory=deque)
    read_to: int = 0
    """Nothing ready up to this place has to be read from the table."""
    is_behind: bool = False
    """Whether there may be more in the table."""


class Lanes:
    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._bytes = 0
        self._count = 0

    def arrived(self, entry: Entry) -> None:
        """Take a message that the table holds by now. They come in the order of their places."""
        lane = self._lane(entry.message.group)
        if lane.is_behind or self._bytes >= HELD_BYTES or self._count >= HELD_ENTRIES:
            lane.is_behind = True
        else:
            lane.read_to = entry.seq
            self._hold(lane, entry)

    def fell_behind(self, group: str) -> None:
        """There is something to read in the table."""
        self._lane(group).is_behind = True

    def read(self, found: Found, lent: Collection[int]) -> None:
        """Take what was read, but for what is on loan."""
        group = found.want.group
        lane = self._lane(group)
        if lane.read_to != found.want.after:
            return  # it was told to forget what it held, and reads from there once more
        lane.read_to, lane.is_behind = found.last, found.has_more
        for entry in found.entries:
            if entry.seq not in lent:
                self._hold(lane, entry)
        self._drop_if_done(group, lane)
        if self._bytes > 2 * HELD_BYTES:
            self._forget_others(group)

    def put_back(self, entry: Entry) -> None:
        """A loan has ended: its message is the next of its group."""
        self._hold(self._lane(entry.message.group), entry, first=True)

    def take(self, limit: int, room: Room) -> list[Entry]:
        """Return up to `limit` entries, of each group in turn, and `room(group)` of it at most."""
        taken: list[Entry] = []
        turns = [(group, room(group)) for group, lane in self._lanes.items() if lane.entries]
        while turns and len(taken) < limit:
            again = []
            for group, left in turns:
                lane = self._lanes[group]
                if left <= 0 or not lane.entries:
                    continue
                if len(taken) == limit:
                    break
                taken.append(self._let_go(lane))
                self._lanes.move_to_end(group)
                again.append((group, left - 1))
            turns = again
        for entry in taken:
            group = entry.message.group
            if group in self._lanes:
                self._drop_if_done(group, self._lanes[group])
        return taken

    def wants(self, room: Room) -> list[Want]:
        """Return what should be read now, for groups of which something is wanted."""
        behind = (
            (group, lane)
            for group, lane in self._lanes.items()
            if lane.is_behind and len(lane.entries) < LOW and room(group) > 0
        )
        return [
            Want(group, lane.read_to, READ_ROWS, READ_BYTES)
            for (group, lane), _ in zip(behind, range(READ_AT_ONCE), strict=False)
        ]

    def _lane(self, group: str) -> _Lane:
        lane = self._lanes.get(group)
        if lane is None:
            lane = self._lanes[group] = _Lane()
        return lane

    def _hold(self, lane: _Lane, entry: Entry, *, first: bool = False) -> None:
        if first:
            lane.entries.appendleft(entry)
        else:
            lane.entries.append(entry)
        self._count += 1
        self._bytes += len(entry.message.body)

    def _let_go(self, lane: _Lane) -> Entry:
        entry = lane.entries.popleft()
        self._count -= 1
        self._bytes -= len(entry.message.body)
        return entry

    def _drop_if_done(self, group: str, lane: _Lane) -> None:
        if not lane.entries and not lane.is_behind:
            del self._lanes[group]

    def _forget_others(self, kept: str) -> None:
        """Leave to the table what groups hold that are not served."""
        for group, lane in self._lanes.items():
            if group != kept and lane.entries:
                lane.read_to = min(_places(lane.entries)) - 1
                lane.is_behind = True
                while lane.entries:
                    self._let_go(lane)


def _places(entries: Iterable[Entry]) -> Iterable[int]:
    return (entry.seq for entry in entries)
