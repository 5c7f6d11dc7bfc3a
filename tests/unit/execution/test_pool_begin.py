"""The warm path of a pool: events that begin at once, where an environment waits."""

from collections.abc import AsyncIterator

import anyio
import pytest
from execution_fakes import FakeEnvironment, Stage
from test_pool import Setting

from lambdabox.domain.errors import ServiceException
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution import pool as pool_module

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def setting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    monkeypatch.setattr(pool_module, "Environment", FakeEnvironment)
    async with anyio.create_task_group() as tasks:
        yield Setting(Stage(), tasks, 8)
        tasks.cancel_scope.cancel()


async def test_an_event_begins_only_where_an_environment_waits(setting: Setting) -> None:
    told: list[Outcome | Exception] = []
    assert not setting.pool.begin(Invocation("1", "arn", b""), told.append)
    await setting.run("2")
    assert setting.pool.begin(Invocation("3", "arn", b""), told.append)
    assert not setting.pool.begin(Invocation("4", "arn", b""), told.append)
    assert (setting.pool.size, setting.pool.idle_since) == (1, None)
    setting.stage.environments[0].answer_begun()
    assert told == [Outcome(b"environment-0: 3")]
    with anyio.fail_after(5):
        await setting.pool.emptied()


async def test_an_environment_that_will_not_begin_stays_idle(setting: Setting) -> None:
    await setting.run("1")
    setting.stage.environments[0].begins = False
    assert not setting.pool.begin(Invocation("2", "arn", b""), print)
    assert setting.pool.size == len(setting.pool._idle) == 1


async def test_an_event_that_began_is_told_when_its_pool_is_closed(setting: Setting) -> None:
    told: list[Outcome | Exception] = []
    await setting.run("1")
    assert setting.pool.begin(Invocation("2", "arn", b""), told.append)
    await setting.pool.close()
    [result] = told
    assert isinstance(result, ServiceException)


async def test_a_frozen_environment_is_thawed_for_an_event_that_begins(setting: Setting) -> None:
    await setting.run("1")
    setting.pool.freeze(before=float("inf"))
    [environment] = setting.stage.environments
    assert environment.is_frozen
    environment.begins = False
    assert not setting.pool.begin(Invocation("2", "arn", b""), print)
    assert environment.is_frozen
    environment.begins = True
    assert setting.pool.begin(Invocation("3", "arn", b""), print)
    assert not environment.is_frozen
    environment.answer_begun()
