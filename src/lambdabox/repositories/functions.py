"""Functions and their versions: the records behind every control operation.

A function's row holds what all versions share; each version, `$LATEST` included, has a
row of its own. Changes read, check and write inside one transaction, with the row
locked where the database has row locks, so that two callers never both win.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import orjson
from sqlalchemy import Connection, delete, func, insert, select, tuple_, union, update

from lambdabox.domain.arn import LATEST, FunctionKey, Scope
from lambdabox.domain.functions import SNAP_START, Deployment, Version
from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.aliases import check_unused
from lambdabox.repositories.function_records import delete_records
from lambdabox.repositories.rows import (
    VersionRows,
    is_function,
    is_version,
)
from lambdabox.repositories.tables import functions, layer_versions, layers, tags, versions

Change = Callable[[Version], Version]
"""Return what the version becomes, or raise an ApiError to leave it as it is."""


Make = Callable[[Version, Version | None], Version]
"""Given $LATEST and the newest published version, return that one or one to be added."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What one account holds in one region."""

    function_count: int
    code_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of versions begins: after this one."""

    name: str
    position: int


class FunctionRepository:
    def __init__(self, database: Database, rows: VersionRows | None = None) -> None:
        self._database = database
        self._rows = rows or VersionRows()

    async def create(
        self,
        version: Version,
        tagged: Mapping[str, str] | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> bool:
        """Store a new function with its first version and its tags; False if the name is taken.

        `also` stores, in the same transaction, what else it has from the start.
        """

        def work(connection: Connection) -> bool:
            if _find(self._rows, connection, version.key, LATEST):
                return False
            key = version.key
            connection.execute(
                insert(functions).values(
                    account=key.account, region=key.region, name=key.name, next_version=1
                )
            )
            connection.execute(insert(versions).values(self._rows.to_row(version)))
            rows = [{"resource": key.arn, "key": k, "value": v} for k, v in (tagged or {}).items()]
            if rows:
                connection.execute(insert(tags), rows)
            if also is not None:
                also(connection)
            return True

        return await self._database.write(work)

    async def get(self, key: FunctionKey, number: str = LATEST) -> Version | None:
        return await self._database.read(
            lambda connection: _find(self._rows, connection, key, number)
        )

    async def change(self, key: FunctionKey, number: str, change: Change) -> Version | None:
        """Apply `change` to a version in one transaction; None if there is none.

        Whatever `change` raises is raised here, and nothing is stored.
        """

        def work(connection: Connection) -> Version | None:
            version = _find(self._rows, connection, key, number, lock=True)
            if version is None:
                return None
            changed = change(version)
            connection.execute(
                update(versions).where(is_version(key, number)), self._rows.to_row(changed)
            )
            return changed

        return await self._database.write(work)

    async def publish(
        self, key: FunctionKey, make: Callable[[Version, Version | None], Version]
    ) -> Version | None:
        """Store a further version, made from $LATEST and the newest published one.

        `make` returns either the newest one itself (nothing is stored) or a version that is
        given the next number here. Numbers are never reused. None if there is no function.
        """

        def work(connection: Connection) -> Version | None:
            latest = _find(self._rows, connection, key, LATEST, lock=True)
            if latest is None:
                return None
            newest = _newest(self._rows, connection, key)
            made = make(latest, newest)
            if newest is not None and made.number == newest.number:
                return newest
            return _insert_numbered(self._rows, connection, made)

        return await self._database.write(work)

    async def list_page(
        self,
        scope: Scope,
        *,
        after: Place | None,
        limit: int,
        all_versions: bool,
        containing: str = "",
    ) -> Sequence[Version]:
        """Return versions in name order, at most `limit`: $LATEST ones, or every one.

        `containing` is a part of the names wanted, in upper or lower case.
        """
        query = (
            select(versions)
            .where(versions.c.account == scope.account, versions.c.region == scope.region)
            .order_by(versions.c.name, versions.c.position)
            .limit(limit)
        )
        if not all_versions:
            query = query.where(versions.c.position == 0)
        if containing:
            query = query.where(versions.c.name.icontains(containing, autoescape=True))
        if after is not None:
            place = tuple_(versions.c.name, versions.c.position)
            query = query.where(place > tuple_(after.name, after.position))
        return await self._database.read(
            lambda connection: [
                self._rows.from_row(row) for row in connection.execute(query).mappings()
            ]
        )

    async def versions_of(
        self, key: FunctionKey, *, after: int | None, limit: int
    ) -> Sequence[Version]:
        """Return versions of one function, $LATEST first; those after position `after`."""
        query = select(versions).where(is_version(key)).order_by(versions.c.position).limit(limit)
        if after is not None:
            query = query.where(versions.c.position > after)
        return await self._database.read(
            lambda connection: [
                self._rows.from_row(row) for row in connection.execute(query).mappings()
            ]
        )

    async def delete(self, key: FunctionKey) -> bool:
        """Delete a function with all its versions and tags; False if there is none."""

        def work(connection: Connection) -> bool:
            connection.execute(delete(tags).where(tags.c.resource == key.arn))
            return connection.execute(delete(functions).where(is_function(key))).rowcount > 0

        return await self._database.write(work)

    async def delete_version(self, key: FunctionKey, number: str) -> bool:
        """Delete a published version with what it owns; False if there is none.

        Raises VersionInUse.
        """

        def work(connection: Connection) -> bool:
            check_unused(connection, key, number)
            query = delete(versions).where(is_version(key, number))
            is_deleted = connection.execute(query).rowcount > 0
            if is_deleted:
                delete_records(connection, key, number)
            return is_deleted

        return await self._database.write(work)

    async def unsettled(self) -> Sequence[Version]:
        """Return every version that the reconciler still has to bring to an end."""
        query = select(versions).where(versions.c.is_settled.is_(False))
        return await self._database.read(
            lambda connection: [
                self._rows.from_row(row) for row in connection.execute(query).mappings()
            ]
        )

    async def with_snapshots(self) -> Sequence[Deployment]:
        """Return what published versions run that begin from a snapshot, newest first."""
        query = (
            select(versions)
            .where(versions.c.position > 0, versions.c.deployed_digest.is_not(None))
            .order_by(versions.c.position.desc())
        )

        def work(connection: Connection) -> list[Deployment]:
            found = (
                self._rows.deployment_of(row)
                for row in connection.execute(query).mappings()
                if SNAP_START.encode() in row["deployment"]  # most have none: spare the decryption
            )
            return [item for item in found if item is not None and item.has_snapshot]

        return await self._database.read(work)

    async def digests(self) -> set[str]:
        """Return the code and the layers that any version shows or runs, and those to be had."""

        shown = select(versions.c.code_digest)
        running = select(versions.c.deployed_digest).where(versions.c.deployed_digest.is_not(None))
        query = union(shown, running, select(layer_versions.c.code_digest))
        return await self._database.read(
            lambda connection: set(connection.scalars(query)) | _layers_in_use(connection)
        )

    async def totals(self, scope: Scope) -> Totals:
        code = select(
            func.count().filter(versions.c.position == 0),
            func.coalesce(func.sum(versions.c.code_bytes), 0),
        ).where(versions.c.account == scope.account, versions.c.region == scope.region)
        of_layers = select(func.coalesce(func.sum(layer_versions.c.code_bytes), 0)).where(
            layer_versions.c.account == scope.account, layer_versions.c.region == scope.region
        )

        def work(connection: Connection) -> Totals:
            count, size = connection.execute(code).one()
            return Totals(count, size + connection.scalars(of_layers).one())

        return await self._database.read(work)


def _find(
    rows: VersionRows,
    connection: Connection,
    key: FunctionKey,
    number: str,
    *,
    lock: bool = False,
) -> Version | None:
    query = select(versions).where(is_version(key, number))
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return rows.from_row(row) if row else None


def _layers_in_use(connection: Connection) -> set[str]:
    """Return the content of layers that versions refer to, deleted ones among them.

    Reads the settings of every version, but only where there ever was a layer.
    """
    if connection.scalar(select(layers.c.name).limit(1)) is None:
        return set()
    found: set[str] = set()
    for settings, deployment in connection.execute(
        select(versions.c.settings, versions.c.deployment)
    ):
        uses = orjson.loads(settings)["layers"]
        if deployment is not None:
            uses += orjson.loads(deployment)["settings"]["layers"]
        found.update(use.get("digest", "") for use in uses)
    return found


def _newest(rows: VersionRows, connection: Connection, key: FunctionKey) -> Version | None:
    query = (
        select(versions)
        .where(is_version(key), versions.c.position > 0)
        .order_by(versions.c.position.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return rows.from_row(row) if row else None


def _insert_numbered(rows: VersionRows, connection: Connection, version: Version) -> Version:
    key = version.key
    number: int = connection.scalars(select(functions.c.next_version).where(is_function(key))).one()
    connection.execute(update(functions).where(is_function(key)).values(next_version=number + 1))
    numbered = replace(version, number=str(number))
    if version.deployment is not None:
        deployment = replace(version.deployment, version=numbered.number)
        numbered = replace(numbered, deployment=deployment)
    connection.execute(insert(versions).values(rows.to_row(numbered)))
    return numbered
