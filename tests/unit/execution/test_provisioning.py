"""Environments kept ready ahead of their events: how many, which, and for how long."""

from collections.abc import AsyncIterator

import anyio
import anyio.abc
import pytest
from execution_fakes import FakeEnvironment, Stage
from test_pool import Setting

from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.provisioned import (
    INIT_FAILURE,
    INTERNAL_FAILURE,
    Provisioned,
    ProvisionedStatus,
    retry_delay,
)
from lambdabox.execution import pool as pool_module
from lambdabox.execution.pool import SETTLE_SECONDS
from lambdabox.ports import Exit
from lambdabox.runtime.launch import LaunchError

pytestmark = pytest.mark.anyio

READY, IN_PROGRESS = ProvisionedStatus.READY, ProvisionedStatus.IN_PROGRESS
FAILED = ProvisionedStatus.FAILED


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def concurrent_starts() -> int:
    return 8


@pytest.fixture
async def setting(
    monkeypatch: pytest.MonkeyPatch, concurrent_starts: int
) -> AsyncIterator[Setting]:
    monkeypatch.setattr(pool_module, "Environment", FakeEnvironment)
    async with anyio.create_task_group() as tasks:
        yield Setting(Stage(), tasks, concurrent_starts)
        tasks.cancel_scope.cancel()


async def quiet() -> None:
    await anyio.wait_all_tasks_blocked()


async def pass_(setting: Setting, seconds: float) -> None:
    await quiet()
    setting.workshop.clock.advance(seconds)
    await quiet()


async def provision(setting: Setting, count: int) -> list[FakeEnvironment]:
    setting.pool.provision(count)
    await quiet()
    assert setting.pool.provisioned == Provisioned(count, count, count)
    return setting.stage.open


async def test_environments_are_initialised_ahead_and_then_used(setting: Setting) -> None:
    environments = await provision(setting, 3)
    assert len(environments) == 3
    assert all(environment.is_provisioned for environment in environments)
    for number in range(5):
        await setting.run(str(number))
    assert setting.stage.environments == environments
    assert (setting.pool.provisioned.status, setting.pool.size) == (READY, 3)


async def test_an_event_begins_where_an_environment_was_provisioned(setting: Setting) -> None:
    [ready] = await provision(setting, 1)
    told: list[Outcome | Exception] = []
    assert setting.pool.begin(Invocation("1", "arn", b""), told.append)
    assert not setting.pool.begin(Invocation("2", "arn", b""), told.append)
    ready.answer_begun()
    await quiet()
    assert told == [Outcome(f"{ready.id}: 1".encode())]
    assert setting.pool.provisioned == Provisioned(1, 1, 1)
    assert setting.pool.idle_since is None, "it is kept for the next event"


async def test_the_status_follows_the_starts(setting: Setting) -> None:
    assert setting.pool.provisioned == Provisioned()
    setting.stage.hold_starts()
    setting.pool.provision(2)
    assert setting.pool.provisioned == Provisioned(requested=2)
    await quiet()
    assert setting.pool.provisioned == Provisioned(requested=2, allocated=2)
    assert setting.pool.provisioned.status is IN_PROGRESS
    setting.stage.starts.set()
    await quiet()
    assert setting.pool.provisioned == Provisioned(2, 2, 2)
    assert setting.pool.provisioned.status is READY
    setting.pool.provision(0)
    assert setting.pool.provisioned == Provisioned()


async def test_what_exceeds_them_runs_on_demand(setting: Setting) -> None:
    [ready] = await provision(setting, 1)
    setting.stage.answers_at_once = False
    for id in ("1", "2"):
        setting.begin(id)
    await setting.stage.until(lambda: len(setting.busy) == 2)
    [spilled] = [e for e in setting.busy if e is not ready]
    assert not spilled.is_provisioned
    assert ready.events == ["1"]
    for environment in setting.busy:
        environment.answer()
    await setting.result("2")
    setting.stage.answers_at_once = True
    await setting.run("3")
    assert ready.events == ["1", "3"], "the provisioned one is used first"


async def test_idleness_and_a_full_node_leave_them(setting: Setting) -> None:
    [ready] = await provision(setting, 1)
    setting.pool.reap(before=float("inf"))
    setting.pool.evict()
    await quiet()
    assert not ready.is_closed
    assert setting.pool.idle_since is None
    assert setting.rooms == 1


async def test_a_request_that_waits_takes_one_that_becomes_ready(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    setting.stage.hold_starts()
    setting.pool.provision(1)
    await quiet()
    setting.begin("1")
    await quiet()
    setting.stage.starts.set()
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.busy[0].answer()
    await setting.result("1")
    assert setting.stage.environments[0].events == ["1"]


async def test_one_whose_process_ends_in_its_event_is_replaced(setting: Setting) -> None:
    [first] = await provision(setting, 1)
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: bool(setting.busy))
    first.end_process()
    await quiet()
    assert not first.is_closed, "its event is still under way"
    first.answer()
    await setting.result("1")
    await quiet()
    assert first.is_closed
    [second] = setting.stage.open
    assert second.is_provisioned
    assert setting.pool.provisioned == Provisioned(1, 1, 1)


