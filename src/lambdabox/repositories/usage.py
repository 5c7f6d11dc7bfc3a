"""Read what usage adds up to: the sums that `rollups` keeps, of whole minutes and hours."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, literal, select

from lambdabox.domain.arn import Scope
from lambdabox.domain.metrics import HOUR
from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.journal_tables import usage_rollups, usage_series
from lambdabox.repositories.json_rows import as_json
from lambdabox.repositories.rollups import (
    ROLLUP_COLUMNS,
    SERIES_COLUMNS,
    Rollup,
    SeriesKey,
    rollup_of,
)
from lambdabox.repositories.stored_sums import ALL_TIME


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What one function used while it had one size and architecture."""

    function_name: str
    architecture: str
    memory_mib: int
    ephemeral_storage_mib: int
    initialization: str
    invocations: int
    errors: int
    billed_ms: int
    restores: int


@dataclass(frozen=True, slots=True)
class SeriesSum:
    """What one series adds up to from `start` on; for all time that is 0."""

    series: SeriesKey
    start: int
    rollup: Rollup


class Amounts(NamedTuple):
    """What is paid for of one series and period. Quick to read, for there are many."""

    series: SeriesKey
    start: int
    invocations: int
    billed_ms: int
    restores: int
    memory_max_mib: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Which series: of all functions, of one, of one version or qualifier of it, or of some.

    An empty qualifier means invocations that named none; None means all.
    """

    scope: Scope
    function_name: str | None = None
    version: str | None = None
    qualifier: str | None = None
    function_names: Collection[str] | None = None


async def usage_totals(
    database: Database, choice: Choice, *, since: int, until: int, seconds: int = HOUR
) -> list[UsageTotal]:
    """Totals of the hours, or days, that start from `since` until before `until`.

    Seconds since the epoch.
    """
    priced = [
        usage_series.c.function_name,
        usage_series.c.architecture,
        usage_series.c.memory_mib,
        usage_series.c.ephemeral_storage_mib,
        usage_series.c.initialization,
    ]
    sums = usage_rollups.c
    amounts = [sums.invocations, sums.errors, sums.billed_ms, sums.restores]
    statement = (
        _of_period(choice, seconds, since, until)
        .with_only_columns(*priced, *(func.sum(amount) for amount in amounts))
        .group_by(*priced)
        .order_by(*priced)
    )
    rows = await database.read(lambda c: c.execute(statement).all())
    # PostgreSQL adds up BIGINT columns to a Decimal.
    return [UsageTotal(*row[:5], *map(int, row[5:])) for row in rows]


_PAID = (
    func.sum(usage_rollups.c.invocations),
    func.sum(usage_rollups.c.billed_ms),
    func.sum(usage_rollups.c.restores),
    func.max(usage_rollups.c.memory_max_mib),
)
"""As in Amounts."""


class UsageReader:
    """Each method reads one consistent snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(
        self, choice: Choice, *, seconds: int, since: int, until: int
    ) -> list[SeriesSum]:
        """The sums of this width that start from `since` until before `until`, by time."""
        statement = (
            _of_period(choice, seconds, since, until)
            .with_only_columns(*SERIES_COLUMNS, usage_rollups.c.start, *ROLLUP_COLUMNS)
            .order_by(usage_rollups.c.start)
        )
        return await self._database.read(lambda c: _sums(c, statement))

    async def amounts(
        self, choice: Choice, *, seconds: int, since: int, until: int
    ) -> list[Amounts]:
        """Of the sums of this width, what is paid for, by time."""
        columns = usage_rollups.c
        statement = (
            _of_period(choice, seconds, since, until)
            .with_only_columns(columns.series_id, *(columns[name] for name in Amounts._fields[1:]))
            .order_by(columns.start)
        )
        series = _chosen(select(usage_series.c.id, *SERIES_COLUMNS), choice)
        return await self._database.read(lambda c: _amounts(c, series, statement))

    async def whole(self, choice: Choice, *, seconds: int, since: int, until: int) -> list[Amounts]:
        """What each series adds up to in the period, which they all begin with."""
        columns = usage_rollups.c
        statement = (
            _of_period(choice, seconds, since, until)
            .with_only_columns(columns.series_id, literal(since), *_PAID)
            .group_by(columns.series_id)
        )
        series = _chosen(select(usage_series.c.id, *SERIES_COLUMNS), choice)
        return await self._database.read(lambda c: _amounts(c, series, statement))

    async def by_kind(
        self, choice: Choice, *, seconds: int, since: int, until: int
    ) -> list[Amounts]:
        """What all functions of one size and price add up to, by time, under no name."""
        kind = usage_series.c
        priced = (
            kind.architecture, kind.memory_mib, kind.ephemeral_storage_mib, kind.initialization,
        )  # fmt: skip
        statement = (
            _of_period(choice, seconds, since, until)
            .with_only_columns(*priced, usage_rollups.c.start, *_PAID)
            .group_by(*priced, usage_rollups.c.start)
            .order_by(usage_rollups.c.start)
        )
        rows = await self._database.read(lambda c: c.execute(statement).all())
        place = choice.scope.account, choice.scope.region, "", "", ""
        return [Amounts(SeriesKey(*place, *row[:4]), *map(int, row[4:])) for row in rows]

    async def all_time(self, choice: Choice | None = None) -> list[SeriesSum]:
        """What each series adds up to since it began; of every account without a choice."""
        statement = (
            select(*SERIES_COLUMNS, usage_rollups.c.start, *ROLLUP_COLUMNS)
            .join(usage_rollups, usage_rollups.c.series_id == usage_series.c.id)
            .where(usage_rollups.c.seconds == ALL_TIME)
        )
        if choice is not None:
            statement = _chosen(statement, choice)
        return await self._database.read(lambda c: _sums(c, statement))

    async def last_invocations(self, choice: Choice) -> dict[str, int]:
        """When each function was last invoked, in milliseconds since the epoch."""
        statement = (
            _of_period(choice, ALL_TIME, 0, 1)
            .with_only_columns(usage_series.c.function_name, func.max(usage_rollups.c.last_ms))
            .group_by(usage_series.c.function_name)
        )
        return await self._database.read(lambda c: {row[0]: row[1] for row in c.execute(statement)})


