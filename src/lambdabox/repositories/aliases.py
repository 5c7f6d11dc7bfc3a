"""Aliases, which never lead to a version that is not there.

What an alias leads to is looked up and checked in the transaction that stores it, and a
version is deleted (`FunctionRepository.delete_version`) in one that looks for aliases which
lead to it; both lock the function's row. What an alias owns beside (`function_records`) ends
with it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from lambdabox.domain.aliases import Alias
from lambdabox.domain.arn import LATEST, FunctionKey, is_number
from lambdabox.domain.functions import Version
from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.codec import decode, encode
from lambdabox.repositories.function_records import delete_records
from lambdabox.repositories.rows import VersionRows, is_function, is_version
from lambdabox.repositories.tables import aliases, functions, versions

Find = Callable[[str], Version | None]
"""Return the function's version with this number, as it is in the transaction."""

Change = Callable[[Alias | None, Find], Alias]
"""Given the alias, or None, return what it becomes. Raises to change nothing."""


@dataclass(frozen=True, slots=True)
class Led:
    """Where an alias leads, as it was at one moment."""

    alias: Alias
    version: Version
    further: Version | None
    """The version of its routing."""


class VersionInUse(Exception):
    """Aliases lead to the version that was to be deleted: those with these names."""

    def __init__(self, aliases: Sequence[str]) -> None:
        super().__init__(aliases)
        self.aliases = aliases


class AliasRepository:
    def __init__(self, database: Database, rows: VersionRows | None = None) -> None:
        self._database = database
        self._rows = rows or VersionRows()

    async def get(self, key: FunctionKey, name: str) -> Alias | None:
        return await self._database.read(lambda connection: _find(connection, key, name))

    async def follow(self, key: FunctionKey, name: str) -> Led | None:
        """Return where an alias leads; None if there is no such alias."""

        def work(connection: Connection) -> Led | None:
            alias = _find(connection, key, name)
            if alias is None:
                return None
            version = _find_version(self._rows, connection, key, alias.function_version)
            routing = alias.routing
            further = (
                _find_version(self._rows, connection, key, routing.version) if routing else None
            )
            return None if version is None else Led(alias, version, further)

        return await self._database.read(work)

    async def list_page(
        self,
        key: FunctionKey,
        *,
        version: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Alias]:
        """Return aliases in the order of their names, those after `after`.

        With `version`, those that name it as theirs; a routing to it does not count.
        """

        def work(connection: Connection) -> list[Alias]:
            every = _aliases(connection, key, after)
            fitting = (item for item in every if version in (None, item.function_version))
            return list(islice(fitting, limit))

        return await self._database.read(work)

    async def change(self, key: FunctionKey, name: str, change: Change) -> Alias:
        """Make or change an alias in one transaction, and return what it became.

        Raises whatever `change` raises; it must refuse an alias to a version that `Find` does
        not find, and so never makes one of a function that does not exist.
        """

        def work(connection: Connection) -> Alias:
            _lock(connection, key)
            before = _find(connection, key, name)
            after = change(
                before, lambda number: _find_version(self._rows, connection, key, number)
            )
            document = encode(after)
            if before is not None:
                values = {"document": document}
                connection.execute(update(aliases).where(_is_alias(key, name)).values(values))
                return after
            row = {"account": key.account, "region": key.region, "name": key.name, "alias": name}
            connection.execute(insert(aliases).values(document=document, **row))
            return after

        return await self._database.write(work)

    async def delete(self, key: FunctionKey, name: str) -> bool:
        """Delete an alias with what it owns; False if there is none."""

        def work(connection: Connection) -> bool:
            _lock(connection, key)
            is_deleted = connection.execute(delete(aliases).where(_is_alias(key, name))).rowcount
            if is_deleted:
                delete_records(connection, key, name)
            return is_deleted > 0

        return await self._database.write(work)


def check_unused(connection: Connection, key: FunctionKey, number: str) -> None:
    """Raise VersionInUse if an alias leads to a version. Its function's row is locked."""
    _lock(connection, key)
    names = [alias.name for alias in _aliases(connection, key) if number in alias.versions]
    if names:
        raise VersionInUse(names)


def _lock(connection: Connection, key: FunctionKey) -> None:
    connection.execute(select(functions.c.name).where(is_function(key)).with_for_update())


def _find(connection: Connection, key: FunctionKey, name: str) -> Alias | None:
    document = connection.scalar(select(aliases.c.document).where(_is_alias(key, name)))
    return None if document is None else decode(Alias, document)


def _find_version(
    rows: VersionRows, connection: Connection, key: FunctionKey, number: str
) -> Version | None:
    if number != LATEST and not is_number(number):
        return None
    query = select(versions).where(is_version(key, number))
    row = connection.execute(query).mappings().first()
    return rows.from_row(row) if row else None


def _aliases(connection: Connection, key: FunctionKey, after: str | None = None) -> Iterator[Alias]:
    query = select(aliases.c.document).where(_is_alias(key)).order_by(aliases.c.alias)
    if after is not None:
        query = query.where(aliases.c.alias > after)
    return (decode(Alias, document) for document in connection.scalars(query))


def _is_alias(key: FunctionKey, name: str | None = None) -> ColumnElement[bool]:
    """Match one alias of a function, or all of them."""
    mine = and_(
        aliases.c.account == key.account,
        aliases.c.region == key.region,
        aliases.c.name == key.name,
    )
    return mine if name is None else and_(mine, aliases.c.alias == name)
