"""From a session to a sink: pace, deadline, and consumers that leave."""

from collections.abc import Callable

import anyio
import pytest
from support.clock import ManualClock
from support.executor import KeptSink

from lambdabox.domain.invocations import Invocation
from lambdabox.domain.limits import MEBIBYTE
from lambdabox.execution.streaming import Relay
from lambdabox.ports import Exit
from lambdabox.runtime.session import (
    Answer,
    Error,
    Expired,
    Response,
    RuntimeSession,
    State,
    Truncated,
)

pytestmark = pytest.mark.anyio

EVENT = Invocation("r1", "arn", b"{}")
LONG = 60.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Runtime:
    """A runtime that does one thing with its event. Its flow is open while it is read from."""

    def __init__(self, answer: Callable[["Runtime"], None]) -> None:
        self.session = RuntimeSession()
        self.is_read = True
        self._answer = answer
        self.session.next(self._deliver)

    def begin(self, content_type: str = "text/plain") -> None:
        self.session.begin_stream("r1", content_type, self)

    def pause(self) -> None:
        self.is_read = False

    def resume(self) -> None:
        self.is_read = True

    def _deliver(self, invocation: Invocation, deadline_ms: int) -> None:
        self._answer(self)


async def relay(
    runtime: Runtime, sink: KeptSink, clock: ManualClock | None = None, *, seconds: float = LONG
) -> tuple[Relay, Answer]:
    relay = Relay(sink, clock or ManualClock())
    return relay, await relay.run(runtime.session, EVENT, 0, seconds)


def streams(*pieces: bytes) -> Callable[[Runtime], None]:
    def answer(runtime: Runtime) -> None:
        runtime.begin()
        for piece in pieces:
            runtime.session.stream(piece)
        runtime.session.end_stream()

    return answer


async def test_a_streamed_response_goes_to_the_sink_alone() -> None:
    sink = KeptSink()
    done, answer = await relay(Runtime(streams(b"a", b"b")), sink)
    assert (sink.content_type, sink.data) == ("text/plain", b"ab")
    assert answer == Response(b"")
    assert done.produced_bytes == 2
    assert done.begun_at is not None


async def test_a_plain_response_goes_there_too() -> None:
    sink = KeptSink()
    runtime = Runtime(lambda runtime: runtime.session.response("r1", b"[1]"))
    done, answer = await relay(runtime, sink)
    assert (sink.content_type, sink.data) == ("application/json", b"[1]")
    assert answer == Response(b"")
    assert done.produced_bytes == 3


async def test_an_error_before_the_response_begins_reaches_no_sink() -> None:
    sink = KeptSink()
    runtime = Runtime(lambda runtime: runtime.session.error("r1", b"{}", "Function.Bad"))
    done, answer = await relay(runtime, sink)
    assert answer == Error(b"{}", "Function.Bad")
    assert (sink.content_type, done.begun_at, done.produced_bytes) == (None, None, 0)


async def test_what_came_before_an_error_is_passed_on() -> None:
    def fail(runtime: Runtime) -> None:
        runtime.begin()
        runtime.session.stream(b"begun")
        runtime.session.fail_stream(b"{}", "Function.Bad")

    sink = KeptSink()
    _, answer = await relay(Runtime(fail), sink)
    assert (sink.data, answer) == (b"begun", Error(b"{}", "Function.Bad"))


async def test_what_came_before_the_end_of_a_process_is_passed_on() -> None:
    def end(runtime: Runtime) -> None:
        runtime.begin()
        runtime.session.stream(b"begun")
        runtime.session.end(Exit(status=1))

    sink = KeptSink()
    _, answer = await relay(Runtime(end), sink)
    assert (sink.data, answer) == (b"begun", Truncated(Exit(status=1)))


async def test_what_follows_the_first_megabytes_waits_its_turn() -> None:
    clock, sink = ManualClock(), KeptSink()
    runtime = Runtime(streams(bytes(6 * MEBIBYTE)))
    await relay(runtime, sink, clock)
    assert len(sink.data) == 6 * MEBIBYTE

    sink = KeptSink()
    runtime = Runtime(streams(bytes(10 * MEBIBYTE)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay, runtime, sink, clock)
        await clock.sleeper()
        assert not sink.pieces
        clock.advance(1.99)
        await anyio.wait_all_tasks_blocked()
        assert not sink.pieces
        clock.advance(0.02)
    assert len(sink.data) == 10 * MEBIBYTE


async def test_past_the_deadline_a_stream_is_given_up() -> None:
    def begin(runtime: Runtime) -> None:
        runtime.begin()
        runtime.session.stream(b"begun")

    sink = KeptSink()
    runtime = Runtime(begin)
    _, answer = await relay(runtime, sink, seconds=0.05)
    assert (sink.data, answer) == (b"begun", Expired())
    runtime.session.stream(bytes(MEBIBYTE))
    assert runtime.is_read


async def test_past_the_deadline_a_stuck_consumer_is_given_up() -> None:
    sink = KeptSink(gate=anyio.Event())
    _, answer = await relay(Runtime(streams(b"all")), sink, seconds=0.05)
    assert answer == Expired()


async def test_past_the_deadline_a_runtime_that_says_nothing_is_given_up() -> None:
    sink = KeptSink()
    runtime = Runtime(lambda _: None)
    _, answer = await relay(runtime, sink, seconds=0.05)
    assert (answer, sink.content_type) == (Expired(), None)
    assert runtime.session.state is State.BUSY


async def test_a_consumer_that_leaves_does_not_stop_the_stream() -> None:
    sink = KeptSink(leaves_after=1)
    runtime = Runtime(Runtime.begin)
    answers: list[Answer] = []

    async def run() -> None:
        answers.append((await relay(runtime, sink))[1])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for _ in range(20):
            await anyio.wait_all_tasks_blocked()
            assert runtime.is_read
            runtime.session.stream(bytes(MEBIBYTE))
        runtime.session.end_stream()
    assert answers == [Response(b"")]
    assert len(sink.pieces) == 1
