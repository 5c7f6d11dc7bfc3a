"""Read the journal: log groups and streams, a page at a time.

Pages continue after the last item's sort key (never at an offset), so rows that come
and go between two pages neither repeat nor hide others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, select, tuple_

from lambdabox.ports import Database
from lambdabox.repositories.journal_tables import log_group_tags, log_groups, log_streams
from lambdabox.repositories.log_groups import GroupKey, is_group


@dataclass(frozen=True, slots=True)
class Group:
    id: int
    name: str
    created_ms: int
    retention_days: int | None
    log_class: str
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Stream:
    id: int
    name: str
    created_ms: int
    first_event_ms: int | None
    last_event_ms: int | None
    last_ingested_ms: int | None


@dataclass(frozen=True, slots=True)
class GroupQuery:
    """Which groups to list. Empty texts and sequences ask for nothing in particular."""

    account: str
    region: str
    prefix: str = ""
    containing: str = ""
    classes: Sequence[str] = ()
    names: Sequence[str] = ()


class JournalReader:
    """Each method reads one consistent snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def group(self, key: GroupKey) -> Group | None:
        rows = await self._rows(_groups().where(is_group(key)))
        return Group(*rows[0]) if rows else None

    async def groups(self, query: GroupQuery, *, after: str, limit: int) -> list[Group]:
        """Up to `limit` groups by name, from the first one after `after`."""
        columns = log_groups.c
        statement = (
            _groups()
            .where(columns.account == query.account, columns.region == query.region)
            .where(*_group_filters(query), columns.name > after)
            .order_by(columns.name)
            .limit(limit)
        )
        return [Group(*row) for row in await self._rows(statement)]

    async def tags(self, key: GroupKey) -> Mapping[str, str]:
        statement = (
            select(log_group_tags.c.tag, log_group_tags.c.value)
            .join(log_groups, log_groups.c.id == log_group_tags.c.group_id)
            .where(is_group(key))
        )
        return {row[0]: row[1] for row in await self._rows(statement)}

    async def stream(self, group_id: int, name: str) -> Stream | None:
        rows = await self._rows(_streams(group_id).where(log_streams.c.name == name))
        return Stream(*rows[0]) if rows else None

    async def streams_by_name(
        self, group_id: int, *, prefix: str, after: str, limit: int, descending: bool
    ) -> list[Stream]:
        """Up to `limit` streams in order of name, beyond `after` unless that is empty."""
        name = log_streams.c.name
        statement = _streams(group_id).order_by(name.desc() if descending else name).limit(limit)
        if prefix:
            statement = statement.where(starts_with(name, prefix))
        if after:
            statement = statement.where(name < after if descending else name > after)
        return [Stream(*row) for row in await self._rows(statement)]

    async def streams_by_time(
        self, group_id: int, *, after: tuple[int, int] | None, limit: int, descending: bool
    ) -> list[Stream]:
        """Up to `limit` streams in order of (last event, id), beyond `after`.

        A stream without events counts as the oldest.
        """
        columns = log_streams.c
        last = func.coalesce(columns.last_event_ms, 0)
        order = [last.desc(), columns.id.desc()] if descending else [last, columns.id]
        statement = _streams(group_id).order_by(*order).limit(limit)
        if after is not None:
            position = tuple_(last, columns.id)
            statement = statement.where(position < after if descending else position > after)
        return [Stream(*row) for row in await self._rows(statement)]

    async def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        return await self._database.read(lambda c: c.execute(statement).all())


def starts_with(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Like LIKE 'prefix%', which in SQLite ignores case."""
    return func.substr(column, 1, len(prefix)) == prefix


def _groups() -> Select[Any]:
    columns = log_groups.c
    total = cast(func.sum(log_streams.c.stored_bytes), BigInteger)  # else PostgreSQL's NUMERIC
    stored = (
        select(func.coalesce(total, 0))
        .where(log_streams.c.group_id == columns.id)
        .scalar_subquery()
    )
    return select(
        columns.id,
        columns.name,
        columns.created_ms,
        columns.retention_days,
        columns.log_class,
        stored,
    )


def _group_filters(query: GroupQuery) -> list[ColumnElement[bool]]:
    columns = log_groups.c
    filters: list[ColumnElement[bool]] = []
    if query.prefix:
        filters.append(starts_with(columns.name, query.prefix))
    if query.containing:  # LIKE would ignore case, and instr() is not PostgreSQL's
        filters.append(func.replace(columns.name, query.containing, "") != columns.name)
    if query.classes:
        filters.append(columns.log_class.in_(query.classes))
    if query.names:
        filters.append(columns.name.in_(query.names))
    return filters


def _streams(group_id: int) -> Select[Any]:
    columns = log_streams.c
    return select(
        columns.id,
        columns.name,
        columns.created_ms,
        columns.first_event_ms,
        columns.last_event_ms,
        columns.last_ingested_ms,
    ).where(columns.group_id == group_id)
