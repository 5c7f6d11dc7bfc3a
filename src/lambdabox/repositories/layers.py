"""Layers and their versions. A layer's row outlives its versions, for numbers are not reused."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    delete,
    insert,
    select,
    update,
)

from lambdabox.domain.arn import Scope
from lambdabox.domain.layers import LayerKey, LayerVersion
from lambdabox.ports import Database
from lambdabox.repositories.codec import decode, encode
from lambdabox.repositories.tables import layer_versions, layers

Change = Callable[[LayerVersion], LayerVersion]
"""Return what the version becomes, or raise an ApiError to leave it as it is."""
Matches = Callable[[LayerVersion], bool]


class LayerRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, version: LayerVersion) -> LayerVersion:
        """Store a version under its layer's next number, whatever number it comes with."""

        def work(connection: Connection) -> LayerVersion:
            numbered = replace(version, number=_take_number(connection, version.key))
            connection.execute(
                insert(layer_versions).values(
                    account=version.key.account,
                    region=version.key.region,
                    name=version.key.name,
                    number=numbered.number,
                    document=encode(numbered),
                    code_digest=version.code.digest,
                    code_bytes=version.code.size_bytes,
                )
            )
            return numbered

        return await self._database.write(work)

    async def get(self, key: LayerKey, number: int) -> LayerVersion | None:
        return await self._database.read(lambda connection: _find(connection, key, number))

    async def change(self, key: LayerKey, number: int, change: Change) -> LayerVersion | None:
        """Apply `change` to a version in one transaction; None if there is none."""

        def work(connection: Connection) -> LayerVersion | None:
            version = _find(connection, key, number, lock=True)
            if version is None:
                return None
            changed = change(version)
            connection.execute(
                update(layer_versions)
                .where(_is_version(key, number))
                .values(document=encode(changed))
            )
            return changed

        return await self._database.write(work)

    async def delete(self, key: LayerKey, number: int) -> bool:
        query = delete(layer_versions).where(_is_version(key, number))
        return await self._database.write(lambda connection: connection.execute(query).rowcount > 0)

    async def versions_of(
        self, key: LayerKey, matches: Matches, *, before: int | None, limit: int
    ) -> Sequence[LayerVersion]:
        """Return a layer's versions that match, the newest first; those before a number."""
        query = (
            select(layer_versions).where(_is_layer(key)).order_by(layer_versions.c.number.desc())
        )
        if before is not None:
            query = query.where(layer_versions.c.number < before)

        def work(connection: Connection) -> list[LayerVersion]:
            found: list[LayerVersion] = []
            for row in connection.execute(query).mappings():
                version = _from_row(row)
                if matches(version):
                    found.append(version)
                if len(found) == limit:
                    break
            return found

        return await self._database.read(work)

    async def newest(
        self, scope: Scope, matches: Matches, *, after: str | None, limit: int
    ) -> Sequence[LayerVersion]:
        """Return each layer's newest version that matches, by name; layers after a name."""
        query = (
            select(layer_versions)
            .where(
                layer_versions.c.account == scope.account, layer_versions.c.region == scope.region
            )
            .order_by(layer_versions.c.name, layer_versions.c.number.desc())
        )
        if after is not None:
            query = query.where(layer_versions.c.name > after)

        def work(connection: Connection) -> list[LayerVersion]:
            found: dict[str, LayerVersion] = {}
            for row in connection.execute(query).mappings():
                if row["name"] in found:
                    continue
                if len(found) == limit:
                    break
                version = _from_row(row)
                if matches(version):
                    found[row["name"]] = version
            return list(found.values())

        return await self._database.read(work)


def _take_number(connection: Connection, key: LayerKey) -> int:
    query = select(layers.c.next_version).where(_is_named(key)).with_for_update()
    number: int | None = connection.scalar(query)
    if number is None:
        connection.execute(
            insert(layers).values(
                account=key.account, region=key.region, name=key.name, next_version=2
            )
        )
        return 1
    connection.execute(update(layers).where(_is_named(key)).values(next_version=number + 1))
    return number


def _find(
    connection: Connection, key: LayerKey, number: int, *, lock: bool = False
) -> LayerVersion | None:
    query = select(layer_versions).where(_is_version(key, number))
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return _from_row(row) if row else None


def _from_row(row: RowMapping) -> LayerVersion:
    return decode(LayerVersion, row["document"])


def _is_named(key: LayerKey) -> ColumnElement[bool]:
    return and_(
        layers.c.account == key.account, layers.c.region == key.region, layers.c.name == key.name
    )


def _is_layer(key: LayerKey) -> ColumnElement[bool]:
    return and_(
        layer_versions.c.account == key.account,
        layer_versions.c.region == key.region,
        layer_versions.c.name == key.name,
    )


def _is_version(key: LayerKey, number: int) -> ColumnElement[bool]:
    return and_(_is_layer(key), layer_versions.c.number == number)
