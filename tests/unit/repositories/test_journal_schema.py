"""The journal's tables, its migration and its statements agree."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection

from lambdabox.backends.database import SqliteDatabase
from lambdabox.ports import LogLine, LogStream
from lambdabox.repositories.journal import JournalWriter
from lambdabox.repositories.journal_tables import metadata
from lambdabox.repositories.log_events import (
    MAX_KEY,
    EventReader,
    Limits,
    Span,
    StreamChoice,
    event_key,
    split_key,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_migration_makes_the_tables_as_declared(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SqliteDatabase(path, "journal", (metadata,), synchronous="NORMAL"):
        pass
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_a_page_of_a_long_stream_is_read_through_the_index(tmp_path: Path) -> None:
    stream = LogStream("1" * 12, "us-east-1", "g", "s")
    statements: list[str] = []
    async with SqliteDatabase(
        tmp_path / "j.db", "journal", (metadata,), synchronous="NORMAL"
    ) as database:
        await JournalWriter(database).append([LogLine(stream, 5, "x")], now_ms=5)

        @event.listens_for(database._opened, "before_cursor_execute")
        def remember(
            _connection: DBAPIConnection, _cursor: object, statement: str, *_rest: object
        ) -> None:
            statements.append(statement)

        page = await EventReader(database).read(StreamChoice(1), Span(0, MAX_KEY), Limits())
        assert [item.message for item in page.events] == ["x"]
        query = next(text for text in statements if "FROM log_events" in text)
        plan = await database.read(
            lambda c: c.execute(text("EXPLAIN QUERY PLAN " + query.replace("?", "1"))).all()
        )
    details = " ".join(row.detail for row in plan)
    assert "ix_log_events_stream (stream_id=?" in details
    assert "TEMP B-TREE" not in details


def test_an_event_key_has_56_digits_and_orders_by_time_then_id() -> None:
    key = event_key(1_795_000_000_000, 7)
    assert len(str(key)) == 56
    assert split_key(key) == (1_795_000_000_000, 7)
    assert event_key(1, (1 << 63) - 1) < event_key(2, 1)


def test_a_forged_key_is_cut_to_what_a_column_holds() -> None:
    biggest = (1 << 63) - 1
    assert split_key(10**72) <= (biggest, biggest)
    assert split_key((5 << 144) - 1) == (4, biggest)
