"""The warm path of an environment: what `begin` does without a task, and when it will not."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from support.clock import ManualClock
from support.records import deployment

from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution.environment import Environment
from lambdabox.execution.process_owner import Workshop
from lambdabox.execution.shutdown import ShutdownReason
from lambdabox.ports import Exit, LogLine, Usage
from lambdabox.runtime.extensions import Extensions
from lambdabox.runtime.session import RuntimeSession
from lambdabox.telemetry.logs import LineKind
from lambdabox.telemetry.platform_events import PlatformEvent

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class KeptJournal:
    """A `ports.Journal` that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.usages: list[Usage] = []

    def log(self, line: LogLine) -> None:
        self.lines.append(line.message.partition(" ")[0])

    def usage(self, usage: Usage) -> None:
        self.usages.append(usage)

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        for line in lines:
            self.log(line)
        self.usage(usage)


class FakeProcess:
    """Takes the place of `RuntimeProcess`, around a real session."""

    def __init__(self) -> None:
        self.session = RuntimeSession()
        self.extensions = Extensions()
        self.is_stopped = False
        self.printed: Callable[[], None] = lambda: None

    def drain(self) -> None:
        self.printed()

    finish_output = drain

    def peak_memory_bytes(self) -> int:
        return 2**20

    async def stop(self, reason: ShutdownReason) -> None:
        await anyio.lowlevel.checkpoint()
        self.is_stopped = True
        self.session.end(Exit())


class ScratchDriver:
    """As much of a `ports.IsolationDriver` as an environment that is closed needs."""

    async def remove_scratch(self, scratch: Path) -> None:
        """There is none."""


class KeptTap:
    """A `logs.Tap` that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[PlatformEvent] = []

    def platform(self, event: PlatformEvent, now: float) -> None:
        self.events.append(event)

    def line(self, kind: LineKind, text: str, now: float) -> None:
        raise AssertionError("nothing is printed here")

    def fault(self, message: str, now: float) -> None:
        raise AssertionError("nothing fails here")


class Stand:
    """An environment whose runtime waits for its first event."""

    def __init__(self, folder: Path, tasks: anyio.abc.TaskGroup) -> None:
        self.journal = KeptJournal()
        self.clock = ManualClock()
        self.freed = 0
        self.outcomes: list[Outcome] = []
        self.process = FakeProcess()
        self._tasks = tasks
        workshop = Workshop(
            cast(Any, ScratchDriver()),
            cast(Any, None),
            self.journal,
            self.clock,
            self._spawn,
            folder,
        )
        self.environment = Environment(
            deployment(), workshop, id="environment", on_free=self._note_free
        )
        self.environment._process = cast(Any, self.process)
        self.ask()

    def begin(self, id: str = "r1", *, wants_log_tail: bool = False) -> bool:
        invocation = Invocation(id, "arn", b"{}", wants_log_tail=wants_log_tail)
        return self.environment.begin(invocation, self.outcomes.append)

    def ask(self) -> None:
        """The runtime asks for its next event."""
        self.process.session.next(_take)

    def answer(self, payload: bytes = b"1", *, and_ask: bool = True) -> None:
        session = self.process.session
        session.response(session.request_id, payload, and_next=_take if and_ask else None)

    def _note_free(self, environment: Environment) -> None:
        self.freed += 1

    def _spawn(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        async def run() -> None:
            await function(*arguments)

        self._tasks.start_soon(run)


class NoFlow:
    """A `streams.Flow` that nothing need hold back."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


def _take(invocation: Invocation, deadline_ms: int) -> None:
    """Where a transport would hand the event over."""


@pytest.fixture
async def stand(tmp_path: Path) -> Any:
    async with anyio.create_task_group() as tasks:
        made = Stand(tmp_path, tasks)
        yield made
        await made.environment.close()


async def test_the_outcome_is_told_at_once_and_the_books_follow(stand: Stand) -> None:
    assert stand.begin()
    assert stand.journal.lines == ["START"]
    stand.answer(b'"done"')
    assert [outcome.payload for outcome in stand.outcomes] == [b'"done"']
    assert (stand.journal.lines, stand.freed) == (["START"], 0)
    stand.process.printed = lambda: stand.journal.lines.append("printed")
    await anyio.wait_all_tasks_blocked()
    assert stand.journal.lines == ["START", "printed", "END", "REPORT"]
    assert (len(stand.journal.usages), stand.freed) == (1, 1)
    assert stand.begin("r2")


async def test_one_event_follows_another(stand: Stand) -> None:
    for number in range(3):
        assert stand.begin(f"r{number}")
        assert not stand.begin("too early")
        stand.answer(b"%d" % number)
        await anyio.wait_all_tasks_blocked()
    assert [outcome.payload for outcome in stand.outcomes] == [b"0", b"1", b"2"]
    assert [usage.request_id for usage in stand.journal.usages] == ["r0", "r1", "r2"]


