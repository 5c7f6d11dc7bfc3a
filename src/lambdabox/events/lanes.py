"""Handle a shard's records side by side: lanes, each with the records of its keys, in order.

A lane waits for none of the others (ParallelizationFactor): one whose batch fails and fails
again holds up its own keys alone, until so much lies between it and the others that nothing
more is read. The checkpoint is where the slowest is.
"""

import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from lambdabox.domain.shard_progress import ShardProgress
from lambdabox.events.attention import Attention
from lambdabox.events.stream_batches import StreamBatches
from lambdabox.events.stream_source import StreamRecord

AHEAD_RECORDS = 10_000
"""How many records are read beyond the first that is not over."""
AHEAD_BYTES = 32 * 1024 * 1024
"""How much of them may be waiting to be handled."""

Save = Callable[[str], Awaitable[None]]
"""Stores that everything up to a sequence number is over."""


@dataclass(slots=True)
class _Lane:
    waiting: deque[tuple[int, StreamRecord]] = field(default_factory=deque)
    """Records with their numbers."""
    news: anyio.Event = field(default_factory=anyio.Event)


class Lanes:
    def __init__(
        self, shard: str, count: int, batch_size: int, handler: StreamBatches, save: Save
    ) -> None:
        self._shard = shard
        self._batch_size = batch_size
        self._handler = handler
        self._save = save
        self._saving = anyio.Lock()
        self._saved: str | None = None
        self._progress = ShardProgress()
        self._lanes = [_Lane() for _ in range(count)]
        self._ahead = max(AHEAD_RECORDS, 2 * count * batch_size)
        self._bytes = 0
        self._is_closing = False
        self._moved = anyio.Event()

    def begin(self, attention: Attention, tasks: TaskGroup) -> None:
        """Handle until `close`, or until told to stop."""
        for lane in self._lanes:
            tasks.start_soon(self._run, lane, attention)

    def close(self) -> None:
        """Nothing more is put: lanes end when they have nothing more to do."""
        self._is_closing = True
        for lane in self._lanes:
            lane.news.set()

    async def put(
        self, records: Sequence[StreamRecord], last: StreamRecord, attention: Attention
    ) -> bool:
        """Hand over what was read up to `last`; `records` of that are to be handled.

        Returns when more may be read; False if told to stop before.
        """
        for record in records:
            lane = self._lane(record)
            lane.waiting.append((self._progress.begin(record.sequence), record))
            self._bytes += len(record.event)
            lane.news.set()
        self._progress.read_to(last.sequence)
        await self._move()
        return await self._until(self._has_room, attention)

    async def drain(self, attention: Attention) -> bool:
        """Return when all that was put is over; False if told to stop before."""
        return await self._until(lambda: not self._progress.count, attention)

    def _has_room(self) -> bool:
        return self._progress.count < self._ahead and self._bytes < AHEAD_BYTES

    async def _until(self, condition: Callable[[], bool], attention: Attention) -> bool:
        while not condition():
            await attention.unless_stopped(self._moved.wait)
            if attention.is_stopping:
                return False
        return True

    def _lane(self, record: StreamRecord) -> _Lane:
        digest = zlib.crc32(record.key.encode(errors="surrogatepass"))
        return self._lanes[digest % len(self._lanes)]

    async def _run(self, lane: _Lane, attention: Attention) -> None:
        while True:
            lane.news = anyio.Event()
            if not lane.waiting:
                if self._is_closing:
                    return
                await attention.unless_stopped(lane.news.wait)
            if attention.is_stopping:
                return
            count = min(len(lane.waiting), self._batch_size)
            batch = [lane.waiting.popleft() for _ in range(count)]
            if batch and not await self._handle(batch, attention):
                return

    async def _handle(
        self, batch: Sequence[tuple[int, StreamRecord]], attention: Attention
    ) -> bool:
        under_way = deque(batch)

        async def done(last: StreamRecord) -> None:
            """What is over is over with everything before it in the batch."""
            while under_way:
                number, record = under_way.popleft()
                self._progress.end(number)
                self._bytes -= len(record.event)
                if record is last:
                    break
            await self._move()

        records = [record for _, record in batch]
        return await self._handler.handle(self._shard, records, attention, done)

    async def _move(self) -> None:
        """Store the place, if it is another: one after the other, so that it never goes back."""
        async with self._saving:
            place = self._progress.place
            if place is not None and place != self._saved:
                await self._save(place)
                self._saved = place
        self._moved.set()
        self._moved = anyio.Event()
