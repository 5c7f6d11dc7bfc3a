"""What is stored of concurrency is in effect: at the start, after each change, and no longer."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from support.records import CODE, KEY, SETTINGS, deployment, open_state, ready

from lambdabox.backends.bus import LocalBus
from lambdabox.backends.database import SqliteDatabase
from lambdabox.control import allotments as allotments_module
from lambdabox.control.allotments import Allotments
from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.aliases import Alias, Routing
from lambdabox.domain.arn import LATEST, FunctionKey
from lambdabox.domain.concurrency import UNPUBLISHED, ProvisionedConfig, Share
from lambdabox.domain.functions import Deployment, State, Status, UpdateStatus, Version
from lambdabox.domain.provisioned import INIT_FAILURE, Provisioned, ProvisionedStatus
from lambdabox.invoke.admission import LocalLedger
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.concurrency import ConcurrencyRepository
from lambdabox.repositories.functions import FunctionRepository

pytestmark = pytest.mark.anyio


class KeepingExecutor:
    """The part of an `execution_ports.Executor` that keeps environments ready."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        """By the deployment's id."""
        self.ready: dict[str, Provisioned] = {}
        self.changed = anyio.Event()

    def provision(self, deployment: Deployment, count: int) -> None:
        self.kept[deployment.id] = count
        if not count:
            del self.kept[deployment.id]
        self.changed.set()
        self.changed = anyio.Event()

    def provisioned(self, deployment: Deployment) -> Provisioned:
        wanted = Provisioned(self.kept.get(deployment.id, 0))
        return self.ready.get(deployment.id, wanted)


class Plane:
    def __init__(self, database: SqliteDatabase) -> None:
        self.functions = FunctionRepository(database)
        self.aliases = AliasRepository(database)
        self.shares = ConcurrencyRepository(database)
        self.bus = LocalBus()
        self.restart()

    def restart(self) -> None:
        """Forget all that is not stored."""
        self.executor = KeepingExecutor()
        self.ledger = LocalLedger(account_concurrency=100)
        self.allotments = Allotments(
            self.shares, self.functions, self.aliases, cast(Any, self.executor), self.ledger,
            self.bus,
        )  # fmt: skip

    async def publish(self, status: Status | None = None) -> Version:
        latest = ready()
        version = Version(
            KEY, LATEST, SETTINGS, CODE, status or latest.status, "r", 1.0,
            None if status else deployment("?"),
        )  # fmt: skip
        published = await self.functions.publish(KEY, lambda _latest, _newest: version)
        assert published is not None
        if published.deployment is not None:
            await self.settle(published.number)
        return published

    async def settle(self, number: str) -> None:
        """Give a version a deployment, as the reconciler does."""

        def apply(version: Version) -> Version:
            runs = deployment(f"v{number}", version=number)
            return Version(KEY, number, SETTINGS, CODE, ready().status, "r", 1.0, runs)

        await self.functions.change(KEY, number, apply)

    async def alias(self, name: str, version: str, routing: Routing | None = None) -> None:
        alias = Alias(name, version, "r", routing=routing)
        await self.aliases.change(KEY, name, lambda _before, _find: alias)

    async def provision(self, qualifier: str, count: int) -> None:
        config = ProvisionedConfig(count, 1.0)
        await self.shares.provision(KEY, qualifier, config, lambda _shares: None)

    def changed(self, key: FunctionKey = KEY) -> None:
        self.bus.publish(FUNCTION_CHANGED, key.arn)

    async def until(self, kept: dict[str, int]) -> None:
        with anyio.fail_after(10):
            while self.executor.kept != kept:
                await self.executor.changed.wait()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    async with open_state(tmp_path) as database:
        plane = Plane(database)
        await plane.functions.create(ready())
        await plane.publish()
        yield plane


async def test_what_is_stored_is_in_effect_before_a_node_is_ready(plane: Plane) -> None:
    await plane.shares.reserve(KEY, 3, lambda _shares: None)
    await plane.provision("1", 2)
    plane.restart()
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.allotments.serve)
        assert plane.executor.kept == {"v1": 2}
        assert sum(plane.ledger.acquire(deployment()) for _ in range(10)) == 3
        tasks.cancel_scope.cancel()


