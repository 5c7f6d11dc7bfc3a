"""Read one shard: batch its records, have them handled, and remember how far that went."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.domain.stream_retry import delay_after
from lambdabox.events.attention import Attention
from lambdabox.events.batches import RECORDS_BYTES, Batches, NotRun, records_payload
from lambdabox.events.checkpoints import Checkpoint, Checkpoints, Position
from lambdabox.events.filtering import RecordFilter
from lambdabox.events.lanes import Lanes
from lambdabox.events.pollers import Report
from lambdabox.events.stream_batches import FAILED, StreamBatches, WindowFrame
from lambdabox.events.stream_source import (
    STREAM_LOST,
    Page,
    StreamRecord,
    StreamSource,
    has_code,
    is_since,
)
from lambdabox.events.trouble import Trouble
from lambdabox.events.windows import TumblingWindow
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

SHORT_PAUSE_SECONDS = 0.05
LONG_PAUSE_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0

Records = Sequence[StreamRecord]


@dataclass(slots=True)
class _Batch:
    """What was read: `records` got through the filters, `last` is the last of all."""

    records: list[StreamRecord]
    last: StreamRecord | None = None
    size: int = 0
    is_end: bool = False
    is_at_tip: bool = False
    """Whether there was nothing to read, and nothing is known to follow."""


class ShardReader:
    """Reads one shard for one mapping."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        checkpoint: Checkpoint,
        *,
        is_closed: bool,
        source: StreamSource,
        checkpoints: Checkpoints,
        handler: StreamBatches,
        batches: Batches,
        report: Report,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._settings = mapping.settings
        self._shard = checkpoint.shard
        self._checkpoint = checkpoint
        self._source = source
        self._checkpoints = checkpoints
        self._handler = handler
        self._batches = batches
        self._report = report
        self._trouble = Trouble(mapping, report)
        self._clock = clock
        self._filter = RecordFilter(mapping.kind, mapping.settings.filters)
        self._iterator: str | None = None
        self._window: TumblingWindow | None = None
        seconds = mapping.settings.tumbling_window_seconds
        if seconds:
            self._window = TumblingWindow(
                seconds, self._shard, mapping.source_arn or "", checkpoint.window
            )
        self._lanes: Lanes | None = None
        self._read_to = checkpoint
        """Where reading goes on: lanes are behind it."""
        # A window has one state, which one batch after the other adds to.
        self._width = 1 if seconds else mapping.settings.parallelization_factor
        self.is_closed = is_closed
        """Whether nothing is added to the shard any more; its owner says when it learns so."""

    async def run(self, attention: Attention) -> bool:
        """Read until told to stop, or to the end of the shard: then returns True."""
        if self._width == 1:
            return await self._follow(attention)
        size = self._settings.batch_size
        self._lanes = Lanes(self._shard, self._width, size, self._handler, self._save_place)
        async with anyio.create_task_group() as tasks:
            self._lanes.begin(attention, tasks)
            try:
                is_ended = await self._follow(attention)
            finally:
                self._lanes.close()
        return is_ended

    async def _follow(self, attention: Attention) -> bool:
        delay = 0.0
        while not attention.is_stopping:
            news = attention.news()
            try:
                batch = await self._collect(attention)
                await self._trouble.is_over()
            except AwsCallError as exc:
                self._iterator = None
                if has_code(exc, STREAM_LOST):
                    await self._trouble.tell_error(exc)
                else:
                    log.warning("%s: %s", self._mapping.arn, exc)
                delay = min(max(2 * delay, SHORT_PAUSE_SECONDS), LONGEST_BACKOFF_SECONDS)
                await attention.pause(delay, news)
                continue
            if batch.last is not None:
                delay = 0.0
                if not await self._handle(batch, attention):
                    return False
            if not await self._end_window(batch, attention):
                return False
            if batch.is_end:
                if self._lanes is not None and not await self._lanes.drain(attention):
                    return False
                await self._save(position=Position.END, window=None)
                return True
            if batch.last is None:
                delay = min(max(2 * delay, SHORT_PAUSE_SECONDS), LONG_PAUSE_SECONDS)
                await attention.pause(delay, news)
        return False

    async def _collect(self, attention: Attention) -> _Batch:
        """Read until the batch is full, its window is over, or there is nothing. Raises
        AwsCallError."""
        limit = self._settings.batch_size * self._width
        batch = _Batch([])
        until: float | None = None
        while True:
            news = attention.news()
            page = await self._read(limit - len(batch.records))
            self._add(batch, page)
            batch.is_end = page.iterator is None or self._is_drained(page)
            batch.is_at_tip = not page.records and page.is_at_tip is not False
            is_full = len(batch.records) >= limit or batch.size >= RECORDS_BYTES
            if until is None and batch.records:
                until = self._clock.monotonic() + (self._settings.window_seconds or 0)
            left = 0.0 if until is None else until - self._clock.monotonic()
            if is_full or batch.is_end or left <= 0 or attention.is_stopping:
                return batch
            if not page.records:
                await attention.pause(min(left, LONG_PAUSE_SECONDS), news)

    async def _read(self, limit: int) -> Page:
        if self._iterator is None:
            self._iterator = await self._source.iterator(self._shard, self._read_to)
        page = await self._source.read(self._shard, self._iterator, max(limit, 1))
        self._iterator = page.iterator
        return page

    def _is_drained(self, page: Page) -> bool:
        """Whether a closed shard has no more. Not every service ends its iterators then."""
        return self.is_closed and page.is_at_tip is True and not page.records

    def _add(self, batch: _Batch, page: Page) -> None:
        since = self._checkpoint.since if self._checkpoint.position is Position.SINCE else 0.0
        for record in page.records:
            batch.last = record
            if is_since(record.arrival, since) and self._filter.passes(record.record):
                batch.records.append(record)
                batch.size += len(record.event)

    async def _handle(self, batch: _Batch, attention: Attention) -> bool:
        """Have a batch handled, and move the checkpoint past it; False to stop before its end.

        Lanes do that while this goes on reading.
        """
        if self._lanes is not None and batch.last is not None:
            self._read_to = replace(
                self._read_to, position=Position.AFTER, sequence=batch.last.sequence
            )
            return await self._lanes.put(batch.records, batch.last, attention)
        if self._window is not None:
            is_done = await self._handle_windows(self._window, batch.records, attention)
        else:
            is_done = await self._handler.handle(
                self._shard, batch.records, attention, self._save_after
            )
        if is_done and batch.last is not None:
            await self._save_after(batch.last)
            self._read_to = self._checkpoint
        return is_done

    async def _handle_windows(
        self, window: TumblingWindow, records: Records, attention: Attention
    ) -> bool:
        frame = WindowFrame(window.head, window.take)
        for run in window.runs(records):
            is_due = window.ends_before(run[0]) or window.is_overfull
            if is_due and not await self._finish(window, attention):
                return False
            window.begin(run[0])
            if not await self._handler.handle(self._shard, run, attention, self._save_after, frame):
                return False
        return True

    async def _end_window(self, batch: _Batch, attention: Attention) -> bool:
        """End the window if nothing more can come into it; False to stop before it did.

        That its time is over says nothing about a reader that is behind.
        """
        window = self._window
        if window is None or window.current is None:
            return True
        is_over = batch.is_at_tip and window.is_over(self._clock.now())
        if not (is_over or batch.is_end or window.is_overfull):
            return True
        return await self._finish(window, attention)

    async def _finish(self, window: TumblingWindow, attention: Attention) -> bool:
        """Invoke the function for the last time in a window; False to stop before it did."""
        retries, limit = 0, self._settings.maximum_retry_attempts
        payload = records_payload([], window.head(is_final=True))
        while True:
            result = await self._batches.run(self._mapping, payload)
            has_run = not isinstance(result, NotRun)
            if not isinstance(result, NotRun) and not result.outcome.function_error:
                break
            await self._report(FAILED)
            if has_run and 0 <= limit <= retries:
                log.warning("the end of a window of %s was given up", self._mapping.arn)
                break
            await attention.pause(delay_after(retries))
            retries += 1
            if attention.is_stopping:
                return False
        window.end()
        await self._save(window=None)
        return True

    async def _save_after(self, record: StreamRecord) -> None:
        window = self._window.current if self._window is not None else None
        await self._save(position=Position.AFTER, sequence=record.sequence, window=window)

    async def _save_place(self, sequence: str) -> None:
        await self._save(position=Position.AFTER, sequence=sequence)

    async def _save(self, **changes: object) -> None:
        checkpoint = replace(self._checkpoint, **changes)  # type: ignore[arg-type]  # its fields
        if checkpoint == self._checkpoint:
            return
        await self._checkpoints.save(self._mapping, checkpoint)
        self._checkpoint = checkpoint
