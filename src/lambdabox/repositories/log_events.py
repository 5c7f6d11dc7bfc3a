"""Read log events in order, from one stream or from many as if they were one.

Events are ordered by (timestamp, id). Both are packed into one integer, the event's
key, which clients see as its id and send back inside page tokens.

A group's events are the merge of its streams. Streams mostly follow one another in
time, so one is opened only when the merge reaches it: a page costs what it returns and
not what the group holds.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select, tuple_

from lambdabox.ports import Database
from lambdabox.repositories.journal_reads import starts_with
from lambdabox.repositories.journal_tables import log_events, log_streams

_ID_BITS = 144
_MAX_INT64 = (1 << 63) - 1
_FETCH = 500


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    stream_name: str
    timestamp_ms: int
    ingested_ms: int
    size: int
    message: str

    @property
    def key(self) -> int:
        return event_key(self.timestamp_ms, self.id)


@dataclass(frozen=True, slots=True)
class Span:
    """A range of event keys, both ends included, and the way to walk it."""

    first: int
    last: int
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a page ends: at so many events or bytes kept, or events looked at."""

    events: int = 10_000
    bytes: int = 1_048_576
    scanned: int = 50_000
    scanned_bytes: int = 16_777_216


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order of the walk. `reached` is the last key looked at.

    `is_complete` says that the walk came to the end of its span.
    """

    events: Sequence[Event]
    reached: int | None
    is_complete: bool


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """Which of a group's streams to read: all, those named, or those with a prefix."""

    group_id: int
    names: Sequence[str] = ()
    prefixes: Sequence[str] = ()


def event_key(timestamp_ms: int, event_id: int) -> int:
    return (timestamp_ms << _ID_BITS) | event_id


def split_key(key: int) -> tuple[int, int]:
    """Return (timestamp, id), each cut to what a database column holds."""
    event_id = key & ((1 << _ID_BITS) - 1)
    return min(key >> _ID_BITS, _MAX_INT64), min(event_id, _MAX_INT64)


MAX_KEY = event_key(_MAX_INT64, _MAX_INT64)


class EventReader:
    """Each method reads one consistent snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self,
        streams: StreamChoice,
        span: Span,
        limits: Limits,
        *,
        keep: Callable[[str], bool] | None = None,
    ) -> Page:
        """Walk the span and return the events whose message `keep` accepts."""
        return await self._database.read(
            lambda connection: _page(_merge(connection, streams, span), limits, keep)
        )


def _page(events: Iterator[Event], limits: Limits, keep: Callable[[str], bool] | None) -> Page:
    kept: list[Event] = []
    reached: int | None = None
    size = scanned_bytes = 0
    for scanned, event in enumerate(events, start=1):
        accepted = keep is None or keep(event.message)
        if accepted and kept and size + event.size > limits.bytes:
            return Page(kept, reached, is_complete=False)
        reached = event.key
        scanned_bytes += event.size
        if accepted:
            kept.append(event)
            size += event.size
        looked = scanned >= limits.scanned or scanned_bytes >= limits.scanned_bytes
        if looked or len(kept) >= limits.events:
            return Page(kept, reached, is_complete=next(events, None) is None)
    return Page(kept, reached, is_complete=True)


def _merge(connection: Connection, streams: StreamChoice, span: Span) -> Iterator[Event]:
    """The events of all streams within the span, in its direction."""
    sign = -1 if span.backward else 1
    waiting = _open_in_turn(connection, streams, span)
    upcoming = next(waiting, None)
    opened: list[tuple[int, int, Event, Iterator[Event]]] = []
    while opened or upcoming:
        # A stream joins once the merge could reach its nearest event.
        if upcoming and (not opened or sign * upcoming[0] <= opened[0][0]):
            _push(opened, _stream_events(connection, upcoming[1], upcoming[2], span), sign)
            upcoming = next(waiting, None)
            continue
        _, _, event, rest = opened[0]
        heapq.heappop(opened)
        _push(opened, rest, sign)
        yield event


def _push(
    opened: list[tuple[int, int, Event, Iterator[Event]]], events: Iterator[Event], sign: int
) -> None:
    event = next(events, None)
    if event is not None:
        heapq.heappush(opened, (sign * event.key, event.id, event, events))


def _open_in_turn(
    connection: Connection, choice: StreamChoice, span: Span
) -> Iterator[tuple[int, int, str]]:
    """(nearest possible key, id, name) of the streams that meet the span, nearest first."""
    columns = log_streams.c
    mark = columns.last_event_ms if span.backward else columns.first_event_ms
    statement = (
        select(mark, columns.id, columns.name)
        .where(columns.group_id == choice.group_id, *_chosen(choice))
        .where(columns.last_event_ms >= split_key(span.first)[0])
        .where(columns.first_event_ms <= split_key(span.last)[0])
        .order_by(*([mark.desc(), columns.id.desc()] if span.backward else [mark, columns.id]))
    )
    edge = _MAX_INT64 if span.backward else 0
    for at, stream_id, name in connection.execute(statement).all():
        yield event_key(at, edge), stream_id, name


def _chosen(choice: StreamChoice) -> list[ColumnElement[bool]]:
    name = log_streams.c.name
    if choice.names:
        return [name.in_(choice.names)]
    if choice.prefixes:
        return [or_(*(starts_with(name, prefix) for prefix in choice.prefixes))]
    return []


def _stream_events(
    connection: Connection, stream_id: int, name: str, span: Span
) -> Iterator[Event]:
    first, last = span.first, span.last
    while True:
        rows = connection.execute(_chunk(stream_id, first, last, backward=span.backward)).all()
        for event_id, timestamp_ms, ingested_ms, size, message in rows:
            yield Event(event_id, name, timestamp_ms, ingested_ms, size, message)
        if len(rows) < _FETCH:
            return
        reached = event_key(rows[-1][1], rows[-1][0])
        first, last = (first, reached - 1) if span.backward else (reached + 1, last)


def _chunk(stream_id: int, first: int, last: int, *, backward: bool) -> Select[Any]:
    columns = log_events.c
    low, high = split_key(first), split_key(last)
    position = tuple_(columns.timestamp_ms, columns.id)
    order = [columns.timestamp_ms, columns.id]
    return (
        select(columns.id, columns.timestamp_ms, columns.ingested_ms, columns.size, columns.message)
        .where(columns.stream_id == stream_id, position >= low, position <= high)
        .order_by(*([column.desc() for column in order] if backward else order))
        .limit(_FETCH)
    )
