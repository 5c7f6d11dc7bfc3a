"""Insert many rows by one statement, as one JSON text.

A statement for each row would give up the interpreter and ask for it again thousands of times a
batch, against the event loop that everything else runs on: that cost invocations a third of
their rate. (json_each is SQLite's; what does the same in PostgreSQL is jsonb_array_elements.)
"""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import BindParameter, Insert, Table, Text, bindparam, func, insert, select


def insert_json(table: Table, *names: str, **fixed: BindParameter[Any]) -> Insert:
    """Return a statement that inserts `rows`, a JSON list of lists in the order of `names`."""
    row = func.json_each(bindparam("rows", type_=Text)).table_valued("value")
    cells = [func.json_extract(row.c.value, f"$[{at}]") for at in range(len(names))]
    return insert(table).from_select([*names, *fixed], select(*cells, *fixed.values()))


def as_json(rows: Sequence[Sequence[Any]]) -> str:
    return orjson.dumps(rows).decode()
