"""Append to the journal: one batch of log events and usage records, one transaction.

The batch finds or makes its groups and streams, inserts its events and moves each
stream's marks. Stream ids are looked up anew every time: a cached one would outlive a
deleted stream and send events to where nobody can read them.

A batch's rows go to the database as one JSON text in one statement. A statement for each
row would give up the interpreter and ask for it again thousands of times a batch, against
the event loop that everything else runs on: that cost invocations a third of their rate.
(json_each is SQLite's; what does the same in PostgreSQL is jsonb_array_elements.)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Insert,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
)

from lambdabox.ports import Database, LogLine, Usage
from lambdabox.repositories.journal_streams import Mark, move_marks, stream_ids
from lambdabox.repositories.journal_tables import log_events, usage
from lambdabox.repositories.log_groups import DAY_MS

EVENT_OVERHEAD_BYTES = 26
"""What CloudWatch adds to each message when it counts bytes."""


def _insert_json(table: Table, *names: str, **fixed: BindParameter[Any]) -> Insert:
    """Return a statement that inserts `rows`, a JSON list of lists in the order of `names`."""
    row = func.json_each(bindparam("rows", type_=Text)).table_valued("value")
    cells = [func.json_extract(row.c.value, f"$[{at}]") for at in range(len(names))]
    return insert(table).from_select([*names, *fixed], select(*cells, *fixed.values()))


_INSERT_EVENTS = _insert_json(
    log_events,
    "stream_id",
    "timestamp_ms",
    "size",
    "message",
    ingested_ms=bindparam("now", type_=BigInteger),
)
_INSERT_USAGE = _insert_json(usage, *(column.name for column in usage.c if column.name != "id"))


class Ending(NamedTuple):
    """What one invocation ended with."""

    lines: Sequence[LogLine]
    usage: Usage


JournalEntry = LogLine | Usage | Ending


class JournalWriter:
    """Appends batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self, lines: Sequence[LogLine], usages: Sequence[Usage] = (), *, now_ms: int
    ) -> None:
        """Store all or nothing, making the groups and streams that are missing.

        The texts must be valid Unicode without NUL, which PostgreSQL cannot store.
        """
        await self._database.write(lambda c: _append(c, lines, usages, now_ms))

    async def append_entries(self, entries: Sequence[JournalEntry], *, now_ms: int) -> None:
        """Store lines and usage records as `append` does, sorting them out off the event loop."""
        await self._database.write(lambda c: _append(c, *_sorted_out(entries), now_ms))


def _sorted_out(entries: Sequence[JournalEntry]) -> tuple[list[LogLine], list[Usage]]:
    lines: list[LogLine] = []
    usages: list[Usage] = []
    for entry in entries:
        if isinstance(entry, LogLine):
            lines.append(entry)
        elif isinstance(entry, Usage):
            usages.append(entry)
        else:
            lines += entry.lines
            usages.append(entry.usage)
    return lines, usages


def event_bytes(message: str) -> int:
    """What the message counts against quotas."""
    size = len(message) if message.isascii() else len(message.encode())
    return size + EVENT_OVERHEAD_BYTES


def _append(
    connection: Connection, lines: Sequence[LogLine], usages: Sequence[Usage], now_ms: int
) -> None:
    if lines:
        rows, marks = _event_rows(connection, lines, now_ms)
        connection.execute(_INSERT_EVENTS, {"rows": _json(rows), "now": now_ms})
        move_marks(connection, marks, now_ms)
    if usages:
        connection.execute(_INSERT_USAGE, {"rows": _json([_usage_row(u) for u in usages])})


def _event_rows(
    connection: Connection, lines: Sequence[LogLine], now_ms: int
) -> tuple[list[tuple[int, int, int, str]], Sequence[Mark]]:
    first_lines = {line.stream: line for line in reversed(lines)}
    ids = stream_ids(connection, first_lines.keys(), now_ms)
    marks = {
        stream: Mark(ids[stream], line.timestamp_ms, line.timestamp_ms)
        for stream, line in first_lines.items()
    }
    rows = []
    for stream, at, message in lines:
        mark, size = marks[stream], event_bytes(message)
        mark.added += size
        if at > mark.last:
            mark.last = at
        elif at < mark.first:
            mark.first = at
        rows.append((mark.stream_id, at, size, message))
    return rows, list(marks.values())


def _usage_row(entry: Usage) -> tuple[Any, ...]:
    """In the order of `_INSERT_USAGE`."""
    started_ms = int(entry.started_at * 1000)
    return (
        entry.account,
        entry.region,
        entry.function_name,
        entry.version,
        entry.architecture,
        entry.memory_mib,
        entry.ephemeral_storage_mib,
        entry.request_id,
        started_ms // DAY_MS,
        started_ms,
        # SQLite reads numbers of up to fifteen digits exactly: a nanosecond is more than enough.
        round(entry.duration_ms, 6),
        None if entry.init_ms is None else round(entry.init_ms, 6),
        entry.billed_ms,
        entry.max_memory_mib,
        entry.status,
        entry.error_type,
        None if entry.restore_ms is None else round(entry.restore_ms, 6),
    )


def _json(rows: Sequence[tuple[Any, ...]]) -> str:
    return orjson.dumps(rows).decode()
