"""Bring telemetry to one listener inside a sandbox: buffered, bounded, at least once.

The listener is hostile code: it may refuse, hang, or answer without end. A batch is sent
again until it is accepted or the sandbox ends; meanwhile what does not fit into the buffer
is dropped, counted, and told to the listener as `platform.logsDropped`.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio

from lambdabox.runtime.telemetry_subscription import Buffering, Destination, SubscriptionRequest

Connect = Callable[[int], Awaitable[socket.socket]]
"""Connect to a port inside the sandbox; see `ports.Sandbox.connect`."""

ATTEMPT_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0
REST_SECONDS = 0.5
"""How long the rest of an answer is read, so that the listener can end it in an orderly way."""
_ANSWER_BYTES = 16 * 1024
_ITEM_BYTES = 100  # what a buffered item costs besides its text


class Buffer:
    """Events that wait to be sent. Takes twice a batch, and counts what it cannot take."""

    def __init__(self, buffering: Buffering) -> None:
        self._limits = buffering
        self._items: deque[bytes] = deque()
        self._bytes = 0
        self.dropped_records = 0
        self.dropped_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether there is enough for a batch."""
        limits = self._limits
        return len(self._items) >= limits.max_items or self._bytes >= limits.max_bytes

    def add(self, item: bytes) -> None:
        room = 2 * self._limits.max_bytes - self._bytes
        if len(self._items) >= 2 * self._limits.max_items or len(item) + _ITEM_BYTES > room:
            self.dropped_records += 1
            self.dropped_bytes += len(item)
            return
        self._items.append(item)
        self._bytes += len(item) + _ITEM_BYTES

    def take(self) -> list[bytes]:
        """Return the next batch: at least one item if there is any."""
        batch: list[bytes] = []
        size = 0
        while self._items and len(batch) < self._limits.max_items:
            size += len(self._items[0]) + _ITEM_BYTES
            if batch and size > self._limits.max_bytes:
                break
            batch.append(self._items.popleft())
            self._bytes -= len(batch[-1]) + _ITEM_BYTES
        return batch


class Subscriber:
    """One subscription's buffer and its deliveries. Runs while `serve` does."""

    def __init__(
        self,
        request: SubscriptionRequest,
        connect: Connect,
        dropped: Callable[[int, int], bytes],
    ) -> None:
        """`dropped` renders the event that tells of so many lost records and bytes."""
        self.request = request
        self._connect = connect
        self._dropped = dropped
        self._buffer = Buffer(request.buffering)
        self._loop = asyncio.get_running_loop()
        self._oldest = 0.0
        self._is_urgent = False
        self._changed = asyncio.Event()
        self._awake = asyncio.Event()
        self._awake.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._scope = anyio.CancelScope()
        self._tcp: asyncio.StreamWriter | None = None

    def add(self, item: bytes) -> None:
        if not self._buffer:
            self._oldest = self._loop.time()
            self._changed.set()
        self._idle.clear()
        self._buffer.add(item)
        if self._buffer.is_full:
            self._changed.set()

    def flush(self) -> None:
        """From now on send everything at once: the sandbox is about to end."""
        self._is_urgent = True
        self._changed.set()
        self.resume()

    async def flushed(self) -> None:
        """Return once the listener has accepted all there was, or nothing is delivered any more."""
        await self._idle.wait()

    def pause(self) -> None:
        """Begin no delivery for now: the sandbox is frozen and could not take it."""
        self._awake.clear()

    def resume(self) -> None:
        self._awake.set()

    def close(self) -> None:
        """Stop delivering. May be called twice."""
        self._scope.cancel()
        self._idle.set()

    async def serve(self) -> None:
        """Deliver until closed."""
        with self._scope:
            try:
                while True:
                    await self._due()
                    await self._deliver(self._take())
                    if not self._buffer:
                        self._idle.set()
            finally:
                self._drop_connection()

    async def _due(self) -> None:
        """Return when there is a batch to send."""
        while not self._buffer:
            await self._change()
        wait = self._oldest + self.request.buffering.timeout_ms / 1000 - self._loop.time()
        with anyio.move_on_after(wait):
            while not (self._buffer.is_full or self._is_urgent):
                await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _take(self) -> list[bytes]:
        batch, buffer = self._buffer.take(), self._buffer
        self._oldest = self._loop.time()
        if buffer.dropped_records:
            batch.insert(0, self._dropped(buffer.dropped_records, buffer.dropped_bytes))
            buffer.dropped_records = buffer.dropped_bytes = 0
        return batch

    async def _deliver(self, batch: Sequence[bytes]) -> None:
        delay = FIRST_RETRY_SECONDS
        await self._awake.wait()
        while not await self._attempt(batch):
            was_urgent = self._is_urgent
            with anyio.move_on_after(FIRST_RETRY_SECONDS if was_urgent else delay):
                while self._is_urgent == was_urgent:
                    await self._change()
            delay = min(2 * delay, LAST_RETRY_SECONDS)
            await self._awake.wait()

    async def _attempt(self, batch: Sequence[bytes]) -> bool:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                if self.request.destination.protocol == "TCP":
                    await self._send_lines(batch)
                    return True
                return await self._post(batch)
        except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError):
            self._drop_connection()
            return False

    async def _post(self, batch: Sequence[bytes]) -> bool:
        """Send the batch as a JSON array; return whether it was accepted."""
        destination, body = self.request.destination, b"[" + b",".join(batch) + b"]"
        reader, writer = await self._open(destination.port)
        try:
            writer.write(_head(destination, len(body)) + body)
            await writer.drain()
            status = (await reader.readuntil(b"\r\n")).split(None, 2)
            with anyio.move_on_after(REST_SECONDS):
                await reader.read(_ANSWER_BYTES)
            return status[0].startswith(b"HTTP/1.") and status[1].startswith(b"2")
        except IndexError:
            return False
        finally:
            writer.transport.abort()

    async def _send_lines(self, batch: Sequence[bytes]) -> None:
        """Send one event a line, over one connection for all batches."""
        if self._tcp is None or self._tcp.is_closing():
            _reader, self._tcp = await self._open(self.request.destination.port)
        self._tcp.write(b"\n".join(batch) + b"\n")
        await self._tcp.drain()

    async def _open(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = await self._connect(port)
        try:
            return await asyncio.open_connection(sock=connection, limit=_ANSWER_BYTES)
        except BaseException:
            connection.close()
            raise

    def _drop_connection(self) -> None:
        if self._tcp is not None:
            self._tcp.transport.abort()
            self._tcp = None


def _head(destination: Destination, length: int) -> bytes:
    return (
        f"POST {destination.path} HTTP/1.1\r\n"
        f"Host: {destination.host}:{destination.port}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {length}\r\n"
        "Connection: close\r\n\r\n"
    ).encode()
