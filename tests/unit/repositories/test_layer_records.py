"""Layers' records: numbers, lists, and what of their content is in use."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from support.records import KEY, SCOPE, creating, open_state, ready

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.functions import Code, LayerUse
from lambdabox.domain.layers import LayerGrant, LayerKey, LayerPolicy, LayerVersion
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.layers import LayerRepository

pytestmark = pytest.mark.anyio

SHARED = LayerKey(SCOPE.account, SCOPE.region, "shared")
DIGEST = "12" * 32
DRAFT = LayerVersion(SHARED, 0, Code(DIGEST, 10), 20, 1.5, "what", ("python3.12",), None, "MIT")
USE = LayerUse(SHARED.version_arn(1), 10, DIGEST, 20)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_state(tmp_path) as database:
        yield database


@pytest.fixture
def layers(database: SqliteDatabase) -> LayerRepository:
    return LayerRepository(database)


@pytest.fixture
def functions(database: SqliteDatabase) -> FunctionRepository:
    return FunctionRepository(database)


def named(name: str, draft: LayerVersion = DRAFT) -> LayerVersion:
    return replace(draft, key=replace(SHARED, name=name))


async def test_a_version_comes_back_as_it_was_stored(layers: LayerRepository) -> None:
    published = await layers.publish(DRAFT)
    assert published == replace(DRAFT, number=1)
    assert await layers.get(SHARED, 1) == published
    policy = LayerPolicy("revision", (LayerGrant("one", "*", "o-exampleorg1"),))
    opened = await layers.change(SHARED, 1, lambda version: replace(version, policy=policy))
    assert opened == replace(published, policy=policy)
    assert await layers.get(SHARED, 1) == opened
    assert await layers.get(SHARED, 2) is None
    assert await layers.change(SHARED, 2, lambda version: version) is None


async def test_versions_published_at_once_have_numbers_of_their_own(
    layers: LayerRepository,
) -> None:
    numbers: list[int] = []

    async def publish() -> None:
        numbers.append((await layers.publish(DRAFT)).number)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(publish)
    assert sorted(numbers) == [*range(1, 11)]


async def test_numbers_go_on_when_every_version_is_deleted(layers: LayerRepository) -> None:
    for number in (1, 2):
        await layers.publish(DRAFT)
        assert await layers.delete(SHARED, number)
        assert not await layers.delete(SHARED, number)
    assert (await layers.publish(DRAFT)).number == 3
    assert (await layers.publish(named("other"))).number == 1


async def test_the_newest_versions_that_match_are_found(layers: LayerRepository) -> None:
    for name in ("b", "a"):
        for runtimes in (("python3.12",), ("nodejs22.x",), ("python3.12",), None):
            await layers.publish(named(name, replace(DRAFT, runtimes=runtimes)))

    def is_for_python(version: LayerVersion) -> bool:
        return version.fits("python3.12", None)

    found = await layers.newest(SCOPE, is_for_python, after=None, limit=5)
    assert [(version.key.name, version.number) for version in found] == [("a", 3), ("b", 3)]
    found = await layers.newest(SCOPE, is_for_python, after="a", limit=5)
    assert [version.key.name for version in found] == ["b"]
    found = await layers.newest(SCOPE, is_for_python, after=None, limit=1)
    assert [version.key.name for version in found] == ["a"]
    key = replace(SHARED, name="a")
    for before, limit, expected in ((None, 5, [3, 1]), (3, 5, [1]), (None, 1, [3])):
        of_one = await layers.versions_of(key, is_for_python, before=before, limit=limit)
        assert [version.number for version in of_one] == expected


async def test_content_is_in_use_while_a_layer_or_a_version_of_a_function_has_it(
    layers: LayerRepository, functions: FunctionRepository
) -> None:
    await layers.publish(DRAFT)
    assert DIGEST in await functions.digests()
    version = ready()
    assert version.deployment is not None
    settings = replace(version.settings, layers=(USE,))
    runs = replace(version.deployment, settings=settings)
    await functions.create(replace(version, settings=settings, deployment=runs))
    await layers.delete(SHARED, 1)
    assert DIGEST in await functions.digests()
    # What is shown has it no more, and what runs still does.
    await functions.change(KEY, "$LATEST", lambda v: replace(v, settings=version.settings))
    assert DIGEST in await functions.digests()
    await functions.change(KEY, "$LATEST", lambda v: replace(v, deployment=version.deployment))
    assert DIGEST not in await functions.digests()
    await functions.delete(KEY)
    created = creating()
    await functions.create(replace(created, settings=replace(created.settings, layers=(USE,))))
    assert DIGEST in await functions.digests()


async def test_layers_count_towards_what_their_account_holds(
    layers: LayerRepository, functions: FunctionRepository
) -> None:
    await layers.publish(DRAFT)
    await layers.publish(DRAFT)
    await layers.publish(replace(DRAFT, key=replace(SHARED, account="210987654321")))
    await functions.create(creating())
    totals = await functions.totals(SCOPE)
    assert (totals.function_count, totals.code_bytes) == (1, 1_020)
