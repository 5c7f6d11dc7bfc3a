"""Sums by period, as rows: which periods there are, and how a batch changes many at once.

A sum is read, added to and written back as a whole, by one statement for a whole batch, or few.
(json_each is SQLite's; what does the same in PostgreSQL is jsonb_array_elements.)
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Table, Text, and_, bindparam, func, select

from lambdabox.domain.metrics import DAY, HOUR, MINUTE
from lambdabox.repositories.json_rows import as_json
from lambdabox.repositories.row_insert import RowInsert

T = TypeVar("T")

ALL_TIME = 0
"""The width of the one sum that is never forgotten: what monitoring counts from."""

IDS = 500  # in one IN (...), far below SQLite's limit of variables


class Place(NamedTuple):
    """One series' sum of one period."""

    series_id: int
    seconds: int
    start: int


def periods_of(minute: int) -> Iterator[tuple[int, int]]:
    """Return the width and start of each sum that a minute belongs to."""
    yield MINUTE, minute
    yield HOUR, minute // HOUR * HOUR
    yield DAY, minute // DAY * DAY
    yield ALL_TIME, 0


class StoredSums:
    """Reads and replaces the sums of one table, those of a whole batch at a time."""

    def __init__(self, table: Table) -> None:
        place = func.json_each(bindparam("places", type_=Text)).table_valued("value")
        keys = [table.c.series_id, table.c.seconds, table.c.start]
        self._read = select(*table.c).join_from(
            place,
            table,
            and_(*(
                key == func.json_extract(place.c.value, f"$[{at}]") for at, key in enumerate(keys)
            )),
        )  # fmt: skip
        self._write = RowInsert(table, *(column.name for column in table.c), or_replace=True)

    def read(
        self, connection: Connection, places: Iterable[Place]
    ) -> Iterator[tuple[Place, Sequence[Any]]]:
        """Yield what is stored in these places, without its key."""
        for row in connection.execute(
            self._read, {"places": as_json([tuple(place) for place in places])}
        ):
            yield Place(*row[:3]), row[3:]

    def write(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Store whole rows, in the order of the table's columns, in place of what was there."""
        self._write.run(connection, rows)


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), IDS):
        yield items[start : start + IDS]
