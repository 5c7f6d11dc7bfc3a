"""A journal of the release before is brought up to date with what it holds."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from support.usage_rows import NOON, ONE, SCOPE, open_journal

from lambdabox.backends import schema
from lambdabox.ports import Usage
from lambdabox.repositories.journal import JournalWriter
from lambdabox.repositories.usage import Choice, SeriesSum, UsageReader
from lambdabox.repositories.usage_records import UsageRecords

pytestmark = pytest.mark.anyio

CHOICE = Choice(SCOPE)
ENTRIES = [
    ONE,
    ONE._replace(duration_ms=0.0, request_id="wanted", status="timeout"),
    ONE._replace(started_at=NOON + 61.0, init_ms=20.5, max_memory_mib=200),
    ONE._replace(started_at=NOON + 4_000.0, restore_ms=30.25, memory_mib=2048, status="error"),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def make_previous(path: Path, entries: list[Usage]) -> None:
    """A database as schema 0002 was, with these records."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(
        str(schema.MIGRATIONS), version_locations=[str(schema.MIGRATIONS / "journal")]
    )
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection, opts={"fn": lambda revision, _: script._upgrade_revs("0002", revision)}
        )
        with Operations.context(context):
            context.run_migrations()
        names = [*Usage._fields[:8], "day", "started_ms", *Usage._fields[9:16]]
        rows = [
            {
                **entry._asdict(),
                "day": int(entry.started_at) // 86_400,
                "started_ms": int(entry.started_at * 1000),
            }
            for entry in entries
        ]
        marks = ", ".join(f":{name}" for name in names)
        if rows:
            connection.execute(
                text(f"INSERT INTO usage ({', '.join(names)}) VALUES ({marks})"),  # noqa: S608  # names of ours
                [{name: row[name] for name in names} for row in rows],
            )
    engine.dispose()


async def sums(folder: Path) -> list[SeriesSum]:
    async with open_journal(folder) as database:
        reader = UsageReader(database)
        found = []
        for seconds in (60, 3_600, 86_400, 0):
            found += await reader.sums(CHOICE, seconds=seconds, since=0, until=NOON * 2)
        return sorted(found, key=lambda item: (item.series, item.start, item.rollup.invocations))


async def test_old_records_add_up_as_if_they_had_been_written_today(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    make_previous(old / "journal.db", ENTRIES)
    async with open_journal(new) as database:
        await JournalWriter(database).append([], ENTRIES, now_ms=0)
    assert await sums(old) == await sums(new)


async def test_an_old_record_is_found_by_its_request_id(tmp_path: Path) -> None:
    make_previous(tmp_path / "journal.db", ENTRIES)
    async with open_journal(tmp_path) as database:
        (attempt,) = await UsageRecords(database).attempts(SCOPE, "wanted")
    assert attempt.record.status == "timeout"
    assert attempt.record.initialization == "on-demand"


async def test_an_empty_journal_is_upgraded_too(tmp_path: Path) -> None:
    make_previous(tmp_path / "journal.db", [])
    assert await sums(tmp_path) == []
