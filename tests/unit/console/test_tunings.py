"""Tunings run beside the pages: one at a time, to an end, whoever looks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest
from support.records import KEY, SETTINGS, key

from lambdabox.console.background import Background
from lambdabox.console.tunings import KEPT, NO_REPORT, NODE_FAILED, State, Tuning, Tunings
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import (
    ResourceConflictException,
    ServiceException,
    TooManyRequestsException,
)
from lambdabox.domain.invocations import Outcome
from lambdabox.domain.tuning import Failed, Plan
from lambdabox.invoke.trials import TrialRuns

pytestmark = pytest.mark.anyio

PLAN = Plan((128, 256), invocations=2)
DEADLINE = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def report(memory_mib: int) -> bytes:
    return (
        f"REPORT RequestId: r\tDuration: {4096 / memory_mib:.2f} ms\tBilled Duration: 33 ms\t"
        f"Memory Size: {memory_mib} MB\tMax Memory Used: 40 MB\t\n"
    ).encode()


@dataclass
class FakeTrials(TrialRuns):
    """Answers what a test has put in; by size, else success."""

    answers: dict[int, Outcome | Exception] = field(default_factory=dict)
    ran: list[tuple[str, int]] = field(default_factory=list)
    let_go_of: list[str] = field(default_factory=list)
    may_end: anyio.Event = field(default_factory=anyio.Event)
    running: anyio.Event = field(default_factory=anyio.Event)

    async def run(self, reference: FunctionReference, event: bytes, memory_mib: int) -> Outcome:
        self.ran.append((reference.key.name, memory_mib))
        self.running.set()
        await self.may_end.wait()
        answer = self.answers.get(memory_mib, Outcome(b"1", log_tail=report(memory_mib)))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def let_go(self, reference: FunctionReference) -> None:
        self.let_go_of.append(reference.key.name)


@asynccontextmanager
async def serving(trials: FakeTrials, *, held: bool = False) -> AsyncIterator[Tunings]:
    background = Background()
    tunings = Tunings(trials, background)
    if not held:
        trials.may_end.set()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            await tasks.start(background.serve)
            yield tunings
            tasks.cancel_scope.cancel()


async def over(tuning: Tuning) -> State:
    while not tuning.is_over:
        await anyio.lowlevel.checkpoint()
    return tuning.state


async def test_every_size_is_measured_and_its_environments_let_go() -> None:
    trials = FakeTrials()
    async with serving(trials) as tunings:
        tuning = tunings.start(KEY, SETTINGS, PLAN, "{}")
        assert await over(tuning) == State.DONE
    assert trials.ran == [("hello", 128)] * 3 + [("hello", 256)] * 3
    assert trials.let_go_of == ["hello", "hello"]
    assert [(one.memory_mib, one.duration_ms) for one in tuning.tally.measured] == [
        (128, 32.0), (256, 16.0),
    ]  # fmt: skip
    assert tunings.find(KEY) is tuning


async def test_a_size_at_which_the_function_fails_is_told_and_left_out() -> None:
    error = b'{"errorType": "Runtime.OutOfMemory", "errorMessage": "killed"}'
    trials = FakeTrials(answers={128: Outcome(error, function_error="Unhandled")})
    async with serving(trials) as tunings:
        tuning = tunings.start(KEY, SETTINGS, PLAN, "{}")
        assert await over(tuning) == State.DONE
    assert trials.ran == [("hello", 128)] + [("hello", 256)] * 3
    assert tuning.tally.failed == [Failed(128, "Runtime.OutOfMemory: killed")]
    assert [one.memory_mib for one in tuning.tally.measured] == [256]


async def test_a_function_that_logs_no_report_cannot_be_measured() -> None:
    silent = Outcome(b"1", log_tail=b"nothing of use")
    async with serving(FakeTrials(answers={128: silent, 256: silent})) as tunings:
        tuning = tunings.start(KEY, SETTINGS, PLAN, "{}")
        assert await over(tuning) == State.DONE
    assert tuning.tally.failed == [Failed(128, NO_REPORT), Failed(256, NO_REPORT)]
    assert tuning.tally.best is None


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (TooManyRequestsException("Rate Exceeded.", reason="x"), "Rate Exceeded."),
        (RuntimeError("the disk is full"), NODE_FAILED),
    ],
)
async def test_what_is_not_the_functions_fault_ends_it_with_what_is_known(
    trouble: Exception, reason: str
) -> None:
    trials = FakeTrials(answers={256: trouble})
    async with serving(trials) as tunings:
        tuning = tunings.start(KEY, SETTINGS, PLAN, "{}")
        assert await over(tuning) == State.FAILED
        again = tunings.start(KEY, SETTINGS, Plan((128,), 1), "{}")
        assert await over(again) == State.DONE
    assert tuning.reason == reason
    assert [one.memory_mib for one in tuning.tally.measured] == [128]


async def test_a_function_is_tuned_once_at_a_time() -> None:
    trials = FakeTrials()
    async with serving(trials, held=True) as tunings:
        tuning = tunings.start(KEY, SETTINGS, PLAN, "{}")
        with pytest.raises(ResourceConflictException, match="hello is being tuned already"):
            tunings.start(KEY, SETTINGS, PLAN, "{}")
        trials.may_end.set()
        assert await over(tuning) == State.DONE
        assert await over(tunings.start(KEY, SETTINGS, PLAN, "{}")) == State.DONE


async def test_another_function_waits_so_that_neither_disturbs_the_other() -> None:
    trials = FakeTrials()
    async with serving(trials, held=True) as tunings:
        tunings.start(KEY, SETTINGS, PLAN, "{}")
        await trials.running.wait()
        second = tunings.start(key("second"), SETTINGS, PLAN, "{}")
        await anyio.wait_all_tasks_blocked()
        assert second.state == State.WAITING
        trials.may_end.set()
        assert await over(second) == State.DONE
    assert [name for name, _size in trials.ran] == ["hello"] * 6 + ["second"] * 6


async def test_one_that_is_cancelled_ends_in_the_middle_and_lets_go() -> None:
    trials = FakeTrials()
    async with serving(trials, held=True) as tunings:
        tuning = tunings.start(KEY, SETTINGS, PLAN, "{}")
        await trials.running.wait()
        assert tunings.cancel(KEY)
        assert await over(tuning) == State.CANCELLED
        assert not tunings.cancel(KEY)
        assert not tunings.cancel(key("never-tuned"))
    assert trials.let_go_of == ["hello"]
    assert trials.ran == [("hello", 128)]


async def test_one_that_waits_is_cancelled_without_having_run() -> None:
    trials = FakeTrials()
    async with serving(trials, held=True) as tunings:
        first = tunings.start(KEY, SETTINGS, PLAN, "{}")
        await trials.running.wait()
        second = tunings.start(key("second"), SETTINGS, PLAN, "{}")
        tunings.cancel(key("second"))
        assert await over(second) == State.CANCELLED
        assert not first.is_over
    assert trials.ran == [("hello", 128)]


async def test_a_node_that_stops_ends_what_runs_and_begins_nothing() -> None:
    trials = FakeTrials()
    async with serving(trials, held=True) as tunings:
        tuning = tunings.start(KEY, SETTINGS, PLAN, "{}")
        await trials.running.wait()
    assert tuning.state == State.CANCELLED
    assert trials.let_go_of == ["hello"]
    with pytest.raises(ServiceException, match="stopping"):
        tunings.start(key("late"), SETTINGS, PLAN, "{}")


async def test_old_results_make_room_and_running_ones_stay() -> None:
    trials = FakeTrials()
    async with serving(trials, held=True) as tunings:
        running = tunings.start(KEY, SETTINGS, Plan((128,), 1), "{}")
        for at in range(KEPT + 5):
            tuning = tunings.start(key(f"f{at}"), SETTINGS, Plan((128,), 1), "{}")
            tunings.cancel(tuning.key)
            await over(tuning)
        assert tunings.find(KEY) is running
        assert tunings.find(key("f0")) is None
        assert tunings.find(key(f"f{KEPT + 4}")) is not None