async def test_one_whose_process_ends_while_idle_is_replaced_after_a_pause(
    setting: Setting,
) -> None:
    await provision(setting, 1)
    for losses in (1, 2, 3):
        [current] = setting.stage.open
        current.end_process()
        await quiet()
        assert current.is_closed
        assert setting.pool.provisioned == Provisioned(requested=1)
        await pass_(setting, retry_delay(losses) - 0.01)
        assert not setting.stage.open
        await pass_(setting, 0.02)
        assert len(setting.stage.open) == 1
    await setting.run("1")
    [used] = setting.stage.open
    used.end_process()
    await quiet()
    assert len(setting.stage.open) == 1, "one that was of use is replaced at once"


async def test_one_whose_platform_failed_is_replaced(setting: Setting) -> None:
    [first] = await provision(setting, 1)
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: bool(setting.busy))
    first.fail(OSError("broken pipe"))
    assert isinstance(await setting.result("1"), OSError)
    await pass_(setting, retry_delay(1))
    assert first.is_closed
    assert setting.pool.provisioned == Provisioned(1, 1, 1)
    assert setting.pool.size == 1


async def test_a_failing_init_is_a_status_and_is_tried_again_ever_more_rarely(
    setting: Setting,
) -> None:
    failure = LaunchError("Runtime.InvalidEntrypoint", "no bootstrap")
    setting.stage.init_failures = [failure, Exit(status=1), failure]
    setting.pool.provision(1)
    for failures in (1, 2, 3):
        await quiet()
        assert setting.pool.provisioned == Provisioned(1, 0, 0, INIT_FAILURE)
        assert setting.pool.provisioned.status is FAILED
        assert len(setting.stage.environments) == failures
        await pass_(setting, retry_delay(failures) - 0.01)
        assert len(setting.stage.environments) == failures
        await pass_(setting, 0.02)
    assert setting.pool.provisioned == Provisioned(1, 1, 1)
    assert len(setting.stage.open) == 1


async def test_while_starts_fail_only_one_is_tried_at_a_time(setting: Setting) -> None:
    failure = Exit(status=1)
    setting.stage.init_failures = [failure] * 100
    setting.pool.provision(50)
    await quiet()
    first_wave = len(setting.stage.environments)
    assert first_wave <= 8
    await pass_(setting, retry_delay(first_wave))
    assert len(setting.stage.environments) == first_wave + 1
    setting.stage.init_failures.clear()
    await pass_(setting, retry_delay(first_wave + 1))
    assert setting.pool.provisioned == Provisioned(50, 50, 50)


async def test_trouble_of_the_platform_is_a_status_too(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.stage.start_troubles = [OSError("no space left")]
    setting.pool.provision(1)
    await quiet()
    assert setting.pool.provisioned == Provisioned(1, 0, 0, INTERNAL_FAILURE)
    assert "no space left" in caplog.text
    assert not setting.stage.open
    await pass_(setting, retry_delay(1))
    assert setting.pool.provisioned.status is READY


async def test_fewer_lets_idle_ones_go_and_busy_ones_end_their_event(setting: Setting) -> None:
    await provision(setting, 2)
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: bool(setting.busy))
    [busy] = setting.busy
    setting.pool.provision(0)
    await quiet()
    assert setting.stage.open == [busy]
    busy.answer()
    await setting.result("1")
    await quiet()
    assert not setting.stage.open
    assert (setting.pool.size, setting.pool.is_needed) == (0, False)


async def test_letting_go_ends_the_wait_of_a_start_that_failed(setting: Setting) -> None:
    setting.stage.init_failures = [Exit(status=1)]
    setting.pool.provision(1)
    await quiet()
    assert setting.pool.is_needed
    setting.pool.provision(0)
    await quiet()
    assert not setting.pool.is_needed
    await pass_(setting, 1000)
    assert len(setting.stage.environments) == 1


async def test_letting_go_during_init_closes_what_comes_of_it(setting: Setting) -> None:
    setting.stage.hold_starts()
    setting.pool.provision(2)
    await quiet()
    setting.pool.provision(0)
    setting.stage.starts.set()
    await quiet()
    assert (len(setting.stage.environments), setting.stage.open) == (2, [])
    assert setting.pool.size == 0


async def test_more_and_less_and_more_again(setting: Setting) -> None:
    for count in (3, 1, 4, 0, 2):
        setting.pool.provision(count)
        setting.pool.provision(count)
        await quiet()
        assert setting.pool.provisioned == Provisioned(count, count, count)
        assert len(setting.stage.open) == setting.pool.size == count


async def test_retiring_lets_them_go(setting: Setting) -> None:
    await provision(setting, 2)
    setting.pool.retire()
    await quiet()
    assert not setting.stage.open
    assert not setting.pool.is_needed


async def test_closing_ends_them_all(setting: Setting) -> None:
    await provision(setting, 2)
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: bool(setting.busy))
    await setting.pool.close()
    await quiet()
    assert not setting.stage.open


async def test_one_that_has_answered_is_not_waited_for_when_another_is_ready(
    setting: Setting,
) -> None:
    await provision(setting, 2)
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.busy[0].has_answered = True
    setting.begin("2")
    await setting.stage.until(lambda: len(setting.busy) == 2)
    await pass_(setting, SETTLE_SECONDS)
    assert len(setting.stage.environments) == 2


def test_the_pause_between_tries_grows_and_has_an_end() -> None:
    assert [retry_delay(n) for n in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert retry_delay(1_000_000) == 300.0
