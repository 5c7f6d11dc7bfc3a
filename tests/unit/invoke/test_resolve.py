"""From a name to what runs: remembered, and never wrongly."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from sqlalchemy import Connection
from support.records import KEY, creating, deployment, key, open_state, ready

from lambdabox.backends.bus import LocalBus
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import LATEST, FunctionReference
from lambdabox.domain.errors import ResourceConflictException, ResourceNotFoundException
from lambdabox.domain.functions import Deployment
from lambdabox.invoke.resolve import Resolver
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.functions import FunctionRepository

pytestmark = pytest.mark.anyio

T = TypeVar("T")
CHANGED = "changed"
HELLO = FunctionReference(KEY, None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class WatchedDatabase:
    """Passes on to a real database; counts reads, and may hold their answers back."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self.reads = 0
        self.was_read = anyio.Event()
        self.answers = anyio.Event()
        self.answers.set()

    async def read(self, work: Callable[[Connection], T]) -> T:
        found = await self._database.read(work)
        self.reads += 1
        self.was_read.set()
        await self.answers.wait()
        return found

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.write(work)


class Setting:
    """A resolver on a database, and what changes functions behind it."""

    def __init__(self, database: WatchedDatabase) -> None:
        self.database = database
        self.repository = FunctionRepository(database)
        self.bus = LocalBus()
        self.resolver = Resolver(
            self.repository, AliasRepository(database), self.bus, changes=CHANGED
        )

    async def deploy(self, id: str) -> None:
        """What the reconciler does at the end of an update: store, then say so."""
        made = deployment(id)
        await self.repository.change(KEY, LATEST, lambda v: replace(v, deployment=made))
        self.bus.publish(CHANGED, KEY.arn)


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with open_state(tmp_path) as database:
        yield Setting(WatchedDatabase(database))


async def test_latest_is_what_an_unqualified_name_means(setting: Setting) -> None:
    await setting.repository.create(ready())
    assert await setting.resolver.resolve(HELLO) == ready().deployment
    assert await setting.resolver.resolve(FunctionReference(KEY, LATEST)) == ready().deployment


async def test_a_number_means_that_version(setting: Setting) -> None:
    await setting.repository.create(ready())
    await setting.repository.publish(KEY, lambda latest, _newest: latest)
    found = await setting.resolver.resolve(FunctionReference(KEY, "1"))
    assert found.version == "1"


async def test_a_known_answer_needs_no_database(setting: Setting) -> None:
    await setting.repository.create(ready())
    for _ in range(5):
        await setting.resolver.resolve(HELLO)
    assert setting.database.reads == 1


async def test_after_a_change_the_new_deployment_is_found(setting: Setting) -> None:
    await setting.repository.create(ready())
    await setting.resolver.resolve(HELLO)
    await setting.deploy("new")
    assert (await setting.resolver.resolve(HELLO)).id == "new"


async def test_an_answer_that_a_change_overtook_is_not_remembered(setting: Setting) -> None:
    """The look-up read the old row, then the change was made, then the answer arrived."""
    await setting.repository.create(ready())
    setting.database.answers = anyio.Event()
    answers: list[Deployment] = []

    async def resolve() -> None:
        answers.append(await setting.resolver.resolve(HELLO))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(resolve)
        await setting.database.was_read.wait()
        await setting.deploy("new")
        setting.database.answers.set()
    assert answers == [ready().deployment]
    assert (await setting.resolver.resolve(HELLO)).id == "new"


async def test_a_change_of_another_function_costs_no_look_up(setting: Setting) -> None:
    await setting.repository.create(ready())
    await setting.resolver.resolve(HELLO)
    setting.bus.publish(CHANGED, key("other").arn)
    await setting.resolver.resolve(HELLO)
    assert setting.database.reads == 1


async def test_what_changed_is_looked_up_before_it_is_asked_for(setting: Setting) -> None:
    await setting.repository.create(ready())
    async with anyio.create_task_group() as tasks:
        await tasks.start(setting.resolver.serve)
        setting.bus.publish(CHANGED, key("deleted").arn)
        await setting.deploy("new")
        while setting.database.reads < 2:
            setting.database.was_read = anyio.Event()
            await setting.database.was_read.wait()
        await anyio.wait_all_tasks_blocked()
        reads = setting.database.reads
        assert (await setting.resolver.resolve(HELLO)).id == "new"
        tasks.cancel_scope.cancel()
    assert setting.database.reads == reads


async def test_a_deleted_function_is_not_found_any_more(setting: Setting) -> None:
    await setting.repository.create(ready())
    await setting.resolver.resolve(HELLO)
    await setting.repository.delete(KEY)
    setting.bus.publish(CHANGED, KEY.arn)
    with pytest.raises(ResourceNotFoundException):
        await setting.resolver.resolve(HELLO)


async def test_a_function_that_is_made_later_is_found(setting: Setting) -> None:
    with pytest.raises(ResourceNotFoundException):
        await setting.resolver.resolve(HELLO)
    await setting.repository.create(ready())
    assert await setting.resolver.resolve(HELLO) == ready().deployment


async def test_a_function_that_cannot_run_yet_is_a_conflict_until_it_can(
    setting: Setting,
) -> None:
    await setting.repository.create(creating())
    with pytest.raises(ResourceConflictException, match="Pending"):
        await setting.resolver.resolve(HELLO)
    await setting.deploy("ready")
    assert (await setting.resolver.resolve(HELLO)).id == "ready"


@pytest.mark.parametrize("qualifier", ["2", "0", "00", "01", "9" * 40, "live", "²"])
async def test_a_qualifier_that_names_nothing_is_not_found(
    setting: Setting, qualifier: str
) -> None:
    await setting.repository.create(ready())
    await setting.repository.publish(KEY, lambda latest, _newest: latest)
    with pytest.raises(ResourceNotFoundException) as refused:
        await setting.resolver.resolve(FunctionReference(KEY, qualifier))
    assert refused.value.message == f"Function not found: {KEY.arn}:{qualifier}"


async def test_functions_are_kept_apart(setting: Setting) -> None:
    for name in ("a", "b"):
        await setting.repository.create(ready(key(name)))
    for name in ("a", "b", "a"):
        found = await setting.resolver.resolve(FunctionReference(key(name), None))
        assert found.key.name == name
