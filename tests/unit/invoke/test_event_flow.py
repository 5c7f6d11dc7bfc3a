"""Events of a warm function: begun in callbacks, one after another, without a task for each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from support.clock import ManualClock
from support.consuming import DEADLINE, SUCCESS, ScriptedInvoker, Setting, Settled, event
from support.records import open_state

from lambdabox.backends.sqlite_queue import LOAN_SECONDS
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.invoke.asynchronous import KEPT_BYTES, AsyncIntake, Event, event_of
from lambdabox.invoke.shares import FRESH
from lambdabox.queue_ports import Message

pytestmark = pytest.mark.anyio

Done = Callable[[Outcome | Exception], None]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with open_state(tmp_path) as database:
        yield Setting(database, ManualClock())


class WarmInvoker(ScriptedInvoker):
    """Has some environments, which answer together, and are free in the turn after."""

    def __init__(self, environments: int) -> None:
        super().__init__()
        self.free = environments
        self.begun: list[str] = []
        self.most = 0
        self.troubles: list[Exception] = []
        self._running: list[Done] = []

    def begin(self, reference: FunctionReference, invocation: Invocation, done: Done) -> bool:
        if self.troubles:
            raise self.troubles.pop()
        if not self.free:
            return False
        self.free -= 1
        self.begun.append(invocation.request_id)
        self._running.append(done)
        self.most = max(self.most, len(self._running))
        if len(self._running) == 1:
            asyncio.get_running_loop().call_soon(self._answer)
        return True

    def _answer(self) -> None:
        running, self._running = self._running, []
        for done in running:
            asyncio.get_running_loop().call_soon(self._release)
            done(SUCCESS)

    def _release(self) -> None:
        self.free += 1


async def test_events_go_from_environment_to_environment_without_the_general_road(
    setting: Setting,
) -> None:
    names = [f"event {number}" for number in range(20 * FRESH)]
    for name in names:
        await setting.intake.accept(event(name))
    invoker = WarmInvoker(FRESH)
    async with setting.consuming(invoker):
        assert await setting.settlements(len(names)) == [Settled()] * len(names)
    assert sorted(invoker.begun) == sorted(names)
    assert invoker.attempts == []
    assert invoker.most == FRESH
    assert await setting.is_empty()


async def test_what_finds_no_free_environment_takes_the_general_road(setting: Setting) -> None:
    for name in "123":
        await setting.intake.accept(event(name))
    invoker = WarmInvoker(0)
    async with setting.consuming(invoker):
        assert await setting.settlements(3) == [Settled()] * 3
    assert sorted(attempt.request_id for attempt in invoker.attempts) == ["1", "2", "3"]


async def test_an_event_that_could_not_begin_comes_back_and_the_others_go_on(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "12":
        await setting.intake.accept(event(name))
    invoker = WarmInvoker(1)
    invoker.troubles = [OSError("broken")]
    async with setting.consuming(invoker):
        await setting.settlements(1)
        assert "event 1 was not settled and will be repeated" in caplog.text
        setting.clock.advance(LOAN_SECONDS)
        setting.queue.inner.notice()
        await setting.settlements(2)
    assert invoker.begun == ["2", "1"]
    assert await setting.is_empty()


async def test_a_backlog_is_worked_through_from_the_table(setting: Setting) -> None:
    names = [f"event {number}" for number in range(700)]
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(setting.intake.accept, event(name))
    setting.restart()
    invoker = WarmInvoker(FRESH)
    with anyio.fail_after(DEADLINE):
        async with setting.consuming(invoker):
            await setting.settlements(len(names))
    # What is read from the table comes when it comes, and may find no environment free.
    waited = [attempt.request_id for attempt in invoker.attempts]
    assert sorted([*invoker.begun, *waited]) == sorted(names)
    assert await setting.is_empty()


class KeptQueue:
    def __init__(self) -> None:
        self.messages: list[Message] = []

    def put_soon(self, message: Message, _done: Callable[[Exception | None], None]) -> None:
        self.messages.append(message)


@pytest.mark.parametrize("size", [0, KEPT_BYTES, KEPT_BYTES + 1])
@pytest.mark.parametrize("enqueued_at", [0.0, 1_795_000_000.25])
def test_what_a_message_has_at_hand_is_what_is_stored(size: int, enqueued_at: float) -> None:
    queue = KeptQueue()
    accepted = event("request", b"x" * size)
    accepted = Event(accepted.reference, replace(accepted.invocation, enqueued_at=enqueued_at))
    AsyncIntake(queue, ManualClock()).accept_soon(accepted, lambda _error: None)  # type: ignore[arg-type]  # it is asked for no more
    [message] = queue.messages
    stored = event_of(replace(message, content=None))
    assert event_of(message) == stored
    assert stored.invocation.enqueued_at == message.enqueued_at
    assert (message.content is accepted) == (size <= KEPT_BYTES and enqueued_at > 0)
