"""How fast a streamed response may go.

AWS lets the first 6 MB through as fast as they come and the rest at 2 MB a second: a bucket
of tokens that begins full. Pure, driven by the times it is told, so that a minute of
streaming is tested without one.
"""

from lambdabox.domain import limits


class Pacer:
    """The allowance of one response. Times are monotonic seconds."""

    def __init__(
        self,
        now: float,
        *,
        burst: int = limits.STREAM_BURST_BYTES,
        rate: int = limits.STREAM_BYTES_PER_SECOND,
    ) -> None:
        self._burst = float(burst)
        self._rate = rate
        self._tokens = self._burst
        self._filled_at = now

    def delay(self, size: int, now: float) -> float:
        """Count `size` bytes; return the seconds to wait before they may be sent."""
        refill = max(now - self._filled_at, 0.0) * self._rate
        self._tokens = min(self._tokens + refill, self._burst) - size
        self._filled_at = max(now, self._filled_at)
        return max(-self._tokens / self._rate, 0.0)
