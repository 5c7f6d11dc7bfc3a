"""Take log lines and usage records into memory, and write them in batches.

An invocation must never wait for its log, and a transaction for each line would cap the
node at the disk's speed. So entries are collected and written every tenth of a second,
or at once when there are many. A crash loses that tenth; an orderly stop loses nothing.

Values of metrics are added up by the minute and written with the next batch, so that a storm of
throttles costs a few rows.

Memory is bounded: beyond the bound, lines are dropped and counted, and the stream says
how many once the database keeps up again. Texts come from user code, so what a database
would refuse (lone surrogates, NUL, absurd times) is replaced on the way in: one bad line
must not hold back everybody's log.
"""

import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from sys import getsizeof

import anyio
import orjson
from anyio.abc import TaskStatus

from lambdabox.domain.limits import LOG_EVENT_BYTES, MEBIBYTE
from lambdabox.domain.metrics import MINUTE, Datum, Metric
from lambdabox.domain.summaries import Summary
from lambdabox.domain.values import dataclass
from lambdabox.ports import Clock, LogLine, LogStream, Usage
from lambdabox.repositories.journal import Ending, JournalEntry, JournalWriter

FLUSH_SECONDS = 0.1
LARGE_ENTRIES = 5_000
LARGE_BYTES = 4 * MEBIBYTE
BATCH_ENTRIES = 10_000
BATCH_BYTES = 16 * MEBIBYTE
WRITE_SECONDS = 30.0
STOP_SECONDS = 10.0
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0

BUFFER_BYTES = 64 * MEBIBYTE
USAGE_RESERVE_BYTES = 16 * MEBIBYTE
"""Memory that only usage may take, so that a noisy function cannot lose the bill."""

MEASURED = 10_000
"""Metrics that may have values waiting at once; more are counted as dropped."""

LINE_BYTES = 200  # what a buffered line costs besides its text
USAGE_BYTES = 1_000

MAX_TIMESTAMP_MS = 253_402_300_799_999  # the last millisecond of the year 9999
ERROR_TYPE_CHARS = 256

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lost:
    records: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    entries: Sequence[JournalEntry]
    count: int
    """Without values, and the reports of losses, which nobody has handed in."""
    bytes: int


