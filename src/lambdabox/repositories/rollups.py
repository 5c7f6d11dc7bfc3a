"""Keep what usage records add up to: by minute, by hour and for all time.

Written in the transaction that stores the records, so that the sums are never behind them or
ahead. A series is what has a price or a name of its own: a function's version under one
qualifier, of one size. An invocation belongs to the minute in which it began, as on AWS.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import Connection, Table, and_, delete, select

from lambdabox.domain.metrics import HOUR, MINUTE
from lambdabox.domain.summaries import Summary, pack, unpack
from lambdabox.ports import Usage
from lambdabox.repositories.journal_tables import usage_rollups, usage_series
from lambdabox.repositories.json_rows import as_json, insert_json
from lambdabox.repositories.log_groups import insert_new

T = TypeVar("T")

ALL_TIME = 0
"""The width of the one sum that is never forgotten: what monitoring counts from."""

IDS = 500  # in one IN (...), far below SQLite's limit of variables

_INSERT = insert_json(usage_rollups, *(column.name for column in usage_rollups.c))


class SeriesKey(NamedTuple):
    account: str
    region: str
    function_name: str
    version: str
    qualifier: str
    architecture: str
    memory_mib: int
    ephemeral_storage_mib: int
    initialization: str


SERIES_COLUMNS = tuple(usage_series.c[name] for name in SeriesKey._fields)


class Place(NamedTuple):
    """One series' sum of one period."""

    series_id: int
    seconds: int
    start: int


@dataclass(slots=True)
class Rollup:
    """What the invocations of one period add up to."""

    invocations: int = 0
    errors: int = 0
    """Timeouts included."""
    timeouts: int = 0
    cold_starts: int = 0
    restores: int = 0
    billed_ms: int = 0
    init_ms: float = 0.0
    """All cold starts together: their init, or their restore."""
    init_max_ms: float = 0.0
    memory_sum_mib: int = 0
    memory_max_mib: int = 0
    last_ms: int = 0
    """When the last of them began."""
    durations: Summary = field(default_factory=Summary)

    def add(self, usage: Usage) -> None:
        self.invocations += 1
        if usage.status != "success":
            self.errors += 1
            self.timeouts += usage.status == "timeout"
        start_ms = usage.init_ms if usage.restore_ms is None else usage.restore_ms
        if start_ms is not None:
            self.cold_starts += 1
            self.restores += usage.restore_ms is not None
            self.init_ms += start_ms
            self.init_max_ms = max(self.init_max_ms, start_ms)
        self.billed_ms += usage.billed_ms
        self.memory_sum_mib += usage.max_memory_mib
        self.memory_max_mib = max(self.memory_max_mib, usage.max_memory_mib)
        self.last_ms = max(self.last_ms, int(usage.started_at * 1000))
        self.durations.add(usage.duration_ms)

    def merge(self, other: "Rollup") -> None:
        self.invocations += other.invocations
        self.errors += other.errors
        self.timeouts += other.timeouts
        self.cold_starts += other.cold_starts
        self.restores += other.restores
        self.billed_ms += other.billed_ms
        self.init_ms += other.init_ms
        self.init_max_ms = max(self.init_max_ms, other.init_max_ms)
        self.memory_sum_mib += other.memory_sum_mib
        self.memory_max_mib = max(self.memory_max_mib, other.memory_max_mib)
        self.last_ms = max(self.last_ms, other.last_ms)
        self.durations.merge(other.durations)


ROLLUP_COLUMNS = tuple(column for column in usage_rollups.c if not column.primary_key)


def rollup_of(row: Sequence[Any]) -> Rollup:
    """Read a row of ROLLUP_COLUMNS."""
    *numbers, total, minimum, maximum, packed = row
    buckets = unpack(orjson.loads(packed))
    durations = Summary(numbers[0], total, minimum, maximum, buckets)
    rollup = Rollup(*numbers)
    rollup.durations = durations
    return rollup


