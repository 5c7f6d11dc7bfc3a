"""What an account has in a region beside functions and layers: records of a kind, by id.

Event source mappings, code signing configurations and the like: each kind is a frozen
dataclass, kept as a document.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from lambdabox.domain.arn import Scope
from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.codec import decode, encode
from lambdabox.repositories.tables import account_records

T = TypeVar("T")

Change = Callable[[T | None], T | None]
"""Given the record, or None, return what it becomes: None for none. Raises to change nothing."""


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """A record with where it is."""

    scope: Scope
    id: str
    record: T


async def is_any_stored(database: Database, kinds: Collection[str]) -> bool:
    """Whether there is a record of any of `kinds`, in whatever account and region."""
    query = select(account_records.c.id).where(account_records.c.kind.in_(kinds)).limit(1)
    return await database.read(lambda connection: connection.scalar(query) is not None)


class AccountRecords(Generic[T]):
    """The records of one kind. `lookup` gives a further name to find records by."""

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

    async def get(self, scope: Scope, id: str) -> T | None:
        return await self._database.read(lambda connection: self._find(connection, scope, id))

    async def change(self, scope: Scope, id: str, change: Change[T]) -> T | None:
        """Apply `change` in one transaction and return what the record became.

        Raises whatever `change` raises.
        """

        def work(connection: Connection) -> T | None:
            before = self._find(connection, scope, id, lock=True)
            after = change(before)
            if after is not None:
                self._store(connection, scope, id, after, is_new=before is None)
            elif before is not None:
                connection.execute(delete(account_records).where(self._is(scope, id)))
            return after

        return await self._database.write(work)

    async def list_page(
        self,
        scope: Scope,
        *,
        lookup: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Held[T]]:
        """Return records in the order of their ids, those after `after`; all, or those found
        by `lookup`."""
        query = select(account_records).where(self._is(scope))
        if lookup is not None:
            query = query.where(account_records.c.lookup == lookup)
        if after is not None:
            query = query.where(account_records.c.id > after)
        return await self._read(query.order_by(account_records.c.id).limit(limit))

    async def all(self) -> Sequence[Held[T]]:
        """Return every record of the kind: what a node that starts has to go on with."""
        return await self._read(select(account_records).where(account_records.c.kind == self._kind))

    async def _read(self, query: Any) -> Sequence[Held[T]]:
        def work(connection: Connection) -> list[Held[T]]:
            return [
                Held(
                    Scope(row["account"], row["region"]),
                    row["id"],
                    decode(self._type, row["document"]),
                )
                for row in connection.execute(query).mappings()
            ]

        return await self._database.read(work)

    def _find(
        self, connection: Connection, scope: Scope, id: str, *, lock: bool = False
    ) -> T | None:
        query = select(account_records.c.document).where(self._is(scope, id))
        document = connection.scalar(query.with_for_update() if lock else query)
        return decode(self._type, document) if document is not None else None

    def _store(
        self, connection: Connection, scope: Scope, id: str, record: T, *, is_new: bool
    ) -> None:
        values = {"document": encode(record), "lookup": self._lookup(record)}
        if not is_new:
            connection.execute(update(account_records).where(self._is(scope, id)).values(values))
            return
        connection.execute(
            insert(account_records).values(
                account=scope.account, region=scope.region, kind=self._kind, id=id, **values
            )
        )

    def _is(self, scope: Scope, id: str | None = None) -> ColumnElement[bool]:
        mine = and_(
            account_records.c.account == scope.account,
            account_records.c.region == scope.region,
            account_records.c.kind == self._kind,
        )
        return mine if id is None else and_(mine, account_records.c.id == id)
