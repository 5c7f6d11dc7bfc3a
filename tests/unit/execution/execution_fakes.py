"""An environment without a sandbox, and a pool's surroundings, for tests of pools."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from support.clock import ManualClock

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType, Invocation, Outcome
from lambdabox.execution.verdicts import InitFailure
from lambdabox.execution_ports import ResponseSink


class FakeEnvironment:
    """Takes the place of `Environment`. A test decides when it starts, answers and is free."""

    def __init__(
        self,
        deployment: Deployment,
        workshop: Any,
        *,
        id: str,
        on_free: Callable[["FakeEnvironment"], None],
        on_lost: Callable[["FakeEnvironment"], None] | None = None,
        initialization_type: InitializationType = InitializationType.ON_DEMAND,
    ) -> None:
        self.id = id
        self.deployment = deployment
        self.last_used = 0.0
        self.is_closed = False
        self.is_frozen = False
        self.has_answered = False
        self.begins = True
        self._begun: Callable[[], None] | None = None
        self.events: list[str] = []
        self.ended: asyncio.Future[None] | None = None
        self._stage: Stage = workshop.stage
        self.is_provisioned = initialization_type is InitializationType.PROVISIONED
        self.is_running = False
        self._on_free = on_free
        self._on_lost = on_lost
        self._stage.environments.append(self)

    async def initialize(self) -> InitFailure | None:
        self._stage.changed.set()
        await self._stage.starts.wait()
        if self._stage.start_troubles:
            raise self._stage.start_troubles.pop(0)
        if self._stage.init_failures:
            return self._stage.init_failures.pop(0)
        self.is_running = True
        return None

    async def run(self, invocation: Invocation, sink: ResponseSink | None = None) -> Outcome:
        assert not self.is_closed, "an event was given to a closed environment"
        assert not self.is_frozen, "an event was given to a frozen environment"
        assert self.ended is None or self.ended.done(), "two events at once"
        self.events.append(invocation.request_id)
        self.ended = asyncio.get_running_loop().create_future()
        self._stage.changed.set()
        if self._stage.answers_at_once:
            self.ended.set_result(None)
        await self.ended
        self._on_free(self)
        return Outcome(f"{self.id}: {invocation.request_id}".encode())

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False

    def begin(self, invocation: Invocation, done: Callable[[Outcome], None]) -> bool:
        assert not self.is_closed, "an event was given to a closed environment"
        if self.begins:
            self._begun = lambda: done(Outcome(f"{self.id}: {invocation.request_id}".encode()))
        return self.begins

    def answer_begun(self) -> None:
        begun, self._begun = self._begun, None
        assert begun is not None
        begun()
        self._on_free(self)

    def answer(self) -> None:
        assert self.ended is not None
        self.ended.set_result(None)

    def end_process(self) -> None:
        """As if the process had ended by itself."""
        self.is_running = False
        if self._on_lost is not None:
            self._on_lost(self)

    def fail(self, trouble: Exception) -> None:
        assert self.ended is not None
        self.ended.set_exception(trouble)

    async def close(self) -> None:
        self.is_closed = True
        self.is_running = False
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)
        if self._begun is not None:
            self.answer_begun()
        self._stage.changed.set()


class Stage:
    """Where fake environments play."""

    def __init__(self) -> None:
        self.environments: list[FakeEnvironment] = []
        self.starts = anyio.Event()
        self.starts.set()
        self.start_troubles: list[Exception] = []
        self.init_failures: list[InitFailure] = []
        self.answers_at_once = True
        self.changed = anyio.Event()

    def hold_starts(self) -> None:
        self.starts = anyio.Event()

    @property
    def open(self) -> list[FakeEnvironment]:
        return [environment for environment in self.environments if not environment.is_closed]

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(20):
            while not condition():
                self.changed = anyio.Event()
                await self.changed.wait()


class FakeWorkshop:
    """Takes the place of `Workshop`: spawns in the test's task group, and keeps the troubles."""

    def __init__(self, stage: Stage, tasks: anyio.abc.TaskGroup) -> None:
        self.stage = stage
        self.clock = ManualClock()
        self.troubles: list[Exception] = []
        self._tasks = tasks

    def spawn(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        self._tasks.start_soon(self._guarded, function, arguments)

    async def _guarded(
        self, function: Callable[..., Awaitable[None]], arguments: tuple[object, ...]
    ) -> None:
        try:
            await function(*arguments)
        except Exception as trouble:
            self.troubles.append(trouble)