def _sums(connection: Connection, statement: Select[Any]) -> list[SeriesSum]:
    width = len(SERIES_COLUMNS)
    return [_series_sum(row, width) for row in connection.execute(statement)]


def _series_sum(row: Sequence[Any], width: int) -> SeriesSum:
    return SeriesSum(SeriesKey(*row[:width]), row[width], rollup_of(row[width + 1 :]))


def _amounts(connection: Connection, series: Select[Any], statement: Select[Any]) -> list[Amounts]:
    keys = {id: SeriesKey(*key) for id, *key in connection.execute(series)}
    # PostgreSQL adds up BIGINT columns to a Decimal.
    return [Amounts(keys[id], *map(int, found)) for id, *found in connection.execute(statement)]


def _of_period(choice: Choice, seconds: int, since: int, until: int) -> Select[Any]:
    sums = usage_rollups.c
    statement = (
        select()
        .select_from(usage_series)
        .join(usage_rollups, sums.series_id == usage_series.c.id)
        .where(sums.seconds == seconds, sums.start >= since, sums.start < until)
    )
    return _chosen(statement, choice)


def _chosen(statement: Select[Any], choice: Choice) -> Select[Any]:
    columns = usage_series.c
    statement = statement.where(
        columns.account == choice.scope.account, columns.region == choice.scope.region
    )
    if choice.function_name is not None:
        statement = statement.where(columns.function_name == choice.function_name)
    if choice.function_names is not None:
        # As one value, and so however many there are.
        names = func.json_each(as_json(sorted(choice.function_names))).table_valued("value")
        statement = statement.where(columns.function_name.in_(select(names.c.value)))
    if choice.version is not None:
        statement = statement.where(columns.version == choice.version)
    if choice.qualifier is not None:
        statement = statement.where(columns.qualifier == choice.qualifier)
    return statement
