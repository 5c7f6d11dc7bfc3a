"""Read single invocations: the latest of a function, and one by its request id with its log.

An asynchronous event that was retried has one record for each attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select, tuple_

from lambdabox.domain.arn import Scope
from lambdabox.ports import Database, LogStream
from lambdabox.repositories.journal import request_hash
from lambdabox.repositories.journal_tables import log_events, log_groups, log_streams, usage

LINES = 2_000
"""Of one attempt, from its first one on."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One attempt at an invocation. Times in milliseconds since the epoch, or long."""

    id: int
    function_name: str
    version: str
    qualifier: str
    request_id: str
    started_ms: int
    duration_ms: float
    billed_ms: int
    status: str
    error_type: str | None
    architecture: str
    memory_mib: int
    ephemeral_storage_mib: int
    max_memory_mib: int
    init_ms: float | None
    restore_ms: float | None
    queue_ms: float | None
    initialization: str
    stream_id: int | None


@dataclass(frozen=True, slots=True)
class RecordedLine:
    timestamp_ms: int
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    record: UsageRecord
    stream: LogStream | None
    """None if it is not known, or deleted."""
    lines: Sequence[RecordedLine]


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Which records of a function to list."""

    scope: Scope
    function_name: str
    version: str | None = None
    failed_only: bool = False
    cold_only: bool = False
    since_ms: int = 0


_COLUMNS = tuple(usage.c[name] for name in UsageRecord.__dataclass_fields__)


class UsageRecords:
    """Each method reads one consistent snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(
        self, query: RecordQuery, *, limit: int = 50, before: tuple[int, int] | None = None
    ) -> list[UsageRecord]:
        """The latest records first; then those before the (started_ms, id) of the last one."""
        columns = usage.c
        statement = (
            _of_scope(query.scope)
            .where(columns.function_name == query.function_name)
            .where(columns.started_ms >= query.since_ms)
            .order_by(columns.started_ms.desc(), columns.id.desc())
            .limit(limit)
        )
        if query.version is not None:
            statement = statement.where(columns.version == query.version)
        if query.failed_only:
            statement = statement.where(columns.status != "success")
        if query.cold_only:
            cold = or_(columns.init_ms.is_not(None), columns.restore_ms.is_not(None))
            statement = statement.where(cold)
        if before is not None:
            # The first condition is for the index, the second for what began at the same time.
            statement = statement.where(
                columns.started_ms <= before[0], tuple_(columns.started_ms, columns.id) < before
            )
        rows = await self._database.read(lambda c: c.execute(statement).all())
        return [UsageRecord(*row) for row in rows]

    async def attempts(self, scope: Scope, request_id: str) -> list[Attempt]:
        """All attempts at one invocation, the first one first; none if there is no such."""
        return await self._database.read(lambda c: _attempts(c, scope, request_id))


def _of_scope(scope: Scope) -> Select[Any]:
    return select(*_COLUMNS).where(usage.c.account == scope.account, usage.c.region == scope.region)


def _attempts(connection: Connection, scope: Scope, request_id: str) -> list[Attempt]:
    statement = (
        select(*_COLUMNS)
        # Through the hash's index alone: the scope's would be all of the account's.
        .where(usage.c.request_hash == request_hash(request_id))
        .where(usage.c.request_id == request_id)
        .order_by(usage.c.started_ms, usage.c.id)
    )
    rows = connection.execute(statement.add_columns(usage.c.account, usage.c.region)).all()
    records = [UsageRecord(*row[:-2]) for row in rows if tuple(row[-2:]) == _pair(scope)]
    return [_attempt(connection, record) for record in records]


def _pair(scope: Scope) -> tuple[str, str]:
    return scope.account, scope.region


def _attempt(connection: Connection, record: UsageRecord) -> Attempt:
    if record.stream_id is None:
        return Attempt(record, None, ())
    groups, streams = log_groups.c, log_streams.c
    row = connection.execute(
        select(groups.account, groups.region, groups.name, streams.name)
        .join(log_groups, groups.id == streams.group_id)
        .where(streams.id == record.stream_id)
    ).first()
    if row is None:
        return Attempt(record, None, ())
    return Attempt(record, LogStream(*row), _lines(connection, record))


def _lines(connection: Connection, record: UsageRecord) -> list[RecordedLine]:
    """What the environment logged for this attempt.

    An environment has one event at a time, so the platform's own lines, which name the request,
    enclose the function's. Without them, which log levels may hide, its time does.
    """
    columns = log_events.c
    start_ms = (record.init_ms if record.restore_ms is None else record.restore_ms) or 0.0
    since = record.started_ms - int(start_ms) - 100
    # What is not the function's own comes soon after it, but on a busy machine not at once.
    until = record.started_ms + int(record.duration_ms) + 2_000
    rows = connection.execute(
        select(columns.timestamp_ms, columns.message)
        .where(columns.stream_id == record.stream_id)
        .where(and_(columns.timestamp_ms >= since, columns.timestamp_ms <= until))
        .order_by(columns.timestamp_ms, columns.id)
        .limit(LINES)
    ).all()
    return [RecordedLine(*row) for row in enclosed([tuple(row) for row in rows], record.request_id)]


def enclosed(rows: Sequence[tuple[int, str]], request_id: str) -> Sequence[tuple[int, str]]:
    """Return the rows of one request, by the platform's lines around them.

    A line of its cold start comes before, and is kept if no other request is between.
    """
    first, last = 0, len(rows)
    has_begun = False
    for at, (_, message) in enumerate(rows):
        if not is_platform_line(message):
            continue
        if request_id in message:
            has_begun = True
            if _ends(message):
                return rows[first : at + 1]
        elif _ends(message):
            first = at + 1
        elif _begins(message) and has_begun:
            last = at
            break
    return rows[first:last]


def is_platform_line(message: str) -> bool:
    """Whether it looks like a START or REPORT line; functions can print such lines, too."""
    return message.startswith(("START RequestId: ", "REPORT RequestId: ", '{"time":'))


def _begins(message: str) -> bool:
    return message.startswith("START ") or '"type":"platform.start"' in message


def _ends(message: str) -> bool:
    return message.startswith("REPORT ") or '"type":"platform.report"' in message
