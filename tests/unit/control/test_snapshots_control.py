"""Publishing with SnapStart: what waits for the snapshot, what does not, and what fails."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from control_fakes import ControlPlane
from support.records import KEY, SETTINGS, key, open_state

from lambdabox.control.code import CodeSource
from lambdabox.domain.functions import CREATING, READY, SNAP_START, State, Version
from lambdabox.ports import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_state(tmp_path) as database:
        yield database


@pytest.fixture
async def plane(database: Database) -> ControlPlane:
    """A control plane with one function that has SnapStart."""
    plane = ControlPlane(database)
    settings = replace(SETTINGS, snap_start=SNAP_START)
    source = CodeSource(zip_file=b"good")
    await plane.functions.create(KEY, settings, source, tags={}, publish=False)
    await plane.settle()
    return plane


async def settled(plane: ControlPlane, number: str) -> Version:
    with anyio.fail_after(20):
        while (version := await plane.get(KEY, number)).status.state is State.PENDING:
            await anyio.lowlevel.checkpoint()
    return version


async def test_a_published_version_waits_for_its_snapshot(plane: ControlPlane) -> None:
    assert not plane.executor.snapshots, "the latest has none"
    published = await plane.publish(KEY)
    assert (published.status, published.deployment) == (CREATING, None)
    await plane.settle()
    version = await plane.get(KEY, "1")
    assert version.status == READY
    assert plane.executor.snapshots == [version.deployment]


async def test_an_init_that_fails_fails_the_version_alone(plane: ControlPlane) -> None:
    plane.executor.init_failures.append("The function's initialization failed: E: no database")
    await plane.publish(KEY)
    await plane.settle()
    status = (await plane.get(KEY, "1")).status
    assert (status.state, status.state_reason_code) == (State.FAILED, "FunctionError")
    assert status.state_reason == "The function's initialization failed: E: no database"
    assert (await plane.get(KEY)).status == READY
    assert not plane.executor.snapshots, "nothing is kept of it"


async def test_publishing_again_without_a_change_takes_no_other_snapshot(
    plane: ControlPlane,
) -> None:
    for _ in range(2):
        assert (await plane.publish(KEY)).number == "1"
        await plane.settle()
    assert len(plane.executor.snapshots) == 1


async def test_other_changes_do_not_wait_for_a_snapshot(plane: ControlPlane) -> None:
    plane.executor.may_snapshot = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.reconciler.serve)
        await plane.publish(KEY)
        await plane.executor.snapshotting.wait()
        await plane.create(key("other"))
        with anyio.fail_after(20):
            while (await plane.get(key("other"))).status != READY:
                await anyio.lowlevel.checkpoint()
        assert (await plane.get(KEY, "1")).status == CREATING
        plane.executor.may_snapshot.set()
        assert (await settled(plane, "1")).status == READY
        assert len(plane.executor.snapshots) == 1, "the loop did not begin it again"
        tasks.cancel_scope.cancel()


async def test_a_version_deleted_meanwhile_keeps_no_snapshot(plane: ControlPlane) -> None:
    plane.executor.may_snapshot = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.reconciler.serve)
        await plane.publish(KEY)
        await plane.executor.snapshotting.wait()
        await plane.delete(KEY, "1")
        plane.executor.may_snapshot.set()
        with anyio.fail_after(20):
            await plane.executor.dropped.wait()
        assert not plane.executor.snapshots
        tasks.cancel_scope.cancel()


async def test_trouble_with_the_store_is_no_end_of_the_node(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lambdabox.control.reconcile.RETRY_SECONDS", 0.01)
    change, troubles = plane.repository.change, [OSError("no space left")]

    async def troubled_change(*arguments: object) -> Version | None:
        if troubles:
            raise troubles.pop()
        return await change(*arguments)  # type: ignore[arg-type]  # passed on as they come

    monkeypatch.setattr(plane.repository, "change", troubled_change)
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.reconciler.serve)
        await plane.publish(KEY)
        assert (await settled(plane, "1")).status == READY
        tasks.cancel_scope.cancel()
    assert "no space left" in caplog.text


async def test_a_node_that_starts_takes_the_snapshots_of_what_is_active(
    plane: ControlPlane, database: Database
) -> None:
    await plane.publish(KEY)
    await plane.settle()
    await plane.functions.update_settings(KEY, {"snap_start": "None"}, None)
    await plane.settle()
    await plane.publish(KEY)  # version 2, without
    restarted = ControlPlane(database)
    async with anyio.create_task_group() as tasks:
        await tasks.start(restarted.reconciler.serve)
        with anyio.fail_after(20):
            await restarted.executor.was_asked_to_rebuild.wait()
        tasks.cancel_scope.cancel()
    assert [item.version for item in restarted.executor.rebuilt] == ["1"]
