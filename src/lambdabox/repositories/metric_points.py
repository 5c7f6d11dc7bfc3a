"""Keep values of metrics as sums by minute, hour and day, and read them again.

Functions may print what they like, so how many series an account may have in a region is
bounded: beyond it, new ones are not kept, while those that exist go on. The platform's own
metrics are as many as there are functions and are always kept.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select, update

from lambdabox.domain.arn import Scope
from lambdabox.domain.metrics import (
    LAMBDA_NAMESPACE,
    MINUTE,
    PLATFORM_NAMESPACE,
    Datum,
    Dimensions,
    Metric,
)
from lambdabox.domain.summaries import Summary, pack, unpack
from lambdabox.ports import Database
from lambdabox.repositories.insert_new import insert_new
from lambdabox.repositories.journal_tables import metric_points, metric_series
from lambdabox.repositories.stored_sums import Place, StoredSums, chunks, periods_of

MAX_SERIES = 10_000
"""Of an account in a region, besides the platform's own."""

_PLATFORM = (LAMBDA_NAMESPACE, PLATFORM_NAMESPACE)
_STORED = StoredSums(metric_points)
_POINT_COLUMNS = tuple(column for column in metric_points.c if not column.primary_key)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Series:
    """A metric that there are values of."""

    id: int
    metric: Metric
    unit: str
    last: int
    """When its last minute with values began."""


@dataclass(frozen=True, slots=True)
class Point:
    series_id: int
    start: int
    values: Summary


def add_data(connection: Connection, data: Sequence[Datum]) -> None:
    """Add values to the sums of their metrics."""
    known = _known_series(connection, data)
    added: dict[Place, Summary] = {}
    last: dict[int, int] = {}
    for metric, at, values, _unit in data:
        series = known.get(metric)
        if series is None:
            continue
        minute = int(at) // MINUTE * MINUTE
        if minute > last.get(series.id, series.last):
            last[series.id] = minute
        for seconds, start in periods_of(minute):
            added.setdefault(Place(series.id, seconds, start), Summary()).merge(values)
    for place, row in _STORED.read(connection, added):
        added[place].merge(_summary_of(row))
    _STORED.write(connection, [_row(*item) for item in added.items()])
    if last:  # once a minute, for most series
        _note_last(connection, last)


class MetricReader:
    """Each method reads one consistent snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def series(
        self, scope: Scope, *, namespace: str | None = None, name: str | None = None
    ) -> list[Series]:
        """The series of an account in a region, by namespace and name."""
        columns = metric_series.c
        statement = (
            _select_series()
            .where(columns.account == scope.account, columns.region == scope.region)
            .order_by(columns.namespace, columns.name, columns.dimensions)
        )
        if namespace is not None:
            statement = statement.where(columns.namespace == namespace)
        if name is not None:
            statement = statement.where(columns.name == name)
        rows = await self._database.read(lambda c: c.execute(statement).all())
        return [_series(row) for row in rows]

    async def all_series(self) -> list[Series]:
        """The series of every account."""
        rows = await self._database.read(lambda c: c.execute(_select_series()).all())
        return [_series(row) for row in rows]

    async def find(self, metric: Metric) -> Series | None:
        statement = _select_series().where(_is_metric(metric))
        row = await self._database.read(lambda c: c.execute(statement).first())
        return _series(row) if row is not None else None

    async def has_name(self, scope: Scope, namespace: str, name: str) -> bool:
        """Whether there are values of such a metric, whatever its dimensions."""
        columns = metric_series.c
        statement = (
            select(columns.id)
            .where(columns.account == scope.account, columns.region == scope.region)
            .where(columns.namespace == namespace, columns.name == name)
            .limit(1)
        )
        return await self._database.read(lambda c: c.execute(statement).first()) is not None

    async def points(
        self, series: Collection[int], *, seconds: int, since: int, until: int
    ) -> list[Point]:
        """The sums of this width that start from `since` until before `until`, by time."""
        columns = metric_points.c

        def read(connection: Connection) -> list[Point]:
            points: list[Point] = []
            for chunk in chunks(sorted(series)):
                statement = (
                    select(columns.series_id, columns.start, *_POINT_COLUMNS)
                    .where(columns.series_id.in_(chunk), columns.seconds == seconds)
                    .where(columns.start >= since, columns.start < until)
                )
                rows = connection.execute(statement)
                points += [Point(row[0], row[1], _summary_of(row[2:])) for row in rows]
            return sorted(points, key=lambda point: point.start)

        return await self._database.read(read)


def packed_dimensions(dimensions: Dimensions) -> str:
    """Return how a series' dimensions are stored, and compared."""
    return orjson.dumps(dimensions).decode()