async def test_environments_move_with_an_alias_and_end_with_it(plane: Plane) -> None:
    await plane.publish()
    await plane.alias("live", "1")
    await plane.provision("live", 4)
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.allotments.serve)
        assert plane.executor.kept == {"v1": 4}
        await plane.alias("live", "1", Routing("2", 0.25))
        plane.changed()
        await plane.until({"v1": 3, "v2": 1})
        await plane.alias("live", "2")
        plane.changed()
        await plane.until({"v2": 4})
        await plane.aliases.delete(KEY, "live")
        plane.changed()
        await plane.until({})
        tasks.cancel_scope.cancel()


async def test_a_function_that_is_gone_keeps_nothing_and_is_forgotten(plane: Plane) -> None:
    await plane.shares.reserve(KEY, 0, lambda _shares: None)
    await plane.shares.reserve(KEY, 5, lambda _shares: None)
    await plane.provision("1", 5)
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.allotments.serve)
        assert plane.executor.kept == {"v1": 5}
        await plane.functions.delete(KEY)
        plane.changed()
        await plane.until({})
        tasks.cancel_scope.cancel()
    assert plane.allotments._plans == {}
    assert sum(plane.ledger.acquire(deployment()) for _ in range(200)) == 100


async def test_a_version_that_becomes_ready_later_is_kept_then(plane: Plane) -> None:
    pending = await plane.publish(Status(State.PENDING))
    await plane.provision(pending.number, 2)
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.allotments.serve)
        standing = plane.allotments.standing(KEY, pending.number, 2)
        assert standing == Provisioned(2, 0, 0)
        assert standing.status is ProvisionedStatus.IN_PROGRESS
        await plane.settle(pending.number)
        plane.changed()
        await plane.until({"v2": 2})
        tasks.cancel_scope.cancel()


async def test_a_version_that_cannot_run_says_why(plane: Plane) -> None:
    reason = "The code could not be unpacked."
    failed = Status(State.FAILED, reason, "InvalidZipFileException", UpdateStatus.FAILED)
    version = await plane.publish(failed)
    await plane.provision(version.number, 2)
    await plane.allotments.apply(KEY)
    standing = plane.allotments.standing(KEY, version.number, 2)
    assert standing == Provisioned(2, 0, 0, reason)
    assert standing.status is ProvisionedStatus.FAILED


async def test_an_alias_that_was_moved_where_nothing_can_be_kept_says_so(plane: Plane) -> None:
    await plane.alias("live", "1")
    await plane.provision("live", 2)
    await plane.allotments.apply(KEY)
    assert plane.executor.kept == {"v1": 2}
    await plane.alias("live", LATEST)
    await plane.allotments.apply(KEY)
    assert plane.executor.kept == {}
    assert plane.allotments.standing(KEY, "live", 2) == Provisioned(2, failure=UNPUBLISHED)


async def test_two_aliases_of_a_version_are_told_of_an_environment_once(plane: Plane) -> None:
    for name, count in (("a", 2), ("b", 3)):
        await plane.alias(name, "1")
        await plane.provision(name, count)
    await plane.allotments.apply(KEY)
    assert plane.executor.kept == {"v1": 5}
    plane.executor.ready["v1"] = Provisioned(5, allocated=4, available=3)
    assert plane.allotments.standing(KEY, "a", 2) == Provisioned(2, 2, 2)
    assert plane.allotments.standing(KEY, "b", 3) == Provisioned(3, 2, 1)
    plane.executor.ready["v1"] = Provisioned(5, failure=INIT_FAILURE)
    assert plane.allotments.standing(KEY, "b", 3) == Provisioned(3, failure=INIT_FAILURE)


async def test_changes_of_functions_without_a_share_are_not_looked_at(plane: Plane) -> None:
    plane.changed()
    assert not plane.allotments._changed


async def test_trouble_of_the_store_passes(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allotments_module, "RETRY_SECONDS", 0.001)
    share, troubles = plane.shares.share, [OSError("full"), OSError("full")]

    async def troubled(key: FunctionKey) -> Share:
        if troubles:
            raise troubles.pop()
        return await share(key)

    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.allotments.serve)
        await plane.provision("1", 2)
        monkeypatch.setattr(plane.shares, "share", troubled)
        with pytest.raises(OSError, match="full"):
            await plane.allotments.apply(KEY)
        await plane.until({"v1": 2})
        tasks.cancel_scope.cancel()
    assert not troubles
