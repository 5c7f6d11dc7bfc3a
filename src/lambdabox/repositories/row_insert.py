"""Insert many rows by few statements, with their values bound as they are.

A statement for each row would give up the interpreter and ask for it again thousands of times a
batch, against the event loop that everything else runs on: that cost invocations a third of
their rate. One JSON text for all rows keeps the interpreter free, but SQLite then takes each
cell out of it by a search of its own, which for a wide row is three times the work of storing it.
So rows are bound many at a time, in statements of a few lengths, which the driver keeps prepared.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Table

ROWS = 64
"""In one statement. Some builds of SQLite take 32,766 values, which is 500 to a row."""


class RowInsert:
    """Inserts rows into one table, each with its values in the order of `names`."""

    def __init__(self, table: Table, *names: str, or_replace: bool = False) -> None:
        """`or_replace` is SQLite's; in PostgreSQL it is ON CONFLICT DO UPDATE."""
        self._table = table
        self._names = names
        self._verb = "INSERT OR REPLACE" if or_replace else "INSERT"
        self._texts: dict[tuple[str, int], str] = {}

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert the rows, in their order, within a transaction that has begun."""
        # The driver itself: what SQLAlchemy does around a statement costs more than some rows.
        cursor = connection.connection.cursor()
        at, size, left = 0, ROWS, len(rows)
        while left:
            # Halved for the rest, so that there are few different statements.
            while size > left:
                size //= 2
            values = tuple(chain.from_iterable(rows[at : at + size]))
            cursor.execute(self._text(connection.dialect, size), values)
            at, left = at + size, left - size
        cursor.close()

    def _text(self, dialect: Dialect, size: int) -> str:
        text = self._texts.get((dialect.name, size))
        if text is None:
            text = self._texts[dialect.name, size] = self._written(dialect, size)
        return text

    def _written(self, dialect: Dialect, size: int) -> str:
        quoted = dialect.identifier_preparer
        names = ", ".join(quoted.quote(name) for name in self._names)
        mark = "?" if dialect.paramstyle == "qmark" else "%s"
        row = f"({', '.join([mark] * len(self._names))})"
        into = f"{self._verb} INTO {quoted.format_table(self._table)} ({names})"
        return f"{into} VALUES {', '.join([row] * size)}"
