"""When the console is built: for its first visitor, or ahead where one is expected."""

from typing import Any, cast

import anyio
import pytest
from anyio.abc import TaskStatus

from lambdabox.console.mount import AHEAD_SECONDS, Console
from lambdabox.console.survey import RuntimeSurvey

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """Lets time pass when told to."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.passed = anyio.Event()

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self.passed.wait()


class Survey:
    """Counts how often somebody asks for a look at the machine."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1

    async def serve(self, *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await anyio.sleep_forever()


class Mounted(Console):
    """A console whose site is the number of times that it was built."""

    def __init__(self, *, is_expected: bool, is_broken: bool = False) -> None:
        self.survey, self.clock = Survey(), Clock()
        self.answered: list[int] = []
        self.times = 0
        self.built = anyio.Event()
        self.is_broken = is_broken
        super().__init__(
            cast(Any, None),
            cast(Any, None),
            cast(RuntimeSurvey, self.survey),
            self.clock,
            is_expected=is_expected,
        )

    def _make(self) -> Any:
        self.times += 1
        anyio.from_thread.run_sync(self.built.set)
        if self.is_broken:
            raise RuntimeError("a template is missing")

        async def site(_scope: Any, _receive: Any, _send: Any) -> None:
            self.answered.append(self.times)

        return site


async def test_nothing_is_built_until_somebody_looks() -> None:
    console = Mounted(is_expected=False)
    async with anyio.create_task_group() as tasks:
        await tasks.start(console.serve)
        assert (console.times, console.survey.asked, console.clock.waits) == (0, 0, [])
        for _ in range(2):
            await console(None, None, None)
        assert (console.answered, console.survey.asked) == ([1, 1], 1)
        tasks.cancel_scope.cancel()


async def test_where_a_visitor_is_expected_it_is_built_a_moment_later() -> None:
    console = Mounted(is_expected=True)
    async with anyio.create_task_group() as tasks:
        await tasks.start(console.serve)
        assert console.times == 0
        console.clock.passed.set()
        await console.built.wait()
        assert console.clock.waits == [AHEAD_SECONDS]
        assert console.survey.asked == 0  # that runs programs, for a visitor alone
        await console(None, None, None)
        assert (console.answered, console.survey.asked) == ([1], 1)
        tasks.cancel_scope.cancel()


async def test_a_visitor_who_comes_at_once_has_it_built_once() -> None:
    console = Mounted(is_expected=True)
    async with anyio.create_task_group() as tasks:
        await tasks.start(console.serve)
        await console(None, None, None)
        console.clock.passed.set()
        await anyio.wait_all_tasks_blocked()
        assert console.times == 1
        tasks.cancel_scope.cancel()


async def test_a_console_that_cannot_be_built_does_not_end_the_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    console = Mounted(is_expected=True, is_broken=True)
    async with anyio.create_task_group() as tasks:
        await tasks.start(console.serve)
        console.clock.passed.set()
        await console.built.wait()
        with pytest.raises(RuntimeError, match="a template is missing"):
            await console(None, None, None)
        assert "the console could not be built" in caplog.text
        tasks.cancel_scope.cancel()
