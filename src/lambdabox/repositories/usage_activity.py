"""What functions did, by the hour, from usage records; each question reads what is new.

Rows are numbered in the order they were written, so whoever keeps the totals asks for what
came after the last number that it has seen.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from lambdabox.domain.arn import Scope
from lambdabox.ports import Database
from lambdabox.repositories.journal_tables import usage

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class HourTotal:
    """What one function, while it had one size and architecture, did in one hour."""

    function_name: str
    hour: int
    """Whole hours since the epoch, in UTC."""
    architecture: str
    memory_mib: int
    ephemeral_storage_mib: int
    invocations: int
    errors: int
    billed_ms: int
    restores: int
    last_started_ms: int


@dataclass(frozen=True, slots=True)
class News:
    totals: Sequence[HourTotal]
    last_id: int


async def read_news(database: Database, scope: Scope, *, after_id: int, since_ms: int) -> News:
    """Totals of the rows after `after_id` of invocations started from `since_ms` on."""
    columns = usage.c
    hour = (columns.started_ms // HOUR_MS).label("hour")
    groups = [
        columns.function_name,
        hour,
        columns.architecture,
        columns.memory_mib,
        columns.ephemeral_storage_mib,
    ]

    def work(connection: Connection) -> News:
        last_id = connection.scalar(select(func.max(columns.id))) or 0
        statement = (
            select(
                *groups,
                func.count(),
                func.sum(case((columns.status == "success", 0), else_=1)),
                func.sum(columns.billed_ms),
                func.count(columns.restore_ms),
                func.max(columns.started_ms),
            )
            .where(columns.account == scope.account, columns.region == scope.region)
            .where(columns.id > after_id, columns.id <= last_id, columns.started_ms >= since_ms)
            .group_by(*groups)
        )
        rows = connection.execute(statement).all()
        return News([HourTotal(*row[:5], *map(int, row[5:])) for row in rows], last_id)

    return await database.read(work)


async def recent_durations(
    database: Database, scope: Scope, names: Collection[str], *, days: Sequence[int], limit: int
) -> Mapping[str, list[float]]:
    """The durations, in milliseconds, of each function's last `limit` invocations of `days`."""
    columns = usage.c

    def work(connection: Connection) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for name in names:
            for day in sorted(days, reverse=True):
                room = limit - len(found.get(name, ()))
                statement = (
                    select(columns.duration_ms)
                    .where(columns.account == scope.account, columns.region == scope.region)
                    .where(columns.day == day, columns.function_name == name)
                    .order_by(columns.id.desc())
                    .limit(room)
                )
                found.setdefault(name, []).extend(connection.scalars(statement))
        return found

    return await database.read(work)
