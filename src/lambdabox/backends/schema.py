"""Bring a database's schema up to date, or refuse it.

Two lineages of numbered, forward-only migrations: `state` (what exists) and `journal`
(what happened). A new database is made from the tables as they are now, which a test
keeps equal to what the migrations make; Alembic, which costs a fifth of a second to
import, is needed only where there is something to migrate.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    text,
)

Lineage = Literal["state", "journal"]

MIGRATIONS = Path(__file__).parent / "migrations"

HEADS: dict[Lineage, str] = {"state": "0003", "journal": "0003"}
"""The newest revision of each lineage; a test compares it with the scripts."""


class SchemaError(Exception):
    """This release cannot use the database: a newer one wrote it, or it is not one at all."""


def migrate(engine: Engine, lineage: Lineage, tables: Sequence[MetaData]) -> None:
    """Make `tables`, or run the migrations that are missing.

    Raises SchemaError for a newer schema.
    """
    with engine.connect() as connection:
        current = _current(connection)
    head = HEADS[lineage]
    if current == head:
        return
    if current is None:
        _create(engine, head, tables)
        return
    if current > head:
        raise SchemaError(
            f"The {lineage} database has schema {current}, and this release of lambdabox knows "
            f"schemas up to {head}. Start the release that wrote it, or name another --data-dir."
        )
    _upgrade(engine, lineage)


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _create(engine: Engine, head: str, tables: Sequence[MetaData]) -> None:
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        for metadata in tables:
            metadata.create_all(connection)
        version = Table("alembic_version", MetaData(), Column("version_num", String(32)))
        version.create(connection)
        connection.execute(insert(version).values(version_num=head))


def _upgrade(engine: Engine, lineage: Lineage) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS / lineage)])
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        context = MigrationContext.configure(
            connection,
            opts={"fn": lambda revision, _context: script._upgrade_revs("head", revision)},  # noqa: SLF001
        )
        with Operations.context(context):
            context.run_migrations()
