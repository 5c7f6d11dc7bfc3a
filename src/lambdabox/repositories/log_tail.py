"""Read what some log groups got since a position, whatever the times that events carry.

For those who follow groups as they grow. Positions are the rows' own numbers: they rise with
each event of any group, and a follower that has stored one goes on from there after a crash.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, tuple_

from lambdabox.ports import Database
from lambdabox.repositories.journal_tables import log_events, log_groups, log_streams
from lambdabox.repositories.log_groups import GroupKey

_EVENTS = 2_000


@dataclass(frozen=True, slots=True)
class TailEvent:
    id: int
    group: GroupKey
    stream: str
    timestamp_ms: int
    message: str


@dataclass(frozen=True, slots=True)
class Tail:
    """Events in the order in which they came, and where to go on. `is_all` if no more is there."""

    events: Sequence[TailEvent]
    position: int
    is_all: bool


class LogTail:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> int:
        """Return the position after which nothing has come yet."""
        return await self._database.read(_newest)

    async def after(self, position: int, groups: Collection[GroupKey]) -> Tail:
        """Return the first events of these groups after a position."""
        return await self._database.read(lambda connection: _after(connection, position, groups))


def _newest(connection: Connection) -> int:
    return connection.scalar(select(func.max(log_events.c.id))) or 0


def _after(connection: Connection, position: int, groups: Collection[GroupKey]) -> Tail:
    newest = _newest(connection)
    # The newest events may have been deleted, and their numbers are given again.
    position = min(position, newest)
    named = [(group.account, group.region, group.name) for group in groups]
    columns = log_groups.c
    query = (
        select(
            log_events.c.id, columns.account, columns.region, columns.name,
            log_streams.c.name, log_events.c.timestamp_ms, log_events.c.message,
        )
        .join(log_streams, log_streams.c.id == log_events.c.stream_id)
        .join(log_groups, log_groups.c.id == log_streams.c.group_id)
        .where(log_events.c.id > position, log_events.c.id <= newest)
        .where(tuple_(columns.account, columns.region, columns.name).in_(named))
        .order_by(log_events.c.id)
        .limit(_EVENTS)
    )  # fmt: skip
    events = [
        TailEvent(id, GroupKey(account, region, name), stream, timestamp_ms, message)
        for id, account, region, name, stream, timestamp_ms, message in connection.execute(query)
    ]
    is_all = len(events) < _EVENTS
    return Tail(events, newest if is_all else events[-1].id, is_all)
