"""Shares of an account's concurrency on a real database: checked together, ended together."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import anyio
import pytest
from support.records import KEY, SCOPE, key, open_state, ready

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.concurrency import AccountShares, ProvisionedConfig, Share
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.repositories.concurrency import ConcurrencyRepository
from lambdabox.repositories.function_records import OwnerMissing
from lambdabox.repositories.functions import FunctionRepository

pytestmark = pytest.mark.anyio

ELSEWHERE = FunctionKey(SCOPE.account, "eu-west-1", "hello")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_state(tmp_path) as database:
        yield database


@pytest.fixture
async def functions(database: SqliteDatabase) -> FunctionRepository:
    repository = FunctionRepository(database)
    for function in (KEY, key("other"), ELSEWHERE):
        await repository.create(ready(function))
        await repository.publish(function, lambda latest, _newest: latest)
    return repository


@pytest.fixture
def shares(database: SqliteDatabase, functions: FunctionRepository) -> ConcurrencyRepository:
    return ConcurrencyRepository(database)


def agree(_shares: Mapping[str, Share]) -> None:
    pass


async def test_a_share_is_what_is_reserved_and_what_is_provisioned(
    shares: ConcurrencyRepository,
) -> None:
    assert await shares.share(KEY) == Share()
    await shares.reserve(KEY, 5, agree)
    await shares.provision(KEY, "1", ProvisionedConfig(3, 1.5), agree)
    await shares.provision(ELSEWHERE, "1", ProvisionedConfig(2, 1.5), agree)
    await shares.reserve(key("other"), 0, agree)
    assert await shares.share(KEY) == Share(5, {"1": 3})
    assert await shares.reserved(KEY) == 5
    assert await shares.config(KEY, "1") == ProvisionedConfig(3, 1.5)
    assert await shares.shares_of(SCOPE) == {"hello": Share(5, {"1": 3}), "other": Share(0)}
    assert await shares.shares() == {
        KEY: Share(5, {"1": 3}), key("other"): Share(0), ELSEWHERE: Share(None, {"1": 2}),
    }  # fmt: skip
    await shares.reserve(KEY, None, agree)
    await shares.unprovision(KEY, "1")
    assert await shares.share(KEY) == Share()
    assert await shares.config(KEY, "1") is None


async def test_a_share_ends_with_its_function_or_version(
    shares: ConcurrencyRepository, functions: FunctionRepository
) -> None:
    await shares.provision(KEY, "1", ProvisionedConfig(3, 1.5), agree)
    await functions.delete_version(KEY, "1")
    assert await shares.shares() == {}
    await shares.reserve(KEY, 5, agree)
    await functions.delete(KEY)
    assert await shares.shares() == {}
    assert await shares.share(KEY) == Share()


async def test_what_is_not_there_has_no_share(shares: ConcurrencyRepository) -> None:
    with pytest.raises(OwnerMissing):
        await shares.reserved(key("nobody"))
    with pytest.raises(OwnerMissing):
        await shares.reserve(key("nobody"), 1, agree)
    for function, qualifier in ((key("nobody"), "1"), (KEY, "7"), (KEY, "live")):
        with pytest.raises(OwnerMissing):
            await shares.provision(function, qualifier, ProvisionedConfig(1, 1.5), agree)
        with pytest.raises(OwnerMissing):
            await shares.unprovision(function, qualifier)


async def test_of_changes_at_once_only_those_that_fit_are_stored(
    shares: ConcurrencyRepository,
) -> None:
    refused = []

    async def reserve(name: str, count: int) -> None:
        def check(found: Mapping[str, Share]) -> None:
            AccountShares(1_000, found).check_reservation(name, count)

        try:
            await shares.reserve(key(name), count, check)
        except InvalidParameterValueException:
            refused.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reserve, "hello", 500)
        tasks.start_soon(reserve, "other", 500)
    assert len(refused) == 1
    assert AccountShares(1_000, await shares.shares_of(SCOPE)).unreserved == 500
