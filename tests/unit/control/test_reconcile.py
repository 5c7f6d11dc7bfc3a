"""How what was asked for comes into effect, or says why it did not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from control_fakes import BAD, BETTER, GOOD, ControlPlane, code_of
from support.records import KEY, key, open_state

from lambdabox.control import reconcile
from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.arn import LATEST
from lambdabox.domain.errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import READY, State, UpdateStatus

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with open_state(tmp_path) as database:
        yield ControlPlane(database)


@asynccontextmanager
async def reconciling(plane: ControlPlane) -> AsyncIterator[Callable[[], anyio.Event]]:
    """The reconciler serves during the block, and a change can be waited for."""

    def next_change() -> anyio.Event:
        changed = anyio.Event()
        plane.bus.subscribe(FUNCTION_CHANGED, lambda _subject: changed.set())
        return changed

    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.reconciler.serve)
        with anyio.fail_after(20):
            yield next_change
        tasks.cancel_scope.cancel()


async def test_a_new_function_becomes_active(plane: ControlPlane) -> None:
    created = await plane.create(KEY)
    assert created.status.state is State.PENDING
    await plane.settle()
    version = await plane.get(KEY)
    assert version.status == READY
    assert version.deployment in plane.executor.prepared
    assert version.revision_id != created.revision_id


async def test_bad_code_fails_a_new_function_and_says_why(plane: ControlPlane) -> None:
    await plane.create(KEY, BAD)
    await plane.settle()
    status = (await plane.get(KEY)).status
    assert (status.state, status.update) == (State.FAILED, UpdateStatus.FAILED)
    assert status.state_reason == "Could not unzip uploaded file."
    assert status.state_reason_code == "InvalidZipFileException"


async def test_a_failed_function_can_only_be_deleted(plane: ControlPlane) -> None:
    await plane.create(KEY, BAD)
    await plane.settle()
    with pytest.raises(ResourceConflictException, match="Failed"):
        await plane.update_code(KEY, GOOD)
    with pytest.raises(ResourceConflictException, match="Failed"):
        await plane.publish(KEY)
    await plane.delete(KEY)
    with pytest.raises(ResourceNotFoundException):
        await plane.get(KEY)


async def test_an_update_replaces_what_runs_and_retires_what_ran(plane: ControlPlane) -> None:
    await plane.create(KEY)
    await plane.settle()
    before = await plane.get(KEY)
    updating = await plane.update_code(KEY, BETTER)
    assert (updating.status.state, updating.is_updating) == (State.ACTIVE, True)
    assert updating.deployment == before.deployment
    await plane.settle()
    after = await plane.get(KEY)
    assert after.status == READY
    assert after.deployment is not None
    assert after.deployment.code == after.code == code_of(BETTER)
    assert plane.executor.retired[-1] == (KEY.name, LATEST, after.deployment.id)
    assert plane.executor.swept[-1] == {code_of(BETTER).digest}


async def test_a_failed_update_keeps_what_ran(plane: ControlPlane) -> None:
    await plane.create(KEY)
    await plane.settle()
    before = await plane.get(KEY)
    await plane.update_code(KEY, BAD)
    await plane.settle()
    after = await plane.get(KEY)
    assert after.deployment == before.deployment
    assert (after.status.state, after.status.update) == (State.ACTIVE, UpdateStatus.FAILED)
    assert after.status.update_reason == "Could not unzip uploaded file."
    assert code_of(GOOD).digest in await plane.repository.digests()


async def test_after_a_failed_update_another_one_may_succeed(plane: ControlPlane) -> None:
    await plane.create(KEY)
    await plane.settle()
    await plane.update_code(KEY, BAD)
    await plane.settle()
    await plane.update_code(KEY, BETTER)
    await plane.settle()
    assert (await plane.get(KEY)).status == READY


async def test_a_version_published_after_a_failed_update_does_not_run_other_code(
    plane: ControlPlane,
) -> None:
    await plane.create(KEY)
    await plane.settle()
    await plane.update_code(KEY, BAD)
    await plane.settle()
    published = await plane.publish(KEY)
    assert (published.status.state, published.deployment) == (State.PENDING, None)
    await plane.settle()
    assert (await plane.get(KEY, "1")).status.state is State.FAILED


async def test_a_second_update_waits_for_the_first(plane: ControlPlane) -> None:
    await plane.create(KEY)
    await plane.settle()
    await plane.update_code(KEY, BETTER)
    with pytest.raises(ResourceConflictException, match=r"update is in progress.*function:hello"):
        await plane.update_code(KEY, GOOD)
    with pytest.raises(ResourceConflictException, match="update is in progress"):
        await plane.functions.update_settings(KEY, {"memory_mib": 256}, None)
    await plane.settle()
    assert (await plane.get(KEY)).code == code_of(BETTER)


async def test_of_two_updates_at_once_one_wins(plane: ControlPlane) -> None:
    await plane.create(KEY)
    await plane.settle()
    results: list[str] = []

    async def update(code: bytes) -> None:
        try:
            await plane.update_code(KEY, code)
            results.append("won")
        except ResourceConflictException:
            results.append("refused")

    async with anyio.create_task_group() as tasks:
        for code in (b"one", b"two", b"three"):
            tasks.start_soon(update, code)
    assert sorted(results) == ["refused", "refused", "won"]


async def test_a_stale_revision_is_refused(plane: ControlPlane) -> None:
    created = await plane.create(KEY)
    await plane.settle()
    with pytest.raises(PreconditionFailedException):
        await plane.update_code(KEY, BETTER, revision_id=created.revision_id)
    current = await plane.get(KEY)
    await plane.update_code(KEY, BETTER, revision_id=current.revision_id)


async def test_publishing_waits_for_an_update(plane: ControlPlane) -> None:
    await plane.create(KEY)
    await plane.settle()
    await plane.update_code(KEY, BETTER)
    with pytest.raises(ResourceConflictException, match="update is in progress"):
        await plane.publish(KEY)
    await plane.settle()
    published = await plane.publish(KEY)
    assert (published.number, published.status, published.code) == ("1", READY, code_of(BETTER))


async def test_an_update_that_publishes_makes_both_ready(plane: ControlPlane) -> None:
    await plane.create(KEY)
    await plane.settle()
    published = await plane.update_code(KEY, BETTER, publish=True)
    assert (published.number, published.status.state) == ("1", State.PENDING)
    await plane.settle()
    for number in (None, "1"):
        version = await plane.get(KEY, number)
        assert (version.status, version.code) == (READY, code_of(BETTER))
        assert version.deployment is not None
        assert version.deployment.version == version.number


@pytest.mark.parametrize("number", ["0", "00", "01", "9" * 40])
async def test_what_only_resembles_a_version_is_not_found_and_deletes_nothing(
    plane: ControlPlane, number: str
) -> None:
    await plane.create(KEY, publish=True)
    await plane.settle()
    with pytest.raises(ResourceNotFoundException):
        await plane.get(KEY, number)
    with pytest.raises(ResourceNotFoundException):
        await plane.delete(KEY, number)
    assert (await plane.get(KEY)).status == READY
    assert (await plane.get(KEY, "1")).status == READY


@pytest.mark.parametrize("qualifier", [LATEST, "live", "²"])
async def test_neither_latest_nor_an_alias_is_deleted_as_a_version(
    plane: ControlPlane, qualifier: str
) -> None:
    await plane.create(KEY)
    with pytest.raises((InvalidParameterValueException, ResourceNotFoundException)):
        await plane.delete(KEY, qualifier)
    await plane.get(KEY)


async def test_a_function_deleted_while_it_is_prepared_stays_deleted(plane: ControlPlane) -> None:
    await plane.create(KEY)
    plane.executor.may_prepare = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(plane.settle)
        await plane.executor.preparing.wait()
        await plane.delete(KEY)
        plane.executor.may_prepare.set()
    with pytest.raises(ResourceNotFoundException):
        await plane.get(KEY)


async def test_a_function_made_again_while_the_old_one_is_prepared_gets_its_own_code(
    plane: ControlPlane,
) -> None:
    await plane.create(KEY)
    plane.executor.may_prepare = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(plane.settle)
        await plane.executor.preparing.wait()
        await plane.delete(KEY)
        await plane.create(KEY, BETTER)
        plane.executor.may_prepare.set()
    assert (await plane.get(KEY)).deployment is None
    await plane.settle()
    version = await plane.get(KEY)
    assert version.deployment is not None
    assert version.deployment.code == code_of(BETTER)


async def test_trouble_with_one_functions_code_is_logged_and_stops_no_other(
    plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    plane.executor.troubles = [OSError("no space left")]
    await plane.create(key("a"))
    await plane.create(key("b"))
    await plane.settle()
    states = sorted([(await plane.get(key(name))).status.state.value for name in ("a", "b")])
    assert states == ["Active", "Failed"]
    assert "no space left" in caplog.text
    failed = [await plane.get(key(name)) for name in ("a", "b")]
    reasons = [version.status.state_reason for version in failed]
    assert "The code could not be unpacked on this node; see its log." in reasons


async def test_the_loop_settles_what_it_is_woken_for(plane: ControlPlane) -> None:
    async with reconciling(plane) as next_change:
        changed = next_change()
        await plane.create(KEY)
        await changed.wait()
        assert (await plane.get(KEY)).status == READY
        changed = next_change()
        await plane.update_code(KEY, BETTER)
        await changed.wait()
        assert (await plane.get(KEY)).status == READY


async def test_the_loop_begins_with_what_an_earlier_node_left(plane: ControlPlane) -> None:
    await plane.create(KEY)
    plane.reconciler._wake = anyio.Event()
    async with reconciling(plane) as next_change:
        await next_change().wait()
        assert (await plane.get(KEY)).status == READY


async def test_trouble_with_the_database_does_not_end_the_loop(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = [OSError("no space left")]
    unsettled = plane.repository.unsettled

    async def troubled() -> object:
        if troubles:
            raise troubles.pop()
        return await unsettled()

    monkeypatch.setattr(plane.repository, "unsettled", troubled)
    monkeypatch.setattr(reconcile, "RETRY_SECONDS", 0.0)
    async with reconciling(plane) as next_change:
        changed = next_change()
        await plane.create(KEY)
        await changed.wait()
        assert (await plane.get(KEY)).status == READY
    assert "settling what waits failed" in caplog.text
