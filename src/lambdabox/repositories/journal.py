"""Append to the journal: one batch of log events and usage records, one transaction.

The batch finds or makes its groups and streams, inserts its events and moves each
stream's marks. Stream ids are looked up anew every time: a cached one would outlive a
deleted stream and send events to where nobody can read them.

Usage records are added to their sums by minute, and values of metrics to theirs, in the same
transaction (`rollups`, `metric_points`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

from sqlalchemy import Connection

from lambdabox.domain.metrics import Datum
from lambdabox.ports import Database, LogLine, LogStream, Usage
from lambdabox.repositories.journal_streams import Mark, find_streams, move_marks, stream_ids
from lambdabox.repositories.journal_tables import log_events, usage
from lambdabox.repositories.log_groups import DAY_MS
from lambdabox.repositories.metric_points import add_data
from lambdabox.repositories.rollups import add_usages
from lambdabox.repositories.row_insert import RowInsert

EVENT_OVERHEAD_BYTES = 26
"""What CloudWatch adds to each message when it counts bytes."""


_INSERT_EVENTS = RowInsert(
    log_events, "stream_id", "timestamp_ms", "ingested_ms", "size", "message"
)
_INSERT_USAGE = RowInsert(usage, *(column.name for column in usage.c if column.name != "id"))


class Ending(NamedTuple):
    """What one invocation ended with."""

    lines: Sequence[LogLine]
    usage: Usage


JournalEntry = LogLine | Usage | Ending | Datum

Derive = Callable[[Sequence[LogLine], Sequence[Usage]], Sequence[Datum]]
"""Finds the values of metrics in a batch. Must not raise: the batch would never be stored."""


@dataclass(slots=True)
class _Batch:
    lines: list[LogLine] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    data: list[Datum] = field(default_factory=list)


class JournalWriter:
    """Appends batches. `derive` is asked in the database's thread, off the event loop."""

    def __init__(self, database: Database, derive: Derive | None = None) -> None:
        self._database = database
        self._derive = derive

    async def append(
        self, lines: Sequence[LogLine], usages: Sequence[Usage] = (), *, now_ms: int
    ) -> None:
        """Store all or nothing, making the groups and streams that are missing.

        The texts must be valid Unicode without NUL, which PostgreSQL cannot store.
        """
        await self.append_entries([*lines, *usages], now_ms=now_ms)

    async def append_entries(self, entries: Sequence[JournalEntry], *, now_ms: int) -> None:
        """Store lines and usage records as `append` does, sorting them out off the event loop."""
        await self._database.write(lambda c: self._append(c, _sorted_out(entries), now_ms))

    def _append(self, connection: Connection, batch: _Batch, now_ms: int) -> None:
        lines, usages = batch.lines, batch.usages
        ids = stream_ids(connection, {line.stream for line in lines}, now_ms)
        # A function that logs nothing has no log group either, so none is made for a record.
        others = {usage.stream for usage in usages if usage.stream is not None} - ids.keys()
        ids |= find_streams(connection, sorted(others))
        if lines:
            rows, marks = _event_rows(ids, lines, now_ms)
            _INSERT_EVENTS.run(connection, rows)
            move_marks(connection, marks, now_ms)
        if usages:
            _INSERT_USAGE.run(connection, [_usage_row(u, ids) for u in usages])
            add_usages(connection, usages)
        derived = self._derive(lines, usages) if self._derive is not None else ()
        if batch.data or derived:
            add_data(connection, [*batch.data, *derived])


def _sorted_out(entries: Sequence[JournalEntry]) -> _Batch:
    batch = _Batch()
    for entry in entries:
        if isinstance(entry, LogLine):
            batch.lines.append(entry)
        elif isinstance(entry, Ending):
            batch.lines += entry.lines
            batch.usages.append(entry.usage)
        elif isinstance(entry, Usage):
            batch.usages.append(entry)
        else:
            batch.data.append(entry)
    return batch


def event_bytes(message: str) -> int:
    """What the message counts against quotas."""
    size = len(message) if message.isascii() else len(message.encode())
    return size + EVENT_OVERHEAD_BYTES


def _event_rows(
    ids: Mapping[LogStream, int], lines: Sequence[LogLine], now_ms: int
) -> tuple[list[tuple[int, int, int, int, str]], Collection[Mark]]:
    marks: dict[int, Mark] = {}
    # An environment names its stream by one object, and an object's id is found much faster
    # than the four texts of a name.
    seen: dict[int, Mark] = {}
    rows = []
    for stream, at, message in lines:
        mark = seen.get(id(stream))
        if mark is None:
            stream_id = ids[stream]
            mark = seen[id(stream)] = marks.setdefault(stream_id, Mark(stream_id, at, at))
        size = event_bytes(message)
        mark.added += size
        if at > mark.last:
            mark.last = at
        elif at < mark.first:
            mark.first = at
        rows.append((mark.stream_id, at, now_ms, size, message))
    return rows, marks.values()


def _usage_row(entry: Usage, ids: Mapping[LogStream, int]) -> tuple[Any, ...]:
    """In the order of `_INSERT_USAGE`."""
    started_ms = int(entry.started_at * 1000)
    return (
        # Account, region, function, version, architecture, memory, storage and request.
        *entry[:8],
        started_ms // DAY_MS,
        started_ms,
        # A nanosecond is more than enough.
        round(entry.duration_ms, 6),
        None if entry.init_ms is None else round(entry.init_ms, 6),
        entry.billed_ms,
        entry.max_memory_mib,
        entry.status,
        entry.error_type,
        None if entry.restore_ms is None else round(entry.restore_ms, 6),
        entry.qualifier,
        str(entry.initialization),  # the driver is slow with an enum's member
        None if entry.queue_ms is None else round(entry.queue_ms, 6),
        ids.get(entry.stream) if entry.stream is not None else None,
        request_hash(entry.request_id),
    )


def request_hash(request_id: str) -> int:
    """Return what the index of request ids holds."""
    return crc32(request_id.encode())
