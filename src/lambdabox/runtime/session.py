"""The state machine of one runtime process: init, then invocations, one at a time.

The Runtime API (`runtime/api.py`) and the private channel (`runtime/channel.py`) are two
transports of this one machine. It does no I/O: a transport that asks for the next event
leaves a `deliver` callback, and results come back as values through futures.

    INIT ── next ──► IDLE ── invoke ──► BUSY ── response | error ──► ANSWERED ── next ──► IDLE
      │                                  └─ begin_stream ──► STREAMING ── end_stream |
      │                                                      fail_stream ──► ANSWERED
      └─ init_error ──► FAILED                          any state ── end ──► ENDED

Under SnapStart init ends at the restore point, and what follows runs in each environment:

    INIT ── snapshot ──► SNAPSHOT ── restore ──► RESTORING ── next ──► IDLE
                                                   └─ restore_error ──► FAILED

Everything a transport passes in comes from hostile code and is checked here.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TypeVar

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Exit
from lambdabox.runtime.streams import Collector, Flow, Intake

T = TypeVar("T")

Deliver = Callable[[Invocation, int], None]
"""Hand the invocation, due at the given epoch milliseconds, to the waiting runtime."""

Resume = Callable[[Mapping[str, str]], None]
"""Let the runtime go on from its restore point, with these environment variables."""

_DEFAULT_CONTENT_TYPE = "application/octet-stream"
_CONTENT_TYPE = re.compile(r"[\x20-\x7e]{1,256}")
_KNOWN_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")


class State(Enum):
    INIT = auto()
    SNAPSHOT = auto()
    RESTORING = auto()
    IDLE = auto()
    BUSY = auto()
    STREAMING = auto()
    ANSWERED = auto()
    FAILED = auto()
    ENDED = auto()


@dataclass(slots=True)  # not frozen, as others that each invocation makes
class Response:
    payload: bytes


@dataclass(frozen=True, slots=True)
class Error:
    """The runtime reported an error: `payload` is its JSON body, `error_type` its category."""

    payload: bytes
    error_type: str


@dataclass(frozen=True, slots=True)
class ResponseTooLarge:
    limit: int = limits.RESPONSE_BYTES


@dataclass(frozen=True, slots=True)
class Expired:
    """The deadline passed before the runtime answered."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """A streamed response broke off: with its connection, or with its process."""

    exit: Exit | None = None


Answer = Response | Error | ResponseTooLarge | Expired | Truncated | Exit
"""What an invocation ends with. An Exit means the process ended before it answered."""

OnAnswer = Callable[[Answer], None]
"""Told the answer, once, from within the call that brings it. It must not raise, and must not
hand over another event before that call has returned."""


class IllegalCallError(Exception):
    """The runtime made a call that its state does not allow."""


class UnknownRequestError(Exception):
    """The runtime named a request that is not the one it is working on."""


class RuntimeSession:
    """One process's conversation. Its environment owns it; its transports call into it."""

    def __init__(self, *, is_snap_start: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.state = State.INIT
        self._is_snap_start = is_snap_start
        self.can_be_forked = False
        """Whether the runtime waits where a fork of it can go on: at its private channel."""
        self._initialized: asyncio.Future[Error | Exit | None] = loop.create_future()
        self._restored: asyncio.Future[Error | Exit | None] = loop.create_future()
        self._resume: Resume | None = None
        self._free: asyncio.Future[None] | None = None
        self._on_answer: OnAnswer | None = None
        self._intake: Intake | None = None
        self._request_id = ""
        self._deliver: Deliver | None = None
        self.on_end: Callable[[], None] | None = None
        """Called once, when the process has ended or is given up."""

    # Called by the environment.

    async def initialized(self) -> Error | Exit | None:
        """Return None once init is done, else what it ended with.

        It is done when the runtime asks for its first event, or reaches its restore point.
        """
        return await asyncio.shield(self._initialized)

    def restore(self, variables: Mapping[str, str]) -> None:
        """Let the runtime go on from its restore point; `restored` tells how that ends."""
        if self.state is State.SNAPSHOT and self._resume is not None:
            resume, self._resume = self._resume, None
            self.state = State.RESTORING
            resume(variables)

    async def restored(self) -> Error | Exit | None:
        """Return None once the restored runtime asks for its first event, else why it will not."""
        return await asyncio.shield(self._restored)

    def invoke(
        self, invocation: Invocation, deadline_ms: int, intake: Intake | None = None
    ) -> "asyncio.Future[Answer]":
        """Hand over an event; the future is the answer. Legal only when idle."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.hand_over(invocation, deadline_ms, partial(_resolve, answer), intake)
        return answer

    def hand_over(
        self,
        invocation: Invocation,
        deadline_ms: int,
        on_answer: OnAnswer,
        intake: Intake | None = None,
    ) -> None:
        """Hand over an event; `on_answer` is told the answer. Legal only when idle.

        A streamed response goes to `intake`; without one it is collected.
        """
        if self.state is not State.IDLE or self._deliver is None:
            raise RuntimeError(f"invoked while {self.state.name}")
        deliver, self._deliver = self._deliver, None
        self.state = State.BUSY
        self._request_id = invocation.request_id
        self._intake = intake
        self._on_answer = on_answer
        deliver(invocation, deadline_ms)

    async def free(self) -> bool:
        """Return True once the runtime asks for another event, False if it never will."""
        while self.state in (State.ANSWERED, State.STREAMING):
            if self._free is None or self._free.done():
                self._free = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._free)
        return self.state is State.IDLE

    def expire(self) -> None:
        """The deadline has passed: give up waiting. The process must then be ended."""
        if self.state in (State.BUSY, State.STREAMING):
            self._tell(Expired())

    def end(self, exit: Exit) -> None:
        """The process has ended, or is given up. Whatever waits learns of it."""
        if self.state is State.ENDED:
            return
        breaks_off = self.state is State.STREAMING and not exit.out_of_memory
        self.state = State.ENDED
        self._deliver = None
        self._resume = None
        _resolve(self._initialized, exit)
        _resolve(self._restored, exit)
        self._tell(Truncated(exit) if breaks_off else exit)
        self._release()
        if self.on_end is not None:
            self.on_end()

    # Called by transports.

    def next(self, deliver: Deliver) -> None:
        """The runtime asks for an event. Raises IllegalCallError."""
        if self.state not in (State.INIT, State.RESTORING, State.ANSWERED):
            raise IllegalCallError(f"next is not allowed while {self.state.name.lower()}")
        first = self.state is not State.ANSWERED
        self.state = State.IDLE
        self._deliver = deliver
        if first:
            _resolve(self._initialized, None)
            _resolve(self._restored, None)
        self._release()

    def snapshot(self, resume: Resume, *, can_be_forked: bool = False) -> None:
        """The runtime is at its restore point. Raises IllegalCallError."""
        if not self._is_snap_start:
            raise IllegalCallError("only SnapStart environments are restored")
        if self.state is not State.INIT:
            raise IllegalCallError(f"restore/next is not allowed while {self.state.name.lower()}")
        self.state = State.SNAPSHOT
        self.can_be_forked = can_be_forked
        self._resume = resume
        _resolve(self._initialized, None)

    def withdraw_snapshot(self, resume: Resume) -> None:
        """The connection behind `resume` is gone; the runtime may come back on another."""
        if self._resume is resume and self.state is State.SNAPSHOT:
            self._resume = None
            self.state = State.INIT

    def restore_error(self, payload: bytes, error_type: str) -> None:
        """The runtime reports that an after-restore hook failed. Raises IllegalCallError."""
        if self.state is not State.RESTORING:
            raise IllegalCallError(f"restore/error is not allowed while {self.state.name.lower()}")
        self.state = State.FAILED
        _resolve(self._restored, Error(payload, normal_error_type(error_type)))

    def withdraw(self, deliver: Deliver) -> None:
        """The connection behind `deliver` is gone; the runtime may ask again on another."""
        if self._deliver is deliver:
            self._deliver = None
            self.state = State.ANSWERED

    def response(self, request_id: str, payload: bytes, *, and_next: Deliver | None = None) -> None:
        """The runtime answers, and in the same breath may ask for its next event.

        Raises IllegalCallError or UnknownRequestError.
        """
        self._check(request_id)
        is_too_large = len(payload) > limits.RESPONSE_BYTES
        self._settle(ResponseTooLarge() if is_too_large else Response(payload), and_next)

    def too_large(self, request_id: str) -> None:
        """The runtime's answer was longer than allowed and has been thrown away."""
        self._check(request_id)
        self._settle(ResponseTooLarge())

    def error(self, request_id: str, payload: bytes, error_type: str) -> None:
        """The runtime reports a failed invocation. Raises as `response` does."""
        self._check(request_id)
        self._settle(Error(payload, normal_error_type(error_type)))

    def begin_stream(self, request_id: str, content_type: str, flow: Flow) -> None:
        """The runtime begins to stream its response. Raises as `response` does."""
        self._check(request_id)
        self.state = State.STREAMING
        if self._intake is None:
            self._intake = Collector()
        self._intake.begin(normal_content_type(content_type), flow)

    def stream(self, piece: bytes) -> None:
        """Some of the streamed response. Dropped if nobody waits for it any more."""
        if self.state is not State.STREAMING or self._intake is None:
            return
        if not self._intake.feed(piece):
            self._tell(ResponseTooLarge(self._intake.limit))

    def end_stream(self) -> bool:
        """The streamed response is complete. Return whether all of it was taken.

        Raises IllegalCallError if none is under way.
        """
        intake = self._streaming_intake()
        was_awaited = self._on_answer is not None
        self._settle(Response(intake.payload))
        return was_awaited

    def fail_stream(self, payload: bytes, error_type: str) -> None:
        """The invocation failed after its response had begun. Raises as `end_stream` does."""
        self._streaming_intake()
        self._settle(Error(payload, normal_error_type(error_type)))

    def break_stream(self) -> None:
        """The connection on which a response was streamed is gone, if one was."""
        if self.state is State.STREAMING:
            self._settle(Truncated())

    def init_error(self, payload: bytes, error_type: str) -> None:
        """The runtime reports that init failed. Raises IllegalCallError after init."""
        if self.state is not State.INIT:
            raise IllegalCallError(f"init/error is not allowed while {self.state.name.lower()}")
        self.state = State.FAILED
        _resolve(self._initialized, Error(payload, normal_error_type(error_type)))

    @property
    def request_id(self) -> str:
        """The request being worked on, or the last one."""
        return self._request_id

    def _check(self, request_id: str) -> None:
        if request_id != self._request_id or not request_id:
            raise UnknownRequestError(request_id)
        if self.state is not State.BUSY:
            raise IllegalCallError(f"an answer is not allowed while {self.state.name.lower()}")

    def _streaming_intake(self) -> Intake:
        if self.state is not State.STREAMING or self._intake is None:
            raise IllegalCallError(f"no response is streamed while {self.state.name.lower()}")
        return self._intake

    def _settle(self, answer: Answer, and_next: Deliver | None = None) -> None:
        self._deliver = and_next
        self.state = State.ANSWERED if and_next is None else State.IDLE
        self._tell(answer)

    def _tell(self, answer: Answer) -> None:
        if self._intake is not None:
            self._intake.close()
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(answer)

    def _release(self) -> None:
        if self._free is not None and not self._free.done():
            self._free.set_result(None)


def _resolve(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def normal_error_type(error_type: str) -> str:
    """Return the category as the platform reports it.

    The public emulator's rule: `Runtime.X` and `Function.X` are kept, any other `Function.`
    becomes Function.Unknown, and the rest Runtime.Unknown.
    """
    if _KNOWN_ERROR_TYPE.fullmatch(error_type):
        return error_type
    return "Function.Unknown" if error_type.startswith("Function.") else "Runtime.Unknown"


def normal_content_type(content_type: str) -> str:
    """Return the content type if it can be a header's value, else that of plain bytes."""
    return content_type if _CONTENT_TYPE.fullmatch(content_type) else _DEFAULT_CONTENT_TYPE