def _known_series(connection: Connection, data: Sequence[Datum]) -> dict[Metric, Series]:
    units = {datum.metric: datum.unit for datum in data}
    found = _find_series(connection, units)
    missing = sorted(_admitted(connection, units.keys() - found.keys()))
    if missing:
        rows = [{**_series_row(metric), "unit": units[metric], "last": 0} for metric in missing]
        insert_new(connection, metric_series, rows)
        found |= _find_series(connection, missing)
    return found


def _admitted(connection: Connection, missing: Collection[Metric]) -> list[Metric]:
    """Return which of these new series there is room for."""
    admitted = [metric for metric in missing if metric.namespace in _PLATFORM]
    others: dict[Scope, list[Metric]] = {}
    for metric in missing:
        if metric.namespace not in _PLATFORM:
            others.setdefault(metric.scope, []).append(metric)
    columns = metric_series.c
    for scope, metrics in others.items():
        count = connection.scalar(
            select(func.count())
            .where(columns.account == scope.account, columns.region == scope.region)
            .where(columns.namespace.not_in(_PLATFORM))
        )
        room = max(MAX_SERIES - (count or 0), 0)
        if room < len(metrics):
            _log.warning(
                "account %s has %d metrics in %s, which is all that are kept: %d more are not",
                scope.account, MAX_SERIES, scope.region, len(metrics) - room,
            )  # fmt: skip
        admitted += sorted(metrics)[:room]
    return admitted


def _find_series(connection: Connection, metrics: Collection[Metric]) -> dict[Metric, Series]:
    names: dict[tuple[str, str, str], set[str]] = {}
    for metric in metrics:
        names.setdefault(metric[:3], set()).add(metric.name)
    wanted = set(metrics)
    found: dict[Metric, Series] = {}
    for (account, region, namespace), group in names.items():
        for chunk in chunks(sorted(group)):
            values = {"account": account, "region": region, "namespace": namespace, "names": chunk}
            for row in connection.execute(_FIND_SERIES, values):
                series = _series(row)
                if series.metric in wanted:
                    found[series.metric] = series
    return found


def _note_last(connection: Connection, last: Mapping[int, int]) -> None:
    by_minute: dict[int, list[int]] = {}
    for series_id, minute in last.items():
        by_minute.setdefault(minute, []).append(series_id)
    columns = metric_series.c
    for minute, ids in by_minute.items():
        for chunk in chunks(ids):
            statement = update(metric_series).where(columns.id.in_(chunk), columns.last < minute)
            connection.execute(statement.values(last=minute))


def _select_series() -> Any:
    columns = metric_series.c
    return select(
        columns.id,
        columns.account,
        columns.region,
        columns.namespace,
        columns.name,
        columns.dimensions,
        columns.unit,
        columns.last,
    )


# Built once, as it is run for every batch of the journal.
_FIND_SERIES = _select_series().where(
    metric_series.c.account == bindparam("account"),
    metric_series.c.region == bindparam("region"),
    metric_series.c.namespace == bindparam("namespace"),
    metric_series.c.name.in_(bindparam("names", expanding=True)),
)


def _series(row: Sequence[Any]) -> Series:
    id, account, region, namespace, name, dimensions, unit, last = row
    pairs = tuple((key, value) for key, value in orjson.loads(dimensions))
    return Series(id, Metric(account, region, namespace, name, pairs), unit, last)


def _is_metric(metric: Metric) -> ColumnElement[bool]:
    columns = metric_series.c
    return and_(*(columns[name] == value for name, value in _series_row(metric).items()))


def _series_row(metric: Metric) -> dict[str, Any]:
    return {**metric._asdict(), "dimensions": packed_dimensions(metric.dimensions)}


def _summary_of(row: Sequence[Any]) -> Summary:
    count, total, minimum, maximum, buckets = row
    return Summary(count, total, minimum, maximum, unpack(orjson.loads(buckets)))


def _row(place: Place, values: Summary) -> list[Any]:
    """In the order of the table's columns."""
    packed = orjson.dumps(pack(values.buckets)).decode()
    return [*place, values.count, values.total, values.minimum, values.maximum, packed]
