"""Keep what usage records add up to: by minute, hour, day and for all time.

Written in the transaction that stores the records, so that the sums are never behind them or
ahead. A series is what has a price or a name of its own: a function's version under one
qualifier, of one size. An invocation belongs to the minute in which it began, as on AWS.
"""

from collections.abc import Collection, Sequence
from dataclasses import field
from operator import itemgetter
from typing import Any, NamedTuple, Self

import orjson
from sqlalchemy import Connection, bindparam, select

from lambdabox.domain.metrics import MINUTE
from lambdabox.domain.summaries import Summary, pack, unpack
from lambdabox.domain.values import dataclass
from lambdabox.ports import Usage
from lambdabox.repositories.insert_new import insert_new
from lambdabox.repositories.journal_tables import usage_rollups, usage_series
from lambdabox.repositories.stored_sums import Place, StoredSums, chunks, periods_of


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


_series_fields = itemgetter(*(Usage._fields.index(name) for name in SeriesKey._fields))
SERIES_COLUMNS = tuple(usage_series.c[name] for name in SeriesKey._fields)


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

    @classmethod
    def of(cls, usages: Sequence[Usage]) -> Self:
        """Add up records, column by column: a record costs less than a microsecond so."""
        columns: Any = zip(*usages, strict=True)
        column: Any = Usage(*columns)
        count = len(usages)
        starts = [
            init_ms if restore_ms is None else restore_ms
            for init_ms, restore_ms in zip(column.init_ms, column.restore_ms, strict=True)
            if init_ms is not None or restore_ms is not None
        ]
        return cls(
            invocations=count,
            errors=count - column.status.count("success"),
            timeouts=column.status.count("timeout"),
            cold_starts=len(starts),
            restores=count - column.restore_ms.count(None),
            billed_ms=sum(column.billed_ms),
            init_ms=sum(starts),
            init_max_ms=max(starts, default=0.0),
            memory_sum_mib=sum(column.max_memory_mib),
            memory_max_mib=max(column.max_memory_mib),
            last_ms=int(max(column.started_at) * 1000),
            durations=Summary.of(column.duration_ms),
        )

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


_STORED = StoredSums(usage_rollups)
# Built once: it is run for every batch of the journal, and building it takes as long.
_FIND_SERIES = select(usage_series.c.id, *SERIES_COLUMNS).where(
    usage_series.c.account == bindparam("account"),
    usage_series.c.region == bindparam("region"),
    usage_series.c.function_name.in_(bindparam("functions", expanding=True)),
)


def add_usages(connection: Connection, usages: Sequence[Usage]) -> None:
    """Add what a batch of records used to the sums they belong to."""
    groups: dict[tuple[tuple[Any, ...], int], list[Usage]] = {}
    for usage in usages:
        place = _series_fields(usage), int(usage.started_at) // MINUTE * MINUTE
        group = groups.get(place)
        if group is None:
            group = groups[place] = []
        group.append(usage)
    by_minute = {
        (SeriesKey(*fields), minute): Rollup.of(group) for (fields, minute), group in groups.items()
    }
    ids = _series_ids(connection, {key for key, _ in by_minute})
    added: dict[Place, Rollup] = {}
    for (key, minute), rollup in by_minute.items():
        for seconds, start in periods_of(minute):
            added.setdefault(Place(ids[key], seconds, start), Rollup()).merge(rollup)
    for stored, row in _STORED.read(connection, added):
        added[stored].merge(rollup_of(row))
    _STORED.write(connection, [_row(*item) for item in added.items()])


def _row(place: Place, rollup: Rollup) -> list[Any]:
    """In the order of the table's columns."""
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
    found: dict[SeriesKey, int] = {}
    for (account, region), functions in names.items():
        for chunk in chunks(sorted(functions)):
            values = {"account": account, "region": region, "functions": chunk}
            for row in connection.execute(_FIND_SERIES, values):
                found[SeriesKey(*row[1:])] = row[0]
    return found
