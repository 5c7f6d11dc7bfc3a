"""How many events of each function may run at a time.

Functions share the consumer's places, and one whose events take long must not have them all:
it may have as many as are still free, which is half of them when it is alone. And events that
take a millisecond need few environments, however many wait: so a function may have only a few
that began just now. Those that take longer add up, a few more every moment.
"""

from lambdabox.ports import Clock

PLACES = 1_000
"""Events under way at a time, those included that are not settled yet."""
FRESH = 8
FRESH_SECONDS = 0.1


class Shares:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held = 0
        self._held_of: dict[str, int] = {}
        self._running: dict[str, dict[object, float]] = {}
        """When each began, in that order, by group."""

    @property
    def free(self) -> int:
        return PLACES - self._held

    @property
    def is_busy(self) -> bool:
        return self._held > 0

    def room(self, group: str) -> int:
        """Return how many more events of the group may begin now."""
        fresh, since = 0, self._clock.monotonic() - FRESH_SECONDS
        for began in reversed(self._running.get(group, {}).values()):
            if began <= since or fresh == FRESH:
                break
            fresh += 1
        # Each that begins takes one from those that are free and adds one to its function's.
        return min(FRESH - fresh, (self.free - self._held_of.get(group, 0) + 1) // 2)

    def hold(self, group: str) -> None:
        """An event of the group has a place, until `release`."""
        self._held += 1
        self._held_of[group] = self._held_of.get(group, 0) + 1

    def release(self, group: str) -> None:
        """The event is settled, or left to come back."""
        self._held -= 1
        self._held_of[group] -= 1
        if not self._held_of[group]:
            del self._held_of[group]

    def begin(self, group: str, event: object) -> None:
        self._running.setdefault(group, {})[event] = self._clock.monotonic()

    def end(self, group: str, event: object) -> None:
        """The event runs no longer, and may still have to be told of."""
        running = self._running.get(group, {})
        running.pop(event, None)
        if not running:
            self._running.pop(group, None)
