"""How often something may happen: a bucket of tokens that is refilled all the time.

Kept as one number, the time at which the bucket will be full again, so that the decision is
two comparisons: it is made for every invocation.
"""

ROUNDING = 1e-9


class Rate:
    """So many each second on average, and `seconds`' worth of them at once. Starts full."""

    __slots__ = ("_full_at", "_interval", "_seconds")

    def __init__(self, per_second: float, *, seconds: float = 1.0) -> None:
        self._interval = 1.0 / per_second if per_second > 0 else float("inf")
        self._seconds = seconds + ROUNDING
        self._full_at = 0.0

    def take(self, now: float) -> bool:
        """Count one, if one is allowed; return whether it is."""
        full_at = self._full_at
        full_at = max(full_at, now)
        full_at += self._interval
        if full_at > now + self._seconds:
            return False
        self._full_at = full_at
        return True

    def give_back(self) -> None:
        """Forget one that was counted and did not happen."""
        self._full_at -= self._interval

    def delay(self, now: float) -> float:
        """Return the seconds until one is allowed."""
        return max(self._full_at + self._interval - self._seconds - now, 0.0)
