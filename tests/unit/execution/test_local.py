"""The environments of a whole node: which one goes when it is full, and what stays unpacked."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from execution_fakes import FakeEnvironment, Stage
from support.clock import ManualClock
from support.records import deployment, key

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation
from lambdabox.execution import local
from lambdabox.execution import pool as pool_module
from lambdabox.execution.local import ExecutionLimits, LocalExecutor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class KeptStaging:
    """Takes the place of `Staging`, and keeps what was swept."""

    def __init__(self) -> None:
        self.kept: list[set[str]] = []

    async def sweep(self, keep: Collection[str]) -> None:
        self.kept.append(set(keep))


class Setting:
    def __init__(self, root: Path) -> None:
        self.stage = Stage()
        self.staging = KeptStaging()
        nothing = cast(Any, None)
        self.executor = LocalExecutor(
            nothing,
            nothing,
            cast(Any, self.staging),
            nothing,
            ManualClock(),
            root=root,
            limits=ExecutionLimits(
                max_environments=2, concurrent_starts=4, idle_seconds=300, drain_seconds=5
            ),
        )

    async def run(self, name: str) -> None:
        await self.executor.run(of(name), Invocation(name, "arn", b""))

    def open_of(self, name: str) -> list[FakeEnvironment]:
        return [e for e in self.stage.open if e.deployment.key.name == name]


def of(name: str) -> Deployment:
    return deployment(f"deployment of {name}", of=key(name))


@pytest.fixture
async def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path)

    class StagedEnvironment(FakeEnvironment):
        def __init__(self, deployment: Deployment, workshop: Any, **options: Any) -> None:
            super().__init__(deployment, setting, **options)

    monkeypatch.setattr(pool_module, "Environment", StagedEnvironment)
    async with anyio.create_task_group() as tasks:
        await tasks.start(setting.executor.serve)
        yield setting
        tasks.cancel_scope.cancel()


async def test_a_full_node_lets_the_environment_go_that_was_idle_for_longest(
    setting: Setting,
) -> None:
    for name in ("a", "b"):
        await setting.run(name)
    [a], [b] = setting.open_of("a"), setting.open_of("b")
    a.last_used, b.last_used = 20.0, 10.0
    await setting.run("c")
    await setting.stage.until(lambda: b.is_closed)
    assert not a.is_closed
    assert setting.executor.environment_count == 2


async def test_a_full_node_of_busy_environments_still_starts_another(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    async with anyio.create_task_group() as tasks:
        for name in ("a", "b", "c"):
            tasks.start_soon(setting.run, name)
        await setting.stage.until(lambda: sum(bool(e.events) for e in setting.stage.open) == 3)
        assert setting.executor.environment_count == 3
        for environment in setting.stage.open:
            environment.answer()


async def test_retiring_a_function_leaves_the_others(setting: Setting) -> None:
    for name in ("a", "b"):
        await setting.run(name)
    setting.executor.retire(key("a"))
    await setting.stage.until(lambda: not setting.open_of("a"))
    assert len(setting.open_of("b")) == 1


async def test_retiring_keeps_the_deployment_that_is_named(setting: Setting) -> None:
    old = deployment("old", of=key("a"))
    for version in (old, of("a")):
        await setting.executor.run(version, Invocation("1", "arn", b""))
    setting.executor.retire(key("a"), keep=of("a").id)
    await setting.stage.until(lambda: len(setting.stage.open) == 1)
    assert setting.stage.open[0].deployment == of("a")


async def test_code_that_a_retired_environment_still_runs_is_not_swept(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.run, "a")
        await setting.stage.until(lambda: any(e.events for e in setting.stage.open))
        setting.executor.retire(key("a"))
        await setting.executor.sweep({"other"})
        setting.stage.open[0].answer()
    await setting.stage.until(lambda: not setting.stage.open)
    await setting.executor.sweep({"other"})
    assert setting.staging.kept == [{"other", of("a").code.digest}, {"other"}]


async def test_an_executor_that_does_not_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not running"):
        await Setting(tmp_path).run("a")


async def test_trouble_of_one_environment_is_logged_and_goes_no_further(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(reason: str) -> None:
        raise OSError(reason)

    await local._guarded(fail, ("no space left",))
    assert "no space left" in caplog.text
