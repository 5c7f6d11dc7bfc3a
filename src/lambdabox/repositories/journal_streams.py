"""Find, make and mark the log streams of a batch: all of them in one statement each.

A batch under load begins a stream for every environment that was started meanwhile. Asking
for each by itself took most of the time of the journal's writer, which the event loop has to
share the interpreter with. Statements are built once, for building one costs as much as
running it. (json_each is SQLite's; what does the same in PostgreSQL is jsonb_array_elements.)
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Insert,
    Table,
    Text,
    bindparam,
    case,
    func,
    literal,
    select,
    text,
    update,
)

from lambdabox.domain.values import dataclass
from lambdabox.ports import LogStream
from lambdabox.repositories.journal_tables import log_groups, log_streams
from lambdabox.repositories.json_rows import as_json
from lambdabox.repositories.log_groups import STANDARD

_now: BindParameter[int] = bindparam("now", type_=BigInteger)

# A JSON list of lists: account, region, group and name of each stream.
_wanted = func.json_each(bindparam("wanted", type_=Text)).table_valued("key", "value")
_account, _region, _group, _name = (
    func.json_extract(_wanted.c.value, f"$[{at}]") for at in range(4)
)
_is_its_group = (
    (log_groups.c.account == _account)
    & (log_groups.c.region == _region)
    & (log_groups.c.name == _group)
)
_FIND = (
    select(_wanted.c.key, log_streams.c.id)
    .where(_is_its_group, log_streams.c.group_id == log_groups.c.id, log_streams.c.name == _name)
    .order_by(_wanted.c.key)
    # In PostgreSQL a delete then waits until these events are in. In one order everywhere, so
    # that two nodes' batches cannot deadlock.
    .with_for_update(of=log_streams)
)
_NEW_GROUPS = (
    select(_account, _region, _group, _now, literal(STANDARD))
    .distinct()
    .where(text("1 = 1"))  # without one SQLite takes what follows for part of the FROM
)
_NEW_STREAMS = select(log_groups.c.id, _name, _now, literal(0)).where(_is_its_group)

# A JSON list of lists: a stream's id and what `Mark` says of it.
_marks = func.json_each(bindparam("marks", type_=Text)).table_valued("value")
_id, _first, _last, _added = (func.json_extract(_marks.c.value, f"$[{at}]") for at in range(4))
_columns = log_streams.c
_MOVE_MARKS = (
    update(log_streams)
    .where(_columns.id == _id)
    .values(
        first_event_ms=case(
            (_columns.first_event_ms < _first, _columns.first_event_ms), else_=_first
        ),
        last_event_ms=case((_columns.last_event_ms > _last, _columns.last_event_ms), else_=_last),
        last_ingested_ms=_now,
        stored_bytes=_columns.stored_bytes + _added,
    )
)


@dataclass(slots=True)
class Mark:
    """What a batch changes about one stream."""

    stream_id: int
    first: int
    last: int
    added: int = 0


def stream_ids(
    connection: Connection, streams: Iterable[LogStream], now_ms: int
) -> dict[LogStream, int]:
    """Return the ids of streams, made now if they are missing, and their groups too."""
    wanted = sorted(streams)
    found = find_streams(connection, wanted)
    if missing := [stream for stream in wanted if stream not in found]:
        _make(connection, missing, now_ms)
        found |= find_streams(connection, missing)
    if lost := next((stream for stream in missing if stream not in found), None):
        raise LookupError(f"log group {lost.group} was deleted while it was written to; try again")
    return found


def move_marks(connection: Connection, marks: Iterable[Mark], now_ms: int) -> None:
    """Take into account what the streams have been given."""
    rows = [(mark.stream_id, mark.first, mark.last, mark.added) for mark in marks]
    connection.execute(_MOVE_MARKS, {"marks": as_json(rows), "now": now_ms})


def find_streams(connection: Connection, wanted: Sequence[LogStream]) -> dict[LogStream, int]:
    """Return the ids of those that exist."""
    if not wanted:
        return {}
    rows = connection.execute(_FIND, {"wanted": _json(wanted)})
    return {wanted[key]: stream_id for key, stream_id in rows}


def _make(connection: Connection, missing: Sequence[LogStream], now_ms: int) -> None:
    values = {"wanted": _json(missing), "now": now_ms}
    for statement in _inserts(connection.dialect.name):
        connection.execute(statement, values)


def _json(streams: Sequence[LogStream]) -> str:
    rows = [(one.account, one.region, one.group, one.name) for one in streams]
    return as_json(rows)


@cache
def _inserts(dialect: str) -> tuple[Insert, Insert]:
    """What makes the groups, and then the streams, that do not exist already."""
    groups = ["account", "region", "name", "created_ms", "log_class"]
    streams = ["group_id", "name", "created_ms", "stored_bytes"]
    return (
        _unless_there(dialect, log_groups).from_select(groups, _NEW_GROUPS),
        _unless_there(dialect, log_streams).from_select(streams, _NEW_STREAMS),
    )


def _unless_there(dialect: str, table: Table) -> Any:
    # Deferred: a dialect costs a tenth of a second to import, and only one is in use.
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table).on_conflict_do_nothing()
