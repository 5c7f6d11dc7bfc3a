"""The events and responses of the last invocations, in memory alone.

Who looks for what went wrong wants to see them, and they may be anybody's data: so they are
never written to disk or to a log, are bounded in all, and go with the node. Writing happens
behind every answer, so it takes references to bytes that are there anyway, and is all that has
to be quick; reading looks through what is kept. Those that were written first make room.
"""

from collections import deque

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.values import dataclass

MEGABYTE = 1024 * 1024

MAX_PAYLOAD_BYTES = 256 * 1024
"""Of one event or response; of a longer one its beginning is kept."""

OVERHEAD_BYTES = 512
"""What an entry takes beside its payloads, at most: its request id, and headers of objects."""

_Entry = tuple[str, float, FunctionKey, bytes, int, bytes, int, int]
"""The request's id, when the attempt began, whose it is, and then as in `Payloads`."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """What one attempt was given and what it answered, or the beginning of it."""

    event: bytes
    event_bytes: int
    """Its whole length."""
    response: bytes
    response_bytes: int
    streamed_bytes: int
    """Of a streamed response, which went to its caller piece by piece and is not kept."""

    @property
    def is_event_cut(self) -> bool:
        return len(self.event) < self.event_bytes

    @property
    def is_response_cut(self) -> bool:
        return len(self.response) < self.response_bytes


class PayloadStore:
    """Used on the event loop alone. `since` is when it was made."""

    def __init__(self, limit_bytes: int, *, since: float) -> None:
        self.limit_bytes = limit_bytes
        self.since = since
        self._kept: deque[_Entry] = deque()
        self._bytes = 0

    @property
    def is_on(self) -> bool:
        return self.limit_bytes > 0

    def keep(
        self,
        key: FunctionKey,
        request_id: str,
        started_at: float,
        event: bytes,
        response: bytes,
        *,
        streamed_bytes: int = 0,
    ) -> None:
        """Keep what an attempt that began then was about, for as long as there is room."""
        if not self.limit_bytes:
            return
        event_bytes, response_bytes = len(event), len(response)
        if event_bytes > MAX_PAYLOAD_BYTES:
            event = event[:MAX_PAYLOAD_BYTES]
        if response_bytes > MAX_PAYLOAD_BYTES:
            response = response[:MAX_PAYLOAD_BYTES]
        self._kept.append(
            (
                request_id,
                started_at,
                key,
                event,
                event_bytes,
                response,
                response_bytes,
                streamed_bytes,
            )
        )
        self._bytes += len(event) + len(response) + OVERHEAD_BYTES
        while self._bytes > self.limit_bytes:
            oldest = self._kept.popleft()
            self._bytes -= len(oldest[3]) + len(oldest[5]) + OVERHEAD_BYTES

    def find(self, key: FunctionKey, request_id: str, started_ms: int) -> Payloads | None:
        """Return what is kept of an attempt, by when its record says that it began."""
        for entry in reversed(self._kept):
            if entry[0] == request_id and entry[2] == key and int(entry[1] * 1000) == started_ms:
                return Payloads(*entry[3:])
        return None
