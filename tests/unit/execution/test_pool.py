"""Who gets which environment, and when environments come and go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from execution_fakes import FakeEnvironment, FakeWorkshop, Stage
from support.records import deployment

from lambdabox.domain.errors import ServiceException
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution import pool as pool_module
from lambdabox.execution.pool import SETTLE_SECONDS, Pool, Starts
from lambdabox.execution.process_owner import Workshop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Setting:
    """A pool of fake environments."""

    def __init__(self, stage: Stage, tasks: anyio.abc.TaskGroup, concurrent_starts: int) -> None:
        self.stage = stage
        self.tasks = tasks
        self.workshop = FakeWorkshop(stage, tasks)
        self.rooms = 0
        self.results: dict[str, Outcome | BaseException] = {}
        starts = Starts(
            anyio.CapacityLimiter(concurrent_starts),
            anyio.CapacityLimiter(concurrent_starts),
            new_id=lambda: f"environment-{len(stage.environments)}",
            make_room=self._count_room,
        )
        self.pool = Pool(deployment(), cast(Workshop, self.workshop), starts)

    async def run(self, id: str) -> Outcome:
        return await self.pool.run(Invocation(id, "arn", b""))

    def begin(self, id: str) -> None:
        """Run an event beside the test; what became of it goes to `results`."""
        self.tasks.start_soon(self._keep_result, id)

    async def result(self, id: str) -> Outcome | BaseException:
        await self.stage.until(lambda: id in self.results)
        return self.results[id]

    async def idle(self, count: int) -> None:
        """Have `count` environments, all idle."""
        self.stage.answers_at_once = False
        for number in range(count):
            self.begin(f"warm {number}")
        await self.stage.until(lambda: len(self.busy) == count)
        for environment in list(self.busy):
            environment.answer()
        for number in range(count):
            await self.result(f"warm {number}")
        self.stage.answers_at_once = True

    @property
    def busy(self) -> list[FakeEnvironment]:
        return [
            environment
            for environment in self.stage.open
            if environment.ended is not None and not environment.ended.done()
        ]

    async def _keep_result(self, id: str) -> None:
        try:
            self.results[id] = await self.run(id)
        except Exception as trouble:
            self.results[id] = trouble
        self.stage.changed.set()

    def _count_room(self) -> None:
        self.rooms += 1


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


async def all_quiet() -> None:
    await anyio.wait_all_tasks_blocked()


async def test_the_first_event_starts_an_environment(setting: Setting) -> None:
    assert (await setting.run("1")).payload == b"environment-0: 1"
    assert (setting.pool.size, setting.rooms) == (1, 1)


async def test_a_free_environment_is_used_again(setting: Setting) -> None:
    for id in ("1", "2", "3"):
        await setting.run(id)
    assert [environment.events for environment in setting.stage.environments] == [["1", "2", "3"]]


async def test_the_most_recently_used_environment_is_used_first(setting: Setting) -> None:
    await setting.idle(3)
    last = max(setting.stage.environments, key=lambda e: e.last_used)
    used = [(await setting.run(str(number))).payload.split(b":")[0] for number in range(4)]
    assert used == [last.id.encode()] * 4 or len(set(used)) == 1
    idle_ids = [environment.id for environment in setting.pool._idle]
    assert idle_ids[-1].encode() == used[-1]


async def test_events_at_once_have_environments_of_their_own(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    for id in ("1", "2", "3"):
        setting.begin(id)
    await setting.stage.until(lambda: len(setting.busy) == 3)
    assert setting.pool.size == 3
    assert sorted(id for e in setting.busy for id in e.events) == ["1", "2", "3"]


async def test_who_waits_for_a_start_takes_an_environment_freed_sooner(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    setting.begin("first")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.stage.hold_starts()
    setting.begin("second")
    await setting.stage.until(lambda: len(setting.stage.environments) == 2)
    [first] = setting.busy
    first.answer()
    await setting.stage.until(lambda: first.events == ["first", "second"])
    first.answer()
    assert await setting.result("second") == Outcome(b"environment-0: second")
    setting.stage.starts.set()
    await all_quiet()
    assert len(setting.pool._idle) == 2


async def test_who_waits_longest_is_served_first(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    setting.begin("0")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.stage.hold_starts()
    for id in ("1", "2", "3"):
        setting.begin(id)
        await all_quiet()
    environment = setting.stage.environments[0]
    for served in range(1, 4):
        environment.answer()
        await setting.stage.until(lambda n=served: len(environment.events) == n + 1)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
    assert environment.events == ["0", "1", "2", "3"]


@pytest.mark.parametrize("concurrent_starts", [1])
async def test_no_environment_is_started_for_nobody(setting: Setting) -> None:
    """Two wait, one start at a time; both are served before the second start began."""
    setting.stage.answers_at_once = False
    setting.begin("0")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.stage.hold_starts()
    setting.begin("1")
    setting.begin("2")
    await setting.stage.until(lambda: len(setting.stage.environments) == 2)
    first = setting.stage.environments[0]
    first.answer()
    await setting.stage.until(lambda: len(first.events) == 2)
    first.answer()
    await setting.stage.until(lambda: len(first.events) == 3)
    setting.stage.starts.set()
    await all_quiet()
    assert len(setting.stage.environments) == 2
    assert setting.pool.size == 2


async def test_an_environment_that_is_about_to_be_free_is_waited_for(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    [first] = setting.busy
    first.has_answered = True
    setting.begin("2")
    await setting.workshop.clock.sleeper()
    first.answer()
    await setting.stage.until(lambda: first.events == ["1", "2"])
    setting.workshop.clock.advance(SETTLE_SECONDS)
    await all_quiet()
    assert setting.stage.environments == [first]
    assert setting.pool.size == 1


async def test_an_environment_that_is_not_free_after_all_is_not_waited_for_long(
    setting: Setting,
) -> None:
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.busy[0].has_answered = True
    setting.begin("2")
    await setting.workshop.clock.sleeper()
    setting.workshop.clock.advance(SETTLE_SECONDS)
    await setting.stage.until(lambda: len(setting.busy) == 2)


async def test_a_start_that_fails_is_told_to_one_who_waits(setting: Setting) -> None:
    setting.stage.hold_starts()
    setting.stage.start_troubles = [OSError("no space left")]
    for id in ("1", "2", "3"):
        setting.begin(id)
    await setting.stage.until(lambda: len(setting.stage.environments) == 3)
    setting.stage.starts.set()
    results = [await setting.result(id) for id in ("1", "2", "3")]
    failures = [result for result in results if isinstance(result, OSError)]
    assert len(failures) == 1
    assert len(setting.stage.open) == 2
    assert setting.pool.size == 2
    assert setting.workshop.troubles == failures


async def test_after_a_failed_start_the_next_event_starts_anew(setting: Setting) -> None:
    setting.stage.start_troubles = [OSError("no space left")]
    with pytest.raises(OSError, match="no space left"):
        await setting.run("1")
    assert (await setting.run("2")).payload == b"environment-1: 2"
    assert setting.pool.size == 1


async def test_an_environment_whose_platform_failed_is_not_used_again(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.busy[0].fail(OSError("broken pipe"))
    assert isinstance(await setting.result("1"), OSError)
    await setting.stage.until(lambda: setting.stage.environments[0].is_closed)
    assert setting.pool.size == 0
    setting.stage.answers_at_once = True
    assert (await setting.run("2")).payload == b"environment-1: 2"


async def begin_cancellable(setting: Setting, id: str) -> Callable[[], None]:
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            await setting.run(id)

    setting.tasks.start_soon(run)
    await all_quiet()
    return scope.cancel


async def served(setting: Setting) -> None:
    """Return at the very turn of the loop in which the last waiter is answered."""
    while setting.pool._waiting:
        await anyio.lowlevel.checkpoint()


async def test_a_waiter_that_is_cancelled_leaves_its_environment_to_the_next(
    setting: Setting,
) -> None:
    setting.stage.hold_starts()
    cancel = await begin_cancellable(setting, "leaves")
    cancel()
    await all_quiet()
    setting.stage.starts.set()
    await all_quiet()
    assert setting.pool.size == len(setting.pool._idle) == 1
    assert (await setting.run("stays")).payload == b"environment-0: stays"
    with anyio.fail_after(5):
        await setting.pool.emptied()


async def test_an_environment_handed_to_a_waiter_that_is_being_cancelled_is_not_lost(
    setting: Setting,
) -> None:
    setting.stage.hold_starts()
    waiting = asyncio.ensure_future(setting.run("leaves"))
    await all_quiet()
    setting.stage.starts.set()
    await setting.stage.starts.wait()
    await served(setting)
    waiting.cancel()  # after the hand-over, before the waiter could act on it
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await all_quiet()
    assert setting.pool.size == len(setting.pool._idle) == 1
    assert setting.stage.environments[0].events == []


async def test_a_start_that_fails_for_a_waiter_that_is_being_cancelled_stays_a_cancellation(
    setting: Setting,
) -> None:
    setting.stage.hold_starts()
    setting.stage.start_troubles = [OSError("no space left")]
    waiting = asyncio.ensure_future(setting.run("leaves"))
    await all_quiet()
    setting.stage.starts.set()
    await served(setting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await all_quiet()
    assert setting.pool.size == 0


async def test_an_event_that_is_cancelled_ends_its_environment(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    cancel = await begin_cancellable(setting, "leaves")
    cancel()
    await setting.stage.until(lambda: setting.stage.environments[0].is_closed)
    assert setting.pool.size == 0
    with anyio.fail_after(5):
        await setting.pool.emptied()


async def test_retiring_ends_what_is_idle_and_lets_what_is_busy_finish(setting: Setting) -> None:
    await setting.idle(2)
    setting.stage.answers_at_once = False
    setting.begin("busy")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.pool.retire()
    await setting.stage.until(lambda: len(setting.stage.open) == 1)
    [busy] = setting.stage.open
    assert setting.busy == [busy]
    busy.answer()
    assert await setting.result("busy") == Outcome(f"{busy.id}: busy".encode())
    await setting.stage.until(lambda: busy.is_closed)
    assert setting.pool.size == 0


async def test_a_request_that_waits_when_its_pool_is_retired_is_still_served(
    setting: Setting,
) -> None:
    setting.stage.hold_starts()
    setting.begin("late")
    await all_quiet()
    setting.pool.retire()
    setting.stage.starts.set()
    assert await setting.result("late") == Outcome(b"environment-0: late")
    await setting.stage.until(lambda: setting.stage.environments[0].is_closed)


async def test_reaping_ends_what_has_been_idle_since_before(setting: Setting) -> None:
    await setting.idle(3)
    for last_used, environment in enumerate(setting.pool._idle):
        environment.last_used = float(last_used)
    assert setting.pool.idle_since == 0.0
    setting.pool.reap(before=2.0)
    await all_quiet()
    assert setting.pool.idle_since == 2.0
    assert (setting.pool.size, len(setting.stage.open)) == (1, 1)


async def test_a_pool_is_empty_once_nothing_runs_waits_or_starts(setting: Setting) -> None:
    with anyio.fail_after(5):
        await setting.pool.emptied()
    setting.stage.answers_at_once = False
    setting.begin("1")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    with anyio.move_on_after(0.01) as waited:
        await setting.pool.emptied()
    assert waited.cancelled_caught
    setting.busy[0].answer()
    with anyio.fail_after(5):
        await setting.pool.emptied()


async def test_closing_tells_who_waits_and_who_runs(setting: Setting) -> None:
    setting.stage.answers_at_once = False
    setting.begin("runs")
    await setting.stage.until(lambda: len(setting.busy) == 1)
    setting.stage.hold_starts()
    setting.begin("waits")
    await all_quiet()
    await setting.pool.close()
    for id in ("runs", "waits"):
        result = await setting.result(id)
        assert isinstance(result, ServiceException)
        assert "stopped" in result.message
