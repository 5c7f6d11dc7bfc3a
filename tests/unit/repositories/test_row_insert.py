"""Many rows in few statements."""

import sqlite3
from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, create_engine

from lambdabox.repositories.row_insert import ROWS, RowInsert

things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("group", Text),
    Column("left_out", Text),
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    things.metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def stored(connection: Connection) -> list[tuple[int, str, None]]:
    return [tuple(row) for row in connection.execute(things.select().order_by(things.c.id))]


@pytest.mark.parametrize("count", [0, 1, 2, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 37])
def test_every_row_is_stored_whatever_their_number(connection: Connection, count: int) -> None:
    rows = [(at, f"row {at}") for at in range(count)]
    RowInsert(things, "id", "group").run(connection, rows)
    assert stored(connection) == [(at, f"row {at}", None) for at in range(count)]


def test_rows_are_numbered_in_their_order(connection: Connection) -> None:
    names = [f"row {at}" for at in range(ROWS + 3)]
    RowInsert(things, "group").run(connection, [(name,) for name in names])
    assert [name for _, name, _ in stored(connection)] == names


def test_batches_of_many_sizes_share_a_few_statements(connection: Connection) -> None:
    texts: set[str] = set()
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_trace_callback(lambda text: texts.add(text.replace("'x'", "?")))
    insert = RowInsert(things, "group")
    for count in range(150):
        insert.run(connection, [("x",)] * count)
    driver.set_trace_callback(None)
    assert len({text for text in texts if text.startswith("INSERT")}) == ROWS.bit_length()


def test_rows_take_the_place_of_those_with_their_key(connection: Connection) -> None:
    insert = RowInsert(things, "id", "group", or_replace=True)
    insert.run(connection, [(1, "old"), (2, "kept")])
    insert.run(connection, [(1, "new"), (3, "added")])
    assert stored(connection) == [(1, "new", None), (2, "kept", None), (3, "added", None)]


def test_a_batch_holds_at_most_one_row_with_a_key_unless_it_replaces(
    connection: Connection,
) -> None:
    with pytest.raises(Exception, match="UNIQUE"):
        RowInsert(things, "id", "group").run(connection, [(1, "one"), (1, "another")])
