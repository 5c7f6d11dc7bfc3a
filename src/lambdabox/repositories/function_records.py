"""What a function has beside its settings: one record of a kind for each qualifier.

A URL, a policy, how its asynchronous events are retried, and so on: each kind is a frozen
dataclass, kept as a document. Records end with their function, and those of a version or an
alias with that, in the same transaction.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, select, update

from lambdabox.domain.arn import LATEST, FunctionKey, is_number
from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.codec import decode, encode
from lambdabox.repositories.rows import is_function, is_version
from lambdabox.repositories.tables import aliases, function_records, functions

T = TypeVar("T")

Change = Callable[[T | None], T | None]
"""Given the record, or None, return what it becomes: None for none. Raises to change nothing."""


@dataclass(frozen=True, slots=True)
class Owned(Generic[T]):
    """A record with what it belongs to. `qualifier` is empty for the function itself."""

    key: FunctionKey
    qualifier: str
    record: T


class OwnerMissing(Exception):
    """There is no such function, version or alias to have a record."""


class FunctionRecords(Generic[T]):
    """The records of one kind. `lookup` gives a further name to find a record by."""

    def __init__(
        self,
        database: Database,
        kind: str,
        record_type: type[T],
        *,
        lookup: Callable[[T], str | None] = lambda _record: None,
    ) -> None:
        self._database = database
        self._kind = kind
        self._type = record_type
        self._lookup = lookup

    async def get(self, key: FunctionKey, qualifier: str = "") -> T | None:
        return await self._database.read(lambda connection: self._find(connection, key, qualifier))

    async def change(self, key: FunctionKey, qualifier: str, change: Change[T]) -> T | None:
        """Apply `change` in one transaction and return what the record became.

        Raises OwnerMissing, and whatever `change` raises.
        """
        return await self._database.write(
            lambda connection: self.apply(connection, key, qualifier, change)
        )

    def apply(
        self, connection: Connection, key: FunctionKey, qualifier: str, change: Change[T]
    ) -> T | None:
        """As `change`, as a part of a transaction that looks at more than the record."""
        if not _owner_exists(connection, key, qualifier):
            raise OwnerMissing
        before = self._find(connection, key, qualifier)
        after = change(before)
        if after is not None:
            self._store(connection, key, qualifier, after, is_new=before is None)
        elif before is not None:
            connection.execute(delete(function_records).where(self._is(key, qualifier)))
        return after

    async def of_function(
        self, key: FunctionKey, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Owned[T]]:
        """Return a function's records in the order of their qualifiers, those after `after`."""
        query = select(function_records).where(self._is(key))
        if after is not None:
            query = query.where(function_records.c.qualifier > after)
        return await self._read(query.order_by(function_records.c.qualifier).limit(limit))

    async def find(self, lookup: str) -> Owned[T] | None:
        """Return the record that has this further name, in any account and region."""
        mine = function_records.c.kind == self._kind
        query = select(function_records).where(mine, function_records.c.lookup == lookup)
        return next(iter(await self._read(query)), None)

    async def found(
        self, lookup: str, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Owned[T]]:
        """Return the records that have this further name, of one account and region, in the
        order of their functions' names, those after `after`."""
        mine = function_records.c.kind == self._kind
        query = select(function_records).where(mine, function_records.c.lookup == lookup)
        if after is not None:
            query = query.where(function_records.c.name > after)
        return await self._read(query.order_by(function_records.c.name).limit(limit))

    def storing(self, key: FunctionKey, record: T) -> Callable[[Connection], None]:
        """Return what stores the record of a function in the transaction that makes it."""
        return lambda connection: self._store(connection, key, "", record, is_new=True)

    async def all(self) -> Sequence[Owned[T]]:
        """Return every record of the kind: what a node that starts has to go on with."""
        return await self._read(
            select(function_records).where(function_records.c.kind == self._kind)
        )

    async def _read(self, query: Any) -> Sequence[Owned[T]]:
        def work(connection: Connection) -> list[Owned[T]]:
            return [
                Owned(
                    FunctionKey(row["account"], row["region"], row["name"]),
                    row["qualifier"],
                    decode(self._type, row["document"]),
                )
                for row in connection.execute(query).mappings()
            ]

        return await self._database.read(work)

    def _find(self, connection: Connection, key: FunctionKey, qualifier: str) -> T | None:
        query = select(function_records.c.document).where(self._is(key, qualifier))
        document = connection.scalar(query)
        return decode(self._type, document) if document is not None else None

    def _store(
        self, connection: Connection, key: FunctionKey, qualifier: str, record: T, *, is_new: bool
    ) -> None:
        values = {"document": encode(record), "lookup": self._lookup(record)}
        if not is_new:
            query = update(function_records).where(self._is(key, qualifier)).values(values)
            connection.execute(query)
            return
        connection.execute(
            insert(function_records).values(
                account=key.account,
                region=key.region,
                name=key.name,
                kind=self._kind,
                qualifier=qualifier,
                **values,
            )
        )

    def _is(self, key: FunctionKey, qualifier: str | None = None) -> ColumnElement[bool]:
        mine = and_(is_owned_by(key), function_records.c.kind == self._kind)
        return mine if qualifier is None else and_(mine, function_records.c.qualifier == qualifier)


def is_owned_by(key: FunctionKey) -> ColumnElement[bool]:
    """Match every record of a function, of whatever kind."""
    return and_(
        function_records.c.account == key.account,
        function_records.c.region == key.region,
        function_records.c.name == key.name,
    )


def delete_records(connection: Connection, key: FunctionKey, qualifier: str) -> None:
    """Delete what a version or an alias has, in the transaction that deletes it."""
    is_its = and_(is_owned_by(key), function_records.c.qualifier == qualifier)
    connection.execute(delete(function_records).where(is_its))


def _owner_exists(connection: Connection, key: FunctionKey, qualifier: str) -> bool:
    """Whether there is something to own a record; its function's row is locked."""
    function = select(functions.c.name).where(is_function(key)).with_for_update()
    if connection.scalar(function) is None:
        return False
    if qualifier in ("", LATEST):
        return True
    if is_number(qualifier):
        return bool(connection.scalar(select(exists().where(is_version(key, qualifier)))))
    is_alias = and_(
        aliases.c.account == key.account,
        aliases.c.region == key.region,
        aliases.c.name == key.name,
        aliases.c.alias == qualifier,
    )
    return bool(connection.scalar(select(exists().where(is_alias))))