class BufferedJournal:
    """A `ports.Journal` and `ports.Measurements`. Entries are taken on the event loop."""

    def __init__(
        self, writer: JournalWriter, clock: Clock, *, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._entries: deque[JournalEntry] = deque()
        self._costs: deque[int] = deque()
        self._bytes = 0
        self._taken = self._settled = 0
        self._unwritten: _Batch | None = None
        self._lost: dict[LogStream, _Lost] = {}
        self._measured: dict[tuple[Metric, int], Datum] = {}
        self._writing = anyio.Lock()
        self._some = anyio.Event()
        self._many = anyio.Event()
        self.dropped_lines = 0
        self.dropped_usages = 0
        self.dropped_values = 0

    def log(self, line: LogLine) -> None:
        cost = getsizeof(line.message) + LINE_BYTES
        if self._bytes + cost > self._buffer_bytes:
            self._lose(line)
            return
        message = storable(line.message, LOG_EVENT_BYTES)
        timestamp_ms = line.timestamp_ms
        if not 0 <= timestamp_ms <= MAX_TIMESTAMP_MS:
            timestamp_ms = int(self._clock.now() * 1000)
        if message is not line.message or timestamp_ms != line.timestamp_ms:
            line = LogLine(line.stream, timestamp_ms, message)
        self._append(line, cost)

    def usage(self, usage: Usage) -> None:
        if self._bytes + USAGE_BYTES > self._buffer_bytes + USAGE_RESERVE_BYTES:
            self.dropped_usages += 1
            return
        if usage.error_type is not None:
            error_type = storable(usage.error_type, ERROR_TYPE_CHARS)
            usage = usage._replace(error_type=error_type)
        self._append(usage, USAGE_BYTES)

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        cost = USAGE_BYTES + sum([LINE_BYTES + len(line.message) for line in lines])
        if usage.error_type is None and self._bytes + cost <= self._buffer_bytes:
            self._append(Ending(lines, usage), cost)
        else:
            for line in lines:
                self.log(line)
            self.usage(usage)

    def measure(self, metric: Metric, value: float, *, count: int = 1, unit: str = "Count") -> None:
        now = self._clock.now()
        place = (metric, int(now) // MINUTE)
        datum = self._measured.get(place)
        if datum is None:
            if len(self._measured) >= MEASURED:
                self.dropped_values += count
                return
            datum = self._measured[place] = Datum(metric, now, Summary(), unit)
        datum.values.add(value, count)
        self._some.set()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Write batches until cancelled, and then what is left."""
        task_status.started()
        try:
            while True:
                await self._some.wait()
                with anyio.move_on_after(FLUSH_SECONDS):
                    await self._many.wait()
                await self._flush_with_retries()
        finally:
            with anyio.move_on_after(STOP_SECONDS, shield=True):
                await self._flush_with_retries()
            if self._settled < self._taken:
                _log.error("Stopped with %d journal entries lost", self._taken - self._settled)

    async def flush(self) -> None:
        """Return once all that was taken before this call is durable, or raise why it is not."""
        target, told = self._taken, not self._has_uncounted
        # Losses are told once: under lasting overload there are always new ones. So are values.
        while self._settled < target or not told:
            async with self._writing:
                told = told or self._unwritten is None
                if self._settled < target or self._has_uncounted:
                    await self._write_batch()

    @property
    def _has_uncounted(self) -> bool:
        """Whether there may be losses or values to write, which nobody counts in."""
        return bool(self._lost or self._measured) or self._unwritten is not None

    async def _flush_with_retries(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await self.flush()
            except Exception:
                # A full disk or a database that is away must not end logging for good:
                # the batch is kept, memory is bounded, and the next attempt may work.
                _log.exception("Writing the journal failed; next attempt in %.1f s", delay)
                await self._clock.sleep(delay)
                delay = min(delay * 2, LAST_RETRY_SECONDS)
            else:
                return

    async def _write_batch(self) -> None:
        batch = self._unwritten = self._unwritten or self._take()
        # Shielded: of a write that was interrupted nobody knows whether it happened, and
        # to write its batch again could repeat it.
        with anyio.fail_after(WRITE_SECONDS, shield=True):
            now_ms = int(self._clock.now() * 1000)
            await self._writer.append_entries(batch.entries, now_ms=now_ms)
        self._unwritten = None
        self._bytes -= batch.bytes
        self._settled += batch.count

    def _take(self) -> _Batch:
        entries: list[JournalEntry] = []
        size = 0
        while self._entries and len(entries) < BATCH_ENTRIES and size < BATCH_BYTES:
            entries.append(self._entries.popleft())
            size += self._costs.popleft()
        if not self._entries:
            self._some, self._many = anyio.Event(), anyio.Event()
        measured, self._measured = self._measured, {}
        extra: list[JournalEntry] = [*measured.values(), *self._loss_reports()]
        return _Batch([*entries, *extra], len(entries), size)

    def _append(self, entry: JournalEntry, cost: int) -> None:
        self._entries.append(entry)
        self._costs.append(cost)
        self._bytes += cost
        self._taken += 1
        if len(self._entries) == 1:
            self._some.set()
        if len(self._entries) >= LARGE_ENTRIES or self._bytes >= LARGE_BYTES:
            self._many.set()

    def _lose(self, line: LogLine) -> None:
        self.dropped_lines += 1
        lost = self._lost.setdefault(line.stream, _Lost())
        lost.records += 1
        lost.bytes += len(line.message.encode("utf-8", "replace"))
        self._some.set()

    def _loss_reports(self) -> list[LogLine]:
        """One line for each stream that lost some. They are few, so no bound applies."""
        now = self._clock.now()
        lost, self._lost = self._lost, {}
        return [
            LogLine(stream, int(now * 1000), _loss_message(now, count))
            for stream, count in lost.items()
        ]


def storable(text: str, max_bytes: int) -> str:
    """Return `text`, itself if possible, as every database takes it."""
    if text.isascii() and "\x00" not in text:
        return text[:max_bytes]
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = text.encode("utf-8", "replace")
        text = encoded.decode()
    if len(encoded) > max_bytes:
        text = encoded[:max_bytes].decode("utf-8", "ignore")
    return text


def _loss_message(now: float, lost: _Lost) -> str:
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    record = {
        "droppedBytes": lost.bytes,
        "droppedRecords": lost.records,
        "reason": "The log buffer was full because the database could not keep up.",
    }
    event = {"time": at.replace("+00:00", "Z"), "type": "platform.logsDropped", "record": record}
    return orjson.dumps(event).decode()