async def test_a_runtime_that_asks_later_is_free_later(stand: Stand) -> None:
    assert stand.begin()
    stand.answer(and_ask=False)
    await anyio.wait_all_tasks_blocked()
    assert (len(stand.outcomes), stand.freed) == (1, 0)
    assert stand.environment.has_answered
    stand.ask()
    await anyio.wait_all_tasks_blocked()
    assert (stand.freed, stand.environment.has_answered) == (1, False)
    assert stand.journal.lines == ["START", "END", "REPORT"]


async def test_a_runtime_that_reports_an_error_is_used_again(stand: Stand) -> None:
    assert stand.begin()
    stand.process.session.error("r1", b'{"errorType": "E"}', "Function.Unknown")
    stand.ask()
    await anyio.wait_all_tasks_blocked()
    assert [outcome.function_error for outcome in stand.outcomes] == ["Unhandled"]
    assert (stand.freed, stand.process.is_stopped) == (1, False)


async def test_a_process_that_ends_is_told_once_it_is_cleared_away(stand: Stand) -> None:
    assert stand.begin()
    stand.process.session.end(Exit(status=3))
    assert stand.outcomes == []
    await anyio.wait_all_tasks_blocked()
    [outcome] = stand.outcomes
    assert (outcome.function_error, outcome.error_type) == ("Unhandled", "Runtime.ExitError")
    assert (stand.process.is_stopped, stand.freed) == (True, 1)
    assert not stand.begin("r2")  # there is no process; `run` starts another


async def test_the_deadline_ends_the_process(stand: Stand) -> None:
    assert stand.begin()
    stand.environment._expire()
    await anyio.wait_all_tasks_blocked()
    assert b"Task timed out after 3.00 seconds" in stand.outcomes[0].payload
    assert (stand.process.is_stopped, stand.freed) == (True, 1)
    assert stand.journal.usages[0].status == "timeout"


async def test_who_waits_is_told_when_the_environment_is_closed(stand: Stand) -> None:
    assert stand.begin()
    await stand.environment.close()
    assert [outcome.function_error for outcome in stand.outcomes] == ["Unhandled"]
    assert stand.process.is_stopped


async def test_a_tail_of_the_log_is_left_to_run(stand: Stand) -> None:
    assert not stand.begin(wants_log_tail=True)
    assert stand.journal.lines == []


async def test_extensions_that_want_to_hear_of_events_leave_them_to_run(stand: Stand) -> None:
    stand.process.extensions.register("watcher", ["INVOKE"])
    assert not stand.begin()
    assert stand.journal.lines == []


async def test_extensions_that_want_no_events_change_nothing(stand: Stand) -> None:
    stand.process.extensions.register("quiet", [])
    assert stand.begin()
    stand.answer(b"1")
    await anyio.wait_all_tasks_blocked()
    assert ([outcome.payload for outcome in stand.outcomes], stand.freed) == ([b"1"], 1)


async def test_an_extension_that_fails_is_named_as_the_reason(stand: Stand) -> None:
    extensions = stand.process.extensions
    extension = extensions.register("frail", [])
    extensions.close_registration()
    assert stand.begin()
    extensions.report_error(extension, "Extension.Tired", in_init=False)
    stand.process.session.end(Exit(signal=9))
    await anyio.wait_all_tasks_blocked()
    assert [outcome.error_type for outcome in stand.outcomes] == ["Extension.ExitError"]
    assert (stand.process.is_stopped, stand.freed) == (True, 1)
    assert len(stand.journal.usages) == 1


async def test_who_listens_to_telemetry_hears_of_it_all(stand: Stand) -> None:
    stand.environment._log.tap = tap = KeptTap()
    assert stand.begin()
    stand.answer()
    await anyio.wait_all_tasks_blocked()
    assert [event.type for event in tap.events] == [
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]
    spans = [span["name"] for span in tap.events[1].record()["spans"]]
    assert spans == ["responseLatency", "runtimeOverhead"]


async def test_a_response_that_comes_in_pieces_is_collected(stand: Stand) -> None:
    session = stand.process.session
    assert stand.begin()
    session.begin_stream("r1", "text/plain", NoFlow())
    for piece in (b"one ", b"two"):
        session.stream(piece)
    assert stand.outcomes == []
    assert session.end_stream()
    stand.ask()
    await anyio.wait_all_tasks_blocked()
    assert ([outcome.payload for outcome in stand.outcomes], stand.freed) == ([b"one two"], 1)


async def test_a_response_without_end_is_ended_by_the_deadline(stand: Stand) -> None:
    assert stand.begin()
    stand.process.session.begin_stream("r1", "text/plain", NoFlow())
    stand.process.session.stream(b"and on ")
    stand.environment._expire()
    await anyio.wait_all_tasks_blocked()
    assert b"Task timed out" in stand.outcomes[0].payload
    assert (stand.process.is_stopped, stand.freed) == (True, 1)


async def test_what_comes_while_it_is_closed_is_told_once(stand: Stand) -> None:
    assert stand.begin()
    process = stand.process
    stand.environment._process = None  # as `close` does, before its extensions have their time
    stand.answer(b"late", and_ask=False)
    assert [outcome.payload for outcome in stand.outcomes] == [b"late"]
    assert stand.freed == 1
    process.session.end(Exit())
    await anyio.wait_all_tasks_blocked()
    assert (len(stand.outcomes), stand.freed) == (1, 1)