def add_usages(connection: Connection, usages: Sequence[Usage]) -> None:
    """Add what a batch of records used to the sums they belong to."""
    by_minute: dict[tuple[SeriesKey, int], Rollup] = {}
    for usage in usages:
        place = _series_key(usage), int(usage.started_at) // MINUTE * MINUTE
        rollup = by_minute.get(place)
        if rollup is None:
            rollup = by_minute[place] = Rollup()
        rollup.add(usage)
    ids = _series_ids(connection, {key for key, _ in by_minute})
    added: dict[Place, Rollup] = {}
    for (key, minute), rollup in by_minute.items():
        for seconds, start in periods_of(minute):
            added.setdefault(Place(ids[key], seconds, start), Rollup()).merge(rollup)
    _merge_stored(connection, added)
    connection.execute(_INSERT, {"rows": as_json([_row(*item) for item in added.items()])})


def periods_of(minute: int) -> Iterator[tuple[int, int]]:
    """Return the width and start of each sum that a minute belongs to."""
    yield MINUTE, minute
    yield HOUR, minute // HOUR * HOUR
    yield ALL_TIME, 0


def replaced(
    connection: Connection, table: Table, places: Iterable[Place], columns: Sequence[Any]
) -> Iterator[tuple[Place, Sequence[Any]]]:
    """Yield what is stored in these places, and take it away for what replaces it."""
    by_period: dict[tuple[int, int], list[int]] = {}
    for series_id, seconds, start in places:
        by_period.setdefault((seconds, start), []).append(series_id)
    for (seconds, start), ids in by_period.items():
        for chunk in chunks(ids):
            here = and_(
                table.c.series_id.in_(chunk), table.c.seconds == seconds, table.c.start == start
            )
            statement = select(table.c.series_id, *columns).where(here)
            rows = connection.execute(statement.with_for_update()).all()
            for row in rows:
                yield Place(row[0], seconds, start), row[1:]
            if rows:
                connection.execute(delete(table).where(here))


def _merge_stored(connection: Connection, added: dict[Place, Rollup]) -> None:
    for place, row in replaced(connection, usage_rollups, added, ROLLUP_COLUMNS):
        added[place].merge(rollup_of(row))


def _row(place: Place, rollup: Rollup) -> list[Any]:
    """In the order of `_INSERT`."""
    durations = rollup.durations
    return [
        *place,
        rollup.invocations,
        rollup.errors,
        rollup.timeouts,
        rollup.cold_starts,
        rollup.restores,
        rollup.billed_ms,
        round(rollup.init_ms, 6),
        round(rollup.init_max_ms, 6),
        rollup.memory_sum_mib,
        rollup.memory_max_mib,
        rollup.last_ms,
        round(durations.total, 6),
        round(durations.minimum, 6),
        round(durations.maximum, 6),
        orjson.dumps(pack(durations.buckets)).decode(),
    ]


def _series_key(usage: Usage) -> SeriesKey:
    return SeriesKey(
        usage.account,
        usage.region,
        usage.function_name,
        usage.version,
        usage.qualifier,
        usage.architecture,
        usage.memory_mib,
        usage.ephemeral_storage_mib,
        usage.initialization,
    )


def _series_ids(connection: Connection, keys: Collection[SeriesKey]) -> dict[SeriesKey, int]:
    found = _find_series(connection, keys)
    missing = sorted(set(keys) - found.keys())
    if missing:
        insert_new(connection, usage_series, [key._asdict() for key in missing])
        found |= _find_series(connection, missing)
    return found


def _find_series(connection: Connection, keys: Collection[SeriesKey]) -> dict[SeriesKey, int]:
    names: dict[tuple[str, str], set[str]] = {}
    for key in keys:
        names.setdefault((key.account, key.region), set()).add(key.function_name)
    columns = usage_series.c
    found: dict[SeriesKey, int] = {}
    for (account, region), functions in names.items():
        for chunk in chunks(sorted(functions)):
            statement = select(columns.id, *SERIES_COLUMNS).where(
                columns.account == account,
                columns.region == region,
                columns.function_name.in_(chunk),
            )
            for row in connection.execute(statement):
                found[SeriesKey(*row[1:])] = row[0]
    return found


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), IDS):
        yield items[start : start + IDS]
