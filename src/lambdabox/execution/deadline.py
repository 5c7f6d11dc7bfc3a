"""A deadline for one event after another, at the cost of hardly any timers.

Nearly every event ends long before its deadline. So the timer of one event is left running
for those that follow: when it rings, it is set again for the deadline that counts by then.
"""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `expire` on the loop once the time that was last set has come. Close it at the end."""

    def __init__(self, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._at: float | None = None

    def set(self, seconds: float) -> None:
        """Expire in so many seconds, instead of when it was set to before."""
        self._at = self._loop.time() + seconds
        if self._timer is None or self._at < self._rings_at:
            self._wind(self._at)

    def clear(self) -> None:
        """Do not expire."""
        self._at = None

    def close(self) -> None:
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wind(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._at is None:
            return
        # Loops round to milliseconds: this may be a moment early.
        if self._at > self._loop.time():
            self._wind(self._at)
        else:
            self._at = None
            self._expire()
