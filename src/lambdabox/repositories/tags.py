"""Tags of any resource, by its ARN."""

from collections.abc import Callable, Collection, Mapping

from sqlalchemy import Connection, delete, insert, select

from lambdabox.ports import Database
from lambdabox.repositories.tables import tags


class TagRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, resource: str) -> dict[str, str]:
        return await self._database.read(lambda connection: _load(connection, resource))

    async def merge(
        self, resource: str, added: Mapping[str, str], check: Callable[[Mapping[str, str]], None]
    ) -> None:
        """Add or replace tags. `check` sees the result and may raise to refuse it."""

        def work(connection: Connection) -> None:
            merged = {**_load(connection, resource), **added}
            check(merged)
            connection.execute(
                delete(tags).where(tags.c.resource == resource, tags.c.key.in_(added))
            )
            rows = [{"resource": resource, "key": k, "value": v} for k, v in added.items()]
            if rows:
                connection.execute(insert(tags), rows)

        await self._database.write(work)

    async def remove(self, resource: str, keys: Collection[str]) -> None:
        await self._database.write(
            lambda connection: connection.execute(
                delete(tags).where(tags.c.resource == resource, tags.c.key.in_(keys))
            )
        )


def _load(connection: Connection, resource: str) -> dict[str, str]:
    rows = connection.execute(
        select(tags.c.key, tags.c.value).where(tags.c.resource == resource).order_by(tags.c.key)
    )
    return {row.key: row.value for row in rows}
