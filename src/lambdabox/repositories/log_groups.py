"""Make, change and delete log groups and streams, and keep the journal small.

Deleting must be quick and removing a million events is not, so a deleted stream is
only detached (see `journal_tables`); `sweep` removes its events in bounded steps, as it
does the events that are past their group's retention.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.journal_tables import (
    log_events,
    log_group_tags,
    log_groups,
    log_streams,
    usage,
)

DAY_MS = 86_400_000
STANDARD = "STANDARD"


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What names a log group."""

    account: str
    region: str
    name: str


class LogGroups:
    """Changes to groups and streams. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        key: GroupKey,
        *,
        now_ms: int,
        log_class: str = STANDARD,
        tags: Mapping[str, str] | None = None,
    ) -> bool:
        """Return False, changing nothing, if the group exists."""
        return await self._database.write(lambda c: _create(c, key, log_class, tags or {}, now_ms))

    async def create_stream(self, key: GroupKey, name: str, *, now_ms: int) -> bool | None:
        """Return False if the stream exists, None if its group does not."""
        return await self._database.write(lambda c: _create_stream(c, key, name, now_ms))

    async def delete(self, key: GroupKey) -> bool:
        """Return False if there is no such group."""
        return await self._database.write(lambda c: _delete(c, key))

    async def delete_stream(self, key: GroupKey, name: str) -> bool | None:
        """Return False if there is no such stream, None if there is no such group."""
        return await self._database.write(lambda c: _delete_stream(c, key, name))

    async def set_retention(self, key: GroupKey, days: int | None) -> bool:
        """Return False if there is no such group. None keeps events forever."""
        statement = update(log_groups).where(is_group(key)).values(retention_days=days)
        return await self._database.write(lambda c: c.execute(statement).rowcount == 1)

    async def tag(
        self, key: GroupKey, *, added: Mapping[str, str], removed: Sequence[str] = ()
    ) -> bool:
        """Return False if there is no such group."""
        return await self._database.write(lambda c: _tag(c, key, added, removed))

    async def sweep(self, *, now_ms: int, batch: int = 5_000) -> int:
        """Remove at most `batch` events that are deleted or expired; return how many.

        Call again while it returns `batch`: other writes get their turn in between.
        """
        return await self._database.write(lambda c: _sweep(c, now_ms, batch))

    async def sweep_usage(self, *, before_day: int, batch: int = 5_000) -> int:
        """Remove at most `batch` usage records from before that day; return how many."""
        old = select(usage.c.id).where(usage.c.day < before_day).limit(batch)
        statement = delete(usage).where(usage.c.id.in_(old))
        return await self._database.write(lambda c: c.execute(statement).rowcount)


def is_group(key: GroupKey) -> ColumnElement[bool]:
    columns = log_groups.c
    return and_(
        columns.account == key.account, columns.region == key.region, columns.name == key.name
    )


def group_id(connection: Connection, key: GroupKey) -> int | None:
    found: int | None = connection.scalar(select(log_groups.c.id).where(is_group(key)))
    return found


def stream_row(owner: int, name: str, now_ms: int) -> dict[str, Any]:
    return {"group_id": owner, "name": name, "created_ms": now_ms, "stored_bytes": 0}


def _group_row(key: GroupKey, log_class: str, now_ms: int) -> dict[str, Any]:
    return {
        "account": key.account,
        "region": key.region,
        "name": key.name,
        "created_ms": now_ms,
        "log_class": log_class,
    }


def _create(
    connection: Connection, key: GroupKey, log_class: str, tags: Mapping[str, str], now_ms: int
) -> bool:
    if group_id(connection, key) is not None:
        return False
    made = (
        insert(log_groups).values(**_group_row(key, log_class, now_ms)).returning(log_groups.c.id)
    )
    _add_tags(connection, connection.execute(made).scalar_one(), tags)
    return True


def _add_tags(connection: Connection, owner: int, tags: Mapping[str, str]) -> None:
    rows = [{"group_id": owner, "tag": tag, "value": value} for tag, value in tags.items()]
    if rows:
        connection.execute(insert(log_group_tags), rows)


def _tag(
    connection: Connection, key: GroupKey, added: Mapping[str, str], removed: Sequence[str]
) -> bool:
    owner = group_id(connection, key)
    if owner is None:
        return False
    columns = log_group_tags.c
    replaced = [*removed, *added]
    connection.execute(
        delete(log_group_tags).where(columns.group_id == owner, columns.tag.in_(replaced))
    )
    _add_tags(connection, owner, added)
    return True


def _create_stream(connection: Connection, key: GroupKey, name: str, now_ms: int) -> bool | None:
    owner = group_id(connection, key)
    if owner is None:
        return None
    columns = log_streams.c
    query = select(columns.id).where(columns.group_id == owner, columns.name == name)
    if connection.scalar(query) is not None:
        return False
    connection.execute(insert(log_streams).values(**stream_row(owner, name, now_ms)))
    return True


def _delete(connection: Connection, key: GroupKey) -> bool:
    owner = group_id(connection, key)
    if owner is None:
        return False
    _detach(connection, log_streams.c.group_id == owner)
    connection.execute(delete(log_group_tags).where(log_group_tags.c.group_id == owner))
    connection.execute(delete(log_groups).where(log_groups.c.id == owner))
    return True


def _delete_stream(connection: Connection, key: GroupKey, name: str) -> bool | None:
    owner = group_id(connection, key)
    if owner is None:
        return None
    columns = log_streams.c
    return _detach(connection, and_(columns.group_id == owner, columns.name == name)) == 1


def _detach(connection: Connection, which: ColumnElement[bool]) -> int:
    statement = update(log_streams).where(which).values(group_id=-log_streams.c.id)
    return connection.execute(statement).rowcount


def _sweep(connection: Connection, now_ms: int, batch: int) -> int:
    removed = _remove_detached(connection, batch)
    policies = select(log_groups.c.id, log_groups.c.retention_days).where(
        log_groups.c.retention_days.is_not(None)
    )
    for owner, days in connection.execute(policies).all():
        if removed >= batch:
            break
        removed += _remove_expired(connection, owner, now_ms - days * DAY_MS, batch - removed)
    return removed


def _remove_detached(connection: Connection, batch: int) -> int:
    columns = log_streams.c
    detached = select(columns.id).where(columns.group_id < 0)
    doomed = select(log_events.c.id).where(log_events.c.stream_id.in_(detached)).limit(batch)
    removed = connection.execute(delete(log_events).where(log_events.c.id.in_(doomed))).rowcount
    if removed < batch:
        connection.execute(delete(log_streams).where(columns.group_id < 0))
    return removed


def _remove_expired(connection: Connection, owner: int, before_ms: int, batch: int) -> int:
    columns = log_streams.c
    query = (
        select(columns.id)
        .where(columns.group_id == owner, columns.first_event_ms < before_ms)
        .order_by(columns.first_event_ms)
        .limit(batch)
        .with_for_update()
    )
    removed = 0
    for stream_id in connection.scalars(query).all():
        removed += _expire_stream(connection, stream_id, before_ms, batch - removed)
        if removed >= batch:
            break
    return removed


def _expire_stream(connection: Connection, stream_id: int, before_ms: int, batch: int) -> int:
    events, columns = log_events.c, log_streams.c
    mine = events.stream_id == stream_id
    doomed = select(events.id).where(mine, events.timestamp_ms < before_ms).limit(batch)
    statement = delete(log_events).where(events.id.in_(doomed)).returning(events.size)
    sizes = connection.scalars(statement).all()
    first = connection.scalar(select(func.min(events.timestamp_ms)).where(mine))
    connection.execute(
        update(log_streams)
        .where(columns.id == stream_id)
        .values(first_event_ms=first, stored_bytes=columns.stored_bytes - sum(sizes))
    )
    if first is None:  # CloudWatch keeps empty streams; here each environment leaves one
        connection.execute(
            delete(log_streams).where(columns.id == stream_id, columns.last_ingested_ms < before_ms)
        )
    return len(sizes)
