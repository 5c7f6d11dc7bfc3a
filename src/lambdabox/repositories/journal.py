"""Append to the journal: one batch of log events and usage records, one transaction.

The batch finds or makes its groups and streams, inserts its events and moves each
stream's marks. Stream ids are looked up anew every time: a cached one would outlive a
deleted stream and send events to where nobody can read them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, case, insert, select, update

from lambdabox.ports import Database, LogLine, LogStream, Usage
from lambdabox.repositories.journal_tables import log_events, log_streams, usage
from lambdabox.repositories.log_groups import (
    DAY_MS,
    GroupKey,
    ensure_group,
    insert_new,
    stream_row,
)

EVENT_OVERHEAD_BYTES = 26
"""What CloudWatch adds to each message when it counts bytes."""

_NAMES = 500  # in one IN (...), far below SQLite's limit of variables


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


def event_bytes(message: str) -> int:
    """What the message counts against quotas."""
    size = len(message) if message.isascii() else len(message.encode())
    return size + EVENT_OVERHEAD_BYTES


def _append(
    connection: Connection, lines: Sequence[LogLine], usages: Sequence[Usage], now_ms: int
) -> None:
    if lines:
        ids = _stream_ids(connection, {line.stream for line in lines}, now_ms)
        rows = [_event_row(line, ids[line.stream], now_ms) for line in lines]
        connection.execute(insert(log_events), rows)
        _move_marks(connection, rows, now_ms)
    if usages:
        connection.execute(insert(usage), [_usage_row(entry) for entry in usages])


def _event_row(line: LogLine, stream_id: int, now_ms: int) -> dict[str, Any]:
    return {
        "stream_id": stream_id,
        "timestamp_ms": line.timestamp_ms,
        "ingested_ms": now_ms,
        "size": event_bytes(line.message),
        "message": line.message,
    }


def _usage_row(entry: Usage) -> dict[str, Any]:
    started_ms = int(entry.started_at * 1000)
    return {
        "account": entry.account,
        "region": entry.region,
        "function_name": entry.function_name,
        "version": entry.version,
        "architecture": entry.architecture,
        "memory_mib": entry.memory_mib,
        "ephemeral_storage_mib": entry.ephemeral_storage_mib,
        "request_id": entry.request_id,
        "day": started_ms // DAY_MS,
        "started_ms": started_ms,
        "duration_ms": entry.duration_ms,
        "init_ms": entry.init_ms,
        "billed_ms": entry.billed_ms,
        "max_memory_mib": entry.max_memory_mib,
        "status": entry.status,
        "error_type": entry.error_type,
        "restore_ms": entry.restore_ms,
    }


def _stream_ids(
    connection: Connection, streams: set[LogStream], now_ms: int
) -> dict[LogStream, int]:
    groups: dict[GroupKey, list[LogStream]] = {}
    # In one order everywhere, so that two nodes' batches cannot deadlock in PostgreSQL.
    for stream in sorted(streams, key=lambda s: (s.account, s.region, s.group, s.name)):
        groups.setdefault(GroupKey(stream.account, stream.region, stream.group), []).append(stream)
    found: dict[LogStream, int] = {}
    for key, members in groups.items():
        owner = ensure_group(connection, key, now_ms)
        ids = _ids_in_group(connection, owner, [stream.name for stream in members], now_ms)
        found.update((stream, ids[stream.name]) for stream in members)
    return found


def _ids_in_group(
    connection: Connection, owner: int, names: Sequence[str], now_ms: int
) -> dict[str, int]:
    found = _find_streams(connection, owner, names)
    if missing := [name for name in names if name not in found]:
        insert_new(connection, log_streams, [stream_row(owner, name, now_ms) for name in missing])
        found |= _find_streams(connection, owner, missing)
    return found


def _find_streams(connection: Connection, owner: int, names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    columns = log_streams.c
    for start in range(0, len(names), _NAMES):
        query = (
            select(columns.name, columns.id)
            .where(columns.group_id == owner, columns.name.in_(names[start : start + _NAMES]))
            .order_by(columns.name)
            .with_for_update()  # in PostgreSQL a delete then waits until these events are in
        )
        found.update((name, stream_id) for name, stream_id in connection.execute(query))
    return found


def _move_marks(connection: Connection, rows: Sequence[Mapping[str, Any]], now_ms: int) -> None:
    marks: dict[int, dict[str, int]] = {}
    for row in rows:
        at = row["timestamp_ms"]
        mark = marks.setdefault(
            row["stream_id"], {"of": row["stream_id"], "first": at, "last": at, "added": 0}
        )
        mark["first"] = min(mark["first"], at)
        mark["last"] = max(mark["last"], at)
        mark["added"] += row["size"]
    columns = log_streams.c
    first: BindParameter[int] = bindparam("first")
    last: BindParameter[int] = bindparam("last")
    statement = update(log_streams).where(columns.id == bindparam("of"))
    connection.execute(
        statement.values(
            first_event_ms=case(
                (columns.first_event_ms < first, columns.first_event_ms), else_=first
            ),
            last_event_ms=case((columns.last_event_ms > last, columns.last_event_ms), else_=last),
            last_ingested_ms=now_ms,
            stored_bytes=columns.stored_bytes + bindparam("added"),
        ),
        list(marks.values()),
    )
