"""Forget sums that are past their time, a little at a time.

Those by the minute go long before those by the hour and day; a series without any is forgotten too,
and with it what it adds up to for all time.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, and_, delete, exists, select, tuple_

from lambdabox.domain.metrics import DAY, HOUR, MINUTE
from lambdabox.ports import Database
from lambdabox.repositories.journal_tables import (
    metric_points,
    metric_series,
    usage_rollups,
    usage_series,
)
from lambdabox.repositories.stored_sums import ALL_TIME, chunks

_TABLES = ((usage_series, usage_rollups), (metric_series, metric_points))


class Sums:
    """What is kept of usage and metrics for longer than each record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self, *, minutes_before: int, hours_before: int, batch: int = 5_000) -> int:
        """Remove at most `batch` sums that began before these times; return how many.

        Seconds since the epoch. Call again while it returns `batch`.
        """
        return await self._database.write(
            lambda c: _sweep(
                c, {MINUTE: minutes_before, HOUR: hours_before, DAY: hours_before}, batch
            )
        )


def _sweep(connection: Connection, before: dict[int, int], batch: int) -> int:
    removed = 0
    for series, sums in _TABLES:
        # Each series by itself: the key begins with it, and a search by time alone reads all.
        for ids in chunks(connection.scalars(select(series.c.id)).all()):
            for seconds, moment in before.items():
                removed += _remove(connection, sums, ids, seconds, moment, batch - removed)
                if removed >= batch:
                    return removed
        _forget_empty(connection, series, sums)
    return removed


def _remove(
    connection: Connection, sums: Table, ids: Sequence[int], seconds: int, before: int, batch: int
) -> int:
    key = (sums.c.series_id, sums.c.seconds, sums.c.start)
    doomed = (
        select(*key)
        .where(sums.c.series_id.in_(ids), sums.c.seconds == seconds, sums.c.start < before)
        .limit(batch)
    )
    return connection.execute(delete(sums).where(tuple_(*key).in_(doomed))).rowcount


def _forget_empty(connection: Connection, series: Table, sums: Table) -> None:
    has_days = exists().where(sums.c.series_id == series.c.id, sums.c.seconds == DAY)
    empty = connection.scalars(select(series.c.id).where(~has_days)).all()
    for ids in chunks(empty):
        connection.execute(
            delete(sums).where(and_(sums.c.series_id.in_(ids), sums.c.seconds == ALL_TIME))
        )
        connection.execute(delete(series).where(series.c.id.in_(ids)))
