"""The session's transitions, by example and by random walks against a model."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Exit
from lambdabox.runtime.session import (
    Answer,
    Error,
    Expired,
    IllegalCallError,
    Response,
    ResponseTooLarge,
    RuntimeSession,
    State,
    Truncated,
    UnknownRequestError,
    normal_error_type,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def invocation(request_id: str = "r1") -> Invocation:
    return Invocation(request_id, "arn:aws:lambda:eu-west-1:000000000000:function:f", b"{}")


class Runtime:
    """Takes what is delivered."""

    def __init__(self) -> None:
        self.events: list[tuple[Invocation, int]] = []

    def deliver(self, invocation: Invocation, deadline_ms: int) -> None:
        self.events.append((invocation, deadline_ms))


async def test_the_first_next_ends_init() -> None:
    session, runtime = RuntimeSession(), Runtime()
    session.next(runtime.deliver)
    assert await session.initialized() is None
    assert session.state is State.IDLE


async def test_an_init_error_is_a_value() -> None:
    session = RuntimeSession()
    session.init_error(b"{}", "Runtime.ImportModuleError")
    assert await session.initialized() == Error(b"{}", "Runtime.ImportModuleError")
    with pytest.raises(IllegalCallError):
        session.next(Runtime().deliver)


async def test_an_event_is_delivered_and_answered() -> None:
    session, runtime = RuntimeSession(), Runtime()
    session.next(runtime.deliver)
    answer = session.invoke(invocation(), 99)
    assert runtime.events == [(invocation(), 99)]
    session.response("r1", b"1")
    assert await answer == Response(b"1")


async def test_an_answer_of_exactly_the_limit_is_accepted_and_one_more_byte_is_not() -> None:
    for size, expected in (
        (limits.RESPONSE_BYTES, Response),
        (limits.RESPONSE_BYTES + 1, ResponseTooLarge),
    ):
        session = RuntimeSession()
        session.next(Runtime().deliver)
        answer = session.invoke(invocation(), 0)
        session.response("r1", bytes(size))
        assert isinstance(await answer, expected)


async def test_a_second_answer_is_illegal_and_changes_nothing() -> None:
    session = RuntimeSession()
    session.next(Runtime().deliver)
    answer = session.invoke(invocation(), 0)
    session.response("r1", b"1")
    with pytest.raises(IllegalCallError):
        session.error("r1", b"{}", "Function.Late")
    assert await answer == Response(b"1")


@pytest.mark.parametrize("request_id", ["", "r0", "r2"])
async def test_an_answer_to_another_request_is_refused(request_id: str) -> None:
    session = RuntimeSession()
    with pytest.raises(UnknownRequestError):
        session.response(request_id, b"")
    session.next(Runtime().deliver)
    session.invoke(invocation(), 0)
    with pytest.raises(UnknownRequestError):
        session.response(request_id, b"")
    assert session.state is State.BUSY


async def test_whatever_waits_learns_of_the_end() -> None:
    exit = Exit(status=1)
    session = RuntimeSession()
    init = asyncio.ensure_future(session.initialized())
    await asyncio.sleep(0)
    session.end(exit)
    assert await init == exit

    session = RuntimeSession()
    session.next(Runtime().deliver)
    answer = session.invoke(invocation(), 0)
    session.end(exit)
    session.end(Exit(status=2))
    assert await answer == exit
    assert await session.free() is False


async def test_the_end_releases_one_who_waits_for_a_free_runtime() -> None:
    session = RuntimeSession()
    session.next(Runtime().deliver)
    session.invoke(invocation(), 0)
    session.response("r1", b"")
    free = asyncio.ensure_future(session.free())
    await asyncio.sleep(0)
    session.end(Exit())
    assert await free is False


async def test_a_withdrawn_next_is_waited_for_again() -> None:
    session, gone, back = RuntimeSession(), Runtime(), Runtime()
    deliver = gone.deliver
    session.next(deliver)
    session.invoke(invocation("r1"), 0)
    session.response("r1", b"")
    free = asyncio.ensure_future(session.free())
    await asyncio.sleep(0)
    session.next(deliver)
    session.withdraw(deliver)  # before the waiter has run
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not free.done()
    session.next(back.deliver)
    assert await free is True
    session.invoke(invocation("r2"), 0)
    assert [event[0].request_id for event in back.events] == ["r2"]


async def test_a_waiter_that_is_cancelled_does_not_disturb_the_next_one() -> None:
    session = RuntimeSession()
    session.next(Runtime().deliver)
    session.invoke(invocation(), 0)
    session.response("r1", b"")
    impatient, patient = (asyncio.ensure_future(session.free()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    session.next(Runtime().deliver)
    assert await patient is True


async def test_a_withdrawal_by_another_connection_changes_nothing() -> None:
    session, runtime = RuntimeSession(), Runtime()
    deliver = runtime.deliver
    session.next(deliver)
    session.withdraw(Runtime().deliver)
    assert session.state is State.IDLE


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Function.MyError", "Function.MyError"),
        ("Function.my error", "Function.Unknown"),
        ("Runtime.", "Runtime.Unknown"),
        ("Runtime.A\n", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
    ],
)
def test_error_types_are_normalised(given: str, expected: str) -> None:
    assert normal_error_type(given) == expected


class NoFlow:
    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Walk(RuleBasedStateMachine):
    """Calls of an environment and of a hostile runtime, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.session = self.loop.run_until_complete(self._make())
        self.model = State.INIT
        self.number = 0
        self.deliver = Runtime().deliver
        self.answer: asyncio.Future[Answer] | None = None
        self.pieces = b""

    async def _make(self) -> RuntimeSession:
        return RuntimeSession()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def call(self, allowed: tuple[State, ...], then: State, call: object, *args: object) -> bool:
        assert callable(call)
        if self.model in allowed:
            call(*args)
            self.model = then
            return True
        with pytest.raises((IllegalCallError, UnknownRequestError)):
            call(*args)
        return False

    @rule()
    def next(self) -> None:
        self.call((State.INIT, State.ANSWERED), State.IDLE, self.session.next, self.deliver)

    @rule()
    def init_error(self) -> None:
        self.call((State.INIT,), State.FAILED, self.session.init_error, b"{}", "x")

    @rule(payload=st.binary(max_size=20))
    def response(self, payload: bytes) -> None:
        request_id = self.session.request_id
        if self.call((State.BUSY,), State.ANSWERED, self.session.response, request_id, payload):
            assert self.answer is not None
            assert self.answer.result() == Response(payload)

    @rule(error_type=st.text(max_size=20))
    def error(self, error_type: str) -> None:
        request_id = self.session.request_id
        call = self.session.error
        if self.call((State.BUSY,), State.ANSWERED, call, request_id, b"{}", error_type):
            assert self.answer is not None
            assert isinstance(self.answer.result(), Error)

    @rule()
    def begin_stream(self) -> None:
        call, request_id = self.session.begin_stream, self.session.request_id
        if self.call((State.BUSY,), State.STREAMING, call, request_id, "a/b", NoFlow()):
            self.pieces = b""

    @rule(piece=st.binary(max_size=20))
    def stream(self, piece: bytes) -> None:
        self.session.stream(piece)
        if self.model is State.STREAMING:
            self.pieces += piece

    @rule()
    def end_stream(self) -> None:
        if self.call((State.STREAMING,), State.ANSWERED, self.session.end_stream):
            assert self.answer is not None
            assert self.answer.result() == Response(self.pieces)

    @rule(error_type=st.text(max_size=20))
    def fail_stream(self, error_type: str) -> None:
        call = self.session.fail_stream
        if self.call((State.STREAMING,), State.ANSWERED, call, b"{}", error_type):
            assert self.answer is not None
            assert isinstance(self.answer.result(), Error)

    @rule()
    def break_stream(self) -> None:
        self.session.break_stream()
        if self.model is State.STREAMING:
            assert self.answer is not None
            assert self.answer.result() == Truncated()
            self.model = State.ANSWERED

    @rule()
    def too_large(self) -> None:
        call = self.session.too_large
        self.call((State.BUSY,), State.ANSWERED, call, self.session.request_id)

    @rule(request_id=st.text(max_size=3))
    def answer_to_another_request(self, request_id: str) -> None:
        if request_id != self.session.request_id:
            with pytest.raises(UnknownRequestError):
                self.session.response(request_id, b"")

    @rule()
    def withdraw(self) -> None:
        self.session.withdraw(self.deliver)
        if self.model is State.IDLE:
            self.model = State.ANSWERED

    @precondition(lambda self: self.model is State.IDLE)
    @rule()
    def invoke(self) -> None:
        self.number += 1

        async def invoke() -> "asyncio.Future[Answer]":
            return self.session.invoke(invocation(f"r{self.number}"), 0)

        self.answer = self.loop.run_until_complete(invoke())
        self.model = State.BUSY

    @precondition(lambda self: self.model is not State.IDLE)
    @rule()
    def invoke_at_a_wrong_time(self) -> None:
        with pytest.raises(RuntimeError):
            self.session.invoke(invocation("never"), 0)

    @rule()
    def end(self) -> None:
        self.session.end(Exit(status=1))
        if self.model is State.BUSY:
            assert self.answer is not None
            assert self.answer.result() == Exit(status=1)
        if self.model is State.STREAMING:
            assert self.answer is not None
            assert self.answer.result() == Truncated(Exit(status=1))
        self.model = State.ENDED

    @invariant()
    def the_state_is_the_models(self) -> None:
        assert self.session.state is self.model

    @invariant()
    def an_answer_is_owed_exactly_while_busy(self) -> None:
        if self.answer is not None:
            is_owed = self.model in (State.BUSY, State.STREAMING)
            assert self.answer.done() == (not is_owed)


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def test_an_answer_may_ask_for_the_next_event_in_the_same_breath() -> None:
    session, runtime = RuntimeSession(), Runtime()
    session.next(runtime.deliver)
    told: list[tuple[Answer, State]] = []
    session.hand_over(invocation(), 0, lambda answer: told.append((answer, session.state)))
    session.response("r1", b"1", and_next=runtime.deliver)
    assert told == [(Response(b"1"), State.IDLE)]
    session.hand_over(invocation("r2"), 0, lambda answer: told.append((answer, session.state)))
    assert [event.request_id for event, _ in runtime.events] == ["r1", "r2"]


async def test_an_answer_is_told_once() -> None:
    session, runtime = RuntimeSession(), Runtime()
    session.next(runtime.deliver)
    told: list[Answer] = []
    session.hand_over(invocation(), 0, told.append)
    session.expire()
    session.response("r1", b"late")
    session.end(Exit())
    assert told == [Expired()]
