"""Aliases on a real database: what is stored, and that none leads nowhere."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from support.records import KEY, key, open_state, ready

from lambdabox.domain.aliases import Alias, Routing
from lambdabox.domain.arn import LATEST
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.ports import Database
from lambdabox.repositories.aliases import AliasRepository, Change, Find, VersionInUse
from lambdabox.repositories.function_records import FunctionRecords, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository

pytestmark = pytest.mark.anyio

LIVE = Alias("live", "1", "revision", "for everybody", Routing("2", 0.25))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_state(tmp_path) as opened:
        yield opened


@pytest.fixture
async def functions(database: Database) -> FunctionRepository:
    """A function with two published versions."""
    repository = FunctionRepository(database)
    await repository.create(ready())
    for _ in range(2):
        await repository.publish(KEY, lambda latest, _newest: latest)
    return repository


@pytest.fixture
def repository(database: Database, functions: FunctionRepository) -> AliasRepository:
    return AliasRepository(database)


def to(alias: Alias) -> Change:
    """A change to `alias` that is refused if it leads nowhere, as the control plane's is."""

    def change(_before: Alias | None, find: Find) -> Alias:
        for number in alias.versions:
            if find(number) is None:
                raise ResourceNotFoundException(number)
        return alias

    return change


async def test_an_alias_comes_back_as_it_was_stored(repository: AliasRepository) -> None:
    assert await repository.change(KEY, "live", to(LIVE)) == LIVE
    assert await repository.get(KEY, "live") == LIVE
    assert await repository.get(KEY, "LIVE") is None
    assert await repository.get(key("other"), "live") is None


async def test_a_change_sees_what_was_there(repository: AliasRepository) -> None:
    seen: list[Alias | None] = []

    def change(before: Alias | None, _find: Find) -> Alias:
        seen.append(before)
        return LIVE if before is None else replace(before, function_version="2", routing=None)

    await repository.change(KEY, "live", change)
    await repository.change(KEY, "live", change)
    assert seen == [None, LIVE]
    assert await repository.get(KEY, "live") == replace(LIVE, function_version="2", routing=None)


@pytest.mark.parametrize("number", ["3", "0", "01", "9" * 1_000, "$LATEST.PUBLISHED"])
async def test_a_version_that_is_not_there_is_not_found(
    repository: AliasRepository, number: str
) -> None:
    with pytest.raises(ResourceNotFoundException):
        await repository.change(KEY, "live", to(replace(LIVE, function_version=number)))
    assert await repository.get(KEY, "live") is None


async def test_an_alias_is_followed_to_its_versions(repository: AliasRepository) -> None:
    await repository.change(KEY, "live", to(LIVE))
    await repository.change(KEY, "newest", to(Alias("newest", LATEST, "r")))
    led = await repository.follow(KEY, "live")
    assert led is not None
    assert (led.alias, led.version.number) == (LIVE, "1")
    assert led.further is not None
    assert led.further.number == "2"
    newest = await repository.follow(KEY, "newest")
    assert newest is not None
    assert (newest.version, newest.further) == (ready(), None)
    assert await repository.follow(KEY, "absent") is None


async def test_aliases_are_listed_by_name(repository: AliasRepository) -> None:
    for name, number in (("b", "2"), ("a", "1"), ("d", "1"), ("c", "2"), ("B", "1")):
        await repository.change(KEY, name, to(Alias(name, number, "r")))

    async def names(
        *, version: str | None = None, after: str | None = None, limit: int | None = None
    ) -> str:
        page = await repository.list_page(KEY, version=version, after=after, limit=limit)
        return "".join(alias.name for alias in page)

    assert await names() == "Babcd"
    assert await names(limit=2) == "Ba"
    assert await names(after="a", limit=2) == "bc"
    assert await names(version="1") == "Bad"
    assert await names(version="1", after="a", limit=1) == "d"
    assert await names(version="7") == ""


@pytest.mark.parametrize("number", ["1", "2"])
async def test_a_version_that_an_alias_leads_to_is_not_deleted(
    repository: AliasRepository, functions: FunctionRepository, number: str
) -> None:
    await repository.change(KEY, "live", to(LIVE))
    await repository.change(KEY, "all", to(replace(LIVE, name="all")))
    with pytest.raises(VersionInUse) as caught:
        await functions.delete_version(KEY, number)
    assert caught.value.aliases == ["all", "live"]
    assert await functions.get(KEY, number) is not None
    assert await repository.delete(KEY, "live")
    assert await repository.delete(KEY, "all")
    assert await functions.delete_version(KEY, number)


async def test_of_an_alias_made_and_its_version_deleted_at_once_one_wins(
    repository: AliasRepository, functions: FunctionRepository
) -> None:
    async def make(name: str) -> None:
        try:
            await repository.change(KEY, name, to(Alias(name, "1", "r")))
        except ResourceNotFoundException:
            return

    async def delete() -> None:
        try:
            await functions.delete_version(KEY, "1")
        except VersionInUse:
            return

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(make, f"a{number}")
            tasks.start_soon(delete)
    made = await repository.list_page(KEY)
    assert bool(made) == (await functions.get(KEY, "1") is not None)


async def test_what_an_alias_or_a_version_owns_ends_with_it(
    repository: AliasRepository, functions: FunctionRepository, database: Database
) -> None:
    records = FunctionRecords(database, "routing", Routing)
    with pytest.raises(OwnerMissing):
        await records.change(KEY, "live", lambda _before: Routing("1", 0))
    await repository.change(KEY, "live", to(Alias("live", "2", "r")))
    for owner in ("", LATEST, "1", "live"):
        await records.change(KEY, owner, lambda _before: Routing("1", 0))
    assert await functions.delete_version(KEY, "1")
    assert await repository.delete(KEY, "live")
    assert [owned.qualifier for owned in await records.of_function(KEY)] == ["", LATEST]
    assert not await repository.delete(KEY, "live")


async def test_aliases_end_with_their_function(
    repository: AliasRepository, functions: FunctionRepository
) -> None:
    await repository.change(KEY, "live", to(LIVE))
    await functions.delete(KEY)
    assert await repository.get(KEY, "live") is None
    assert not await repository.delete(KEY, "live")
    await functions.create(ready())
    assert await repository.list_page(KEY) == []
