"""What functions have of their account's concurrency: reserved, and provisioned.

Whether a function may have more depends on what all others have, so a change is checked
against every share of the account inside the transaction that stores it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, select, true, update

from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.concurrency import ProvisionedConfig, Share
from lambdabox.ports import Database
from lambdabox.repositories.codec import decode
from lambdabox.repositories.function_records import FunctionRecords, Owned, OwnerMissing
from lambdabox.repositories.rows import is_function
from lambdabox.repositories.tables import function_records, functions

KIND = "provisioned-concurrency"

Check = Callable[[Mapping[str, Share]], None]
"""Given the account's shares by function name, raise to change nothing."""


class ConcurrencyRepository:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._configs = FunctionRecords(database, KIND, ProvisionedConfig)

    async def reserved(self, key: FunctionKey) -> int | None:
        """Return what is reserved for a function. Raises OwnerMissing."""
        return await self._database.read(lambda connection: _reserved(connection, key))

    async def reserve(self, key: FunctionKey, count: int | None, check: Check) -> None:
        """Store what is reserved for a function, None for nothing. Raises OwnerMissing."""

        def work(connection: Connection) -> None:
            _reserved(connection, key)
            check(_shares_of(connection, Scope(key.account, key.region)))
            change = update(functions).where(is_function(key)).values(reserved_concurrency=count)
            connection.execute(change)

        await self._database.write(work)

    async def config(self, key: FunctionKey, qualifier: str) -> ProvisionedConfig | None:
        return await self._configs.get(key, qualifier)

    async def configs(
        self, key: FunctionKey, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Owned[ProvisionedConfig]]:
        return await self._configs.of_function(key, after=after, limit=limit)

    async def provision(
        self, key: FunctionKey, qualifier: str, config: ProvisionedConfig, check: Check
    ) -> None:
        """Store a version's or an alias's provisioned concurrency. Raises OwnerMissing."""

        def work(connection: Connection) -> None:
            check(_shares_of(connection, Scope(key.account, key.region)))
            self._configs.apply(connection, key, qualifier, lambda _before: config)

        await self._database.write(work)

    async def unprovision(self, key: FunctionKey, qualifier: str) -> None:
        """Forget a version's or an alias's provisioned concurrency. Raises OwnerMissing."""
        await self._configs.change(key, qualifier, lambda _before: None)

    async def share(self, key: FunctionKey) -> Share:
        """Return what a function has for itself, by qualifier; nothing if it is gone."""
        found = await self._database.read(lambda connection: _shares(connection, is_function(key)))
        return found.get(key, Share())

    async def shares_of(self, scope: Scope) -> Mapping[str, Share]:
        """Return the shares of an account's functions in a region, of those that have one."""
        return await self._database.read(lambda connection: _shares_of(connection, scope))

    async def shares(self) -> Mapping[FunctionKey, Share]:
        """Return every share: what a node that starts has to go on with."""
        return await self._database.read(lambda connection: _shares(connection, true()))


def _reserved(connection: Connection, key: FunctionKey) -> int | None:
    query = select(functions.c.reserved_concurrency).where(is_function(key))
    row = connection.execute(query).first()
    if row is None:
        raise OwnerMissing
    reserved: int | None = row.reserved_concurrency
    return reserved


def _shares_of(connection: Connection, scope: Scope) -> Mapping[str, Share]:
    in_scope = and_(functions.c.account == scope.account, functions.c.region == scope.region)
    return {key.name: share for key, share in _shares(connection, in_scope).items()}


def _shares(connection: Connection, which: ColumnElement[bool]) -> dict[FunctionKey, Share]:
    name = (functions.c.account, functions.c.region, functions.c.name)
    reserved = {
        FunctionKey(row.account, row.region, row.name): row.reserved_concurrency
        for row in connection.execute(
            select(*name, functions.c.reserved_concurrency).where(
                which, functions.c.reserved_concurrency.is_not(None)
            )
        )
    }
    is_owner = and_(
        function_records.c.account == functions.c.account,
        function_records.c.region == functions.c.region,
        function_records.c.name == functions.c.name,
        function_records.c.kind == KIND,
    )
    provisioned: dict[FunctionKey, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(
        select(*name, function_records.c.qualifier, function_records.c.document)
        .join(function_records, is_owner)
        .where(which)
        .order_by(*name, function_records.c.qualifier)
    ):
        key = FunctionKey(row.account, row.region, row.name)
        config = decode(ProvisionedConfig, row.document)
        provisioned[key][row.qualifier] = config.requested
    return {
        key: Share(reserved.get(key), dict(provisioned.get(key, {})))
        for key in {**reserved, **provisioned}
    }
