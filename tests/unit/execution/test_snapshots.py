"""Environments that begin from a template: when it can be cloned, when not, when it dies."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from support.clock import ManualClock
from support.cloning import CloningDriver, CloningSandbox, PlainLauncher
from support.records import KEY, SETTINGS, deployment

from lambdabox.domain import limits
from lambdabox.domain.errors import SnapStartException, SnapStartTimeoutException
from lambdabox.domain.functions import SNAP_START, Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution.local import ExecutionLimits, LocalExecutor
from lambdabox.execution.snapshots import IDLE_SECONDS, STEADY_SECONDS
from lambdabox.execution_ports import SnapshotFailedError
from lambdabox.ports import CREDENTIALS_TOKEN_VARIABLE, LogLine, Usage

pytestmark = pytest.mark.anyio

VERSION = deployment(version="1", settings=replace(SETTINGS, snap_start=SNAP_START))
LIMITS = ExecutionLimits(
    max_environments=100, concurrent_starts=8, idle_seconds=300, drain_seconds=5
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class KeptJournal:
    """A `ports.Journal` that keeps what it is told."""

    def __init__(self, driver: CloningDriver) -> None:
        self.lines: list[LogLine] = []
        self.usages: list[Usage] = []
        self._driver = driver

    def log(self, line: LogLine) -> None:
        self.lines.append(line)
        self._driver.changed.set()

    def usage(self, usage: Usage) -> None:
        self.usages.append(usage)

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        for line in lines:
            self.log(line)
        self.usage(usage)

    def of_kind(self, kind: str) -> list[str]:
        return [line.message for line in self.lines if line.message.split()[0] == kind]


class Setting:
    def __init__(self, root: Path, *, can_clone: bool = True) -> None:
        self.root = root
        self.driver = CloningDriver(can_clone=can_clone)
        self.journal = KeptJournal(self.driver)
        self.clock = ManualClock()
        launcher: Any = PlainLauncher()
        self.executor = LocalExecutor(
            self.driver,
            launcher,
            cast(Any, None),
            self.journal,
            self.clock,
            root=root,
            limits=LIMITS,
        )
        self._numbers = iter(range(1_000))

    async def run(self, of: Deployment = VERSION) -> Outcome:
        number = next(self._numbers)
        outcome = await self.executor.run(of, Invocation(f"request-{number}", "arn", b"{}"))
        await anyio.lowlevel.checkpoint()  # its last lines come behind the caller's answer
        return outcome

    async def run_in_another(self) -> CloningSandbox:
        """Run an event in a sandbox that is made for it; return that one."""
        before = len(self.driver.sandboxes)
        await self.run()
        new = [s for s in self.driver.sandboxes[before:] if not s.spec.id.startswith("template")]
        assert len(new) == 1
        return new[0]

    async def lose_process(self) -> None:
        """Let the one idle environment lose its process in an event."""
        self.driver.dies_in_handler = True
        assert (await self.run()).error_type == "Runtime.ExitError"
        self.driver.dies_in_handler = False

    async def until_templates(self, count: int) -> None:
        snapshots = self.executor._snapshots
        await self.driver.until(
            lambda: sum(snapshot.has_template for snapshot in snapshots.values()) == count
        )


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path)
    async with anyio.create_task_group() as tasks:
        await tasks.start(setting.executor.serve)
        yield setting
        tasks.cancel_scope.cancel()
    assert not setting.driver.running
    assert not os.listdir(tmp_path)


async def test_environments_begin_from_one_init(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    setting.driver.may_answer = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(setting.run)
        await setting.driver.until(lambda: len(setting.driver.running) == 4)
        setting.driver.may_answer.set()
    template, *others = setting.driver.running
    assert (template.is_clone, template.is_waiting) == (False, True)
    assert all(sandbox.is_clone for sandbox in others)
    assert len(setting.journal.of_kind("INIT_START")) == 1
    assert len(setting.journal.of_kind("RESTORE_START")) == 3
    assert not setting.journal.of_kind("SNAPSHOT_UNUSABLE")


async def test_each_environment_is_told_its_own_token(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    await setting.run()
    first = setting.driver.running[-1]
    await setting.lose_process()
    second = await setting.run_in_another()
    tokens = [sandbox.variables[CREDENTIALS_TOKEN_VARIABLE] for sandbox in (first, second)]
    assert tokens == [
        sandbox.spec.environment[CREDENTIALS_TOKEN_VARIABLE] for sandbox in (first, second)
    ]
    assert tokens[0] != tokens[1]


async def test_the_first_report_alone_names_and_bills_the_restore(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    for _ in range(2):
        await setting.run()
    first, second = setting.journal.of_kind("REPORT")
    assert "Restore Duration: 0.00 ms\tBilled Restore Duration: 1 ms\t" in first
    assert "Billed Duration: 2 ms" in first
    assert "Init Duration" not in first
    assert "Restore" not in second
    assert [usage.restore_ms for usage in setting.journal.usages] == [0.0, None]
    assert [usage.init_ms for usage in setting.journal.usages] == [None, None]


async def test_a_process_that_died_is_replaced_from_the_template(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    await setting.lose_process()
    assert (await setting.run()).function_error is None
    assert len(setting.journal.of_kind("INIT_START")) == 1
    assert len({line.stream for line in setting.journal.lines}) == 2, "a template's, and one more"
    assert "Restore Duration" in setting.journal.of_kind("REPORT")[1]


async def test_a_template_with_extensions_is_not_copied(setting: Setting) -> None:
    setting.driver.has_extension = True
    await setting.executor.take_snapshot(VERSION)
    assert not setting.driver.running
    assert (await setting.run()).function_error is None
    [told] = setting.journal.of_kind("SNAPSHOT_UNUSABLE")
    assert "it has extensions, which run beside the process" in told
    assert "Restore Duration" in setting.journal.of_kind("REPORT")[0]


async def test_an_init_that_fails_leaves_no_template(setting: Setting) -> None:
    setting.driver.init_failure = "Runtime.BeforeSnapshotError"
    with pytest.raises(SnapshotFailedError) as caught:
        await setting.executor.take_snapshot(VERSION)
    assert str(caught.value) == (
        "The function's initialization failed: Runtime.BeforeSnapshotError: OSError: no luck"
    )
    assert not setting.driver.running
    [report] = setting.journal.of_kind("INIT_REPORT")
    assert report.endswith("Status: error\tError Type: Runtime.BeforeSnapshotError\n")


async def test_an_after_hook_that_fails_is_raised_and_the_next_event_is_restored_anew(
    setting: Setting,
) -> None:
    await setting.executor.take_snapshot(VERSION)
    setting.driver.restore_failure = "Runtime.AfterRestoreError"
    for _ in range(2):
        with pytest.raises(SnapStartException):
            await setting.run()
    [report, _] = setting.journal.of_kind("RESTORE_REPORT")
    assert report.endswith("\tStatus: error\tError Type: Runtime.AfterRestoreError\n")
    assert not setting.journal.of_kind("START")
    setting.driver.restore_failure = None
    assert (await setting.run()).function_error is None
    assert len(setting.journal.of_kind("INIT_START")) == 1


async def test_an_after_hook_that_fails_where_a_process_was_lost_is_raised_too(
    setting: Setting,
) -> None:
    await setting.executor.take_snapshot(VERSION)
    await setting.lose_process()
    setting.driver.restore_failure = "Runtime.AfterRestoreError"
    with pytest.raises(SnapStartException):
        await setting.run()
    setting.driver.restore_failure = None
    assert (await setting.run()).function_error is None


async def test_a_restore_that_does_not_end_is_given_up(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESTORE_SECONDS", 0.05)
    await setting.executor.take_snapshot(VERSION)
    setting.driver.restores_never = True
    with pytest.raises(SnapStartTimeoutException):
        await setting.run()
    [report] = setting.journal.of_kind("RESTORE_REPORT")
    assert report.endswith("\tStatus: timeout\tError Type: Runtime.RestoreHookUserTimeout\n")
    await setting.driver.until(lambda: len(setting.driver.running) == 1)


async def test_what_cannot_be_cloned_is_tried_twice_and_told_once(setting: Setting) -> None:
    setting.driver.refusal = "its init left 3 threads running"
    await setting.executor.take_snapshot(VERSION)
    for _ in range(4):
        sandbox = await setting.run_in_another()
        assert not sandbox.is_clone
        await setting.lose_process()
        if not setting.journal.of_kind("SNAPSHOT_UNUSABLE"):
            await setting.until_templates(1)  # the second one, made in the background
    assert setting.journal.of_kind("SNAPSHOT_UNUSABLE") == [
        (
            "SNAPSHOT_UNUSABLE Each environment of this version runs its own init: "
            "its init left 3 threads running\n"
        )
    ]
    await setting.until_templates(0)
    assert len([s for s in setting.driver.sandboxes if s.spec.id.startswith("template")]) == 2


async def test_a_driver_that_clones_nothing_keeps_no_template(tmp_path: Path) -> None:
    setting = Setting(tmp_path, can_clone=False)
    async with anyio.create_task_group() as tasks:
        await tasks.start(setting.executor.serve)
        await setting.executor.take_snapshot(VERSION)
        assert not setting.driver.running
        setting.executor.rebuild_snapshots([VERSION])
        assert not (await setting.run_in_another()).is_clone
        assert len(setting.driver.sandboxes) == 2
        assert "Restore Duration" in setting.journal.of_kind("REPORT")[0]
        assert len(setting.journal.of_kind("SNAPSHOT_UNUSABLE")) == 1
        tasks.cancel_scope.cancel()


async def test_a_template_that_dies_is_made_again_at_once(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    [first] = setting.driver.templates
    setting.clock.advance(STEADY_SECONDS + 1)
    first.kill()
    await setting.until_templates(0)
    await setting.until_templates(1)
    assert setting.driver.templates != [first]
    assert (await setting.run_in_another()).is_clone


async def test_a_template_that_dies_soon_is_made_again_when_it_is_needed(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    [first] = setting.driver.templates
    first.kill()
    await setting.driver.until(lambda: not setting.driver.running)
    # The event does not wait for it.
    setting.driver.may_init = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.run)
        await setting.driver.until(lambda: len(setting.driver.running) == 2)
        setting.driver.may_init.set()
    await setting.until_templates(1)
    await setting.lose_process()
    assert (await setting.run_in_another()).is_clone
    assert not setting.journal.of_kind("SNAPSHOT_UNUSABLE")


async def test_an_init_of_its_own_that_fails_is_the_events_error(setting: Setting) -> None:
    setting.driver.init_failure = "Runtime.Unknown"
    outcome = await setting.run()
    assert outcome.function_error == "Unhandled"
    assert b"no luck" in outcome.payload
    assert len(setting.journal.of_kind("REPORT")) == 1
    setting.driver.init_failure = None
    assert (await setting.run()).function_error is None


async def test_a_node_that_restarted_takes_its_snapshots_again(setting: Setting) -> None:
    other = replace(VERSION, id="other", version="2")
    setting.executor.rebuild_snapshots([VERSION, other])
    await setting.until_templates(2)
    assert (await setting.run_in_another()).is_clone


async def test_a_snapshot_that_cannot_be_taken_again_does_not_stop_the_others(
    setting: Setting,
) -> None:
    setting.driver.init_failure = "Runtime.Unknown"
    setting.driver.may_init = anyio.Event()
    setting.executor.rebuild_snapshots([VERSION, replace(VERSION, id="other", version="2")])
    await setting.driver.until(lambda: setting.driver.running)
    setting.driver.may_init.set()
    await setting.driver.until(lambda: len(setting.driver.sandboxes) == 2)


async def test_a_version_that_is_deleted_takes_its_template_with_it(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    await setting.run()
    setting.executor.retire(KEY, number="1")
    await setting.driver.until(lambda: not setting.driver.running)


async def test_another_versions_template_stays(setting: Setting) -> None:
    other = replace(VERSION, id="other", version="2")
    for version in (VERSION, other):
        await setting.executor.take_snapshot(version)
    setting.executor.retire(KEY, number="1")
    await setting.driver.until(lambda: setting.driver.running == setting.driver.sandboxes[1:])


async def test_a_version_deleted_while_its_snapshot_is_taken_leaves_nothing(
    setting: Setting,
) -> None:
    setting.driver.may_init = anyio.Event()

    async def take() -> None:
        with pytest.raises(SnapshotFailedError):
            await setting.executor.take_snapshot(VERSION)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await setting.driver.until(lambda: setting.driver.running)
        setting.executor.retire(KEY)
    assert not setting.driver.running


async def test_a_template_that_nothing_began_from_for_a_day_is_let_go(setting: Setting) -> None:
    await setting.executor.take_snapshot(VERSION)
    await setting.clock.sleeper()
    setting.clock.advance(IDLE_SECONDS - 1)
    await setting.clock.sleeper()
    assert len(setting.driver.templates) == 1
    setting.clock.advance(2 + LIMITS.idle_seconds)
    await setting.driver.until(lambda: not setting.driver.running)
    assert not (await setting.run_in_another()).is_clone
    await setting.until_templates(1)
