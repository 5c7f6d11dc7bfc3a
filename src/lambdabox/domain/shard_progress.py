"""How far a shard has been handled whose records are handled side by side.

A checkpoint is one place: everything before it is over. So it moves only when the earliest
record that is under way is over, up to the next one that is not.
"""

from collections import deque


class ShardProgress:
    """Records by number, in the order in which they were read."""

    def __init__(self) -> None:
        self._sequences: deque[str] = deque()
        """From the first that is not over on."""
        self._first = 0
        self._over: set[int] = set()
        self._read_to: str | None = None
        self._place: str | None = None

    @property
    def count(self) -> int:
        """How many records there are from the first that is not over on."""
        return len(self._sequences)

    @property
    def place(self) -> str | None:
        """The sequence number of the record up to which all is over; None before the first."""
        return self._place if self._sequences else self._read_to

    def begin(self, sequence: str) -> int:
        """Return the number of a record that is to be handled."""
        self._sequences.append(sequence)
        self._read_to = sequence
        return self._first + len(self._sequences) - 1

    def read_to(self, sequence: str) -> None:
        """Everything up to here was read; what was not begun needs no handling."""
        self._read_to = sequence

    def end(self, number: int) -> None:
        """The record is over. To say it twice changes nothing."""
        if number < self._first:
            return
        self._over.add(number)
        while self._first in self._over:
            self._over.remove(self._first)
            self._first += 1
            self._place = self._sequences.popleft()
