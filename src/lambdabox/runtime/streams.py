"""A response that comes in pieces, between the transport that receives it and its taker.

A session gives each piece to the invocation's intake. One that nobody streams is collected
and becomes a plain response; one that somebody does goes through a buffer that stops the
transport, and so the function, while its reader is behind.
"""

import asyncio
from typing import Protocol

from lambdabox.domain import limits

HIGH_WATER_BYTES = 64 * 1024


class Flow(Protocol):
    """The transport that a response comes from."""

    def pause(self) -> None:
        """Read no more from the runtime. May be called twice."""

    def resume(self) -> None:
        """Read on. May be called without a pause, and after the end."""


class Intake(Protocol):
    """Takes one streamed response. No method waits or raises."""

    @property
    def limit(self) -> int:
        """The longest response allowed, in bytes."""

    @property
    def payload(self) -> bytes:
        """What has come so far and was not passed on."""

    def begin(self, content_type: str, flow: Flow) -> None: ...

    def feed(self, piece: bytes) -> bool:
        """Take the next piece; return False if the response is now longer than allowed."""

    def close(self) -> None:
        """No more is wanted, or comes. Pieces fed from now on are dropped."""


class Collector:
    """Gathers a response for a caller who wants it in one piece."""

    limit = limits.RESPONSE_BYTES

    def __init__(self) -> None:
        self._gathered = bytearray()
        self._is_closed = False

    @property
    def payload(self) -> bytes:
        return bytes(self._gathered)

    def begin(self, content_type: str, flow: Flow) -> None:
        pass

    def feed(self, piece: bytes) -> bool:
        if self._is_closed:
            return True
        self._gathered += piece
        return len(self._gathered) <= self.limit

    def close(self) -> None:
        self._is_closed = True
        self._gathered = bytearray()


class ResponseBuffer:
    """Holds a little of a response for one reader."""

    payload = b""

    def __init__(self, *, limit: int = limits.STREAMED_RESPONSE_BYTES) -> None:
        self.content_type: str | None = None
        """None until the response has begun."""
        self.limit = limit
        self._room = limit
        self._pieces: list[bytes] = []
        self._held = 0
        self._flow: Flow | None = None
        self._is_paused = False
        self._is_closed = False
        self._changed = asyncio.Event()

    def begin(self, content_type: str, flow: Flow) -> None:
        self.content_type = content_type
        self._flow = flow
        self._changed.set()

    def feed(self, piece: bytes) -> bool:
        if self._is_closed or not piece:
            return True
        self._room -= len(piece)
        if self._room < 0:
            return False
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > HIGH_WATER_BYTES and not self._is_paused and self._flow is not None:
            self._is_paused = True
            self._flow.pause()
        self._changed.set()
        return True

    def close(self) -> None:
        self._is_closed = True
        self._resume()
        self._changed.set()

    async def begun(self) -> str | None:
        """Return the content type once the response begins, None if it ended without."""
        while self.content_type is None and not self._is_closed:
            await self._change()
        return self.content_type

    async def read(self) -> bytes:
        """Return all that has come since the last call; nothing at the end."""
        while not self._pieces and not self._is_closed:
            await self._change()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        self._resume()
        return data

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _resume(self) -> None:
        if self._is_paused and self._flow is not None:
            self._is_paused = False
            self._flow.resume()
