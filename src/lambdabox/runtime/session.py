"""The state machine of one runtime process: init, then invocations, one at a time.

The Runtime API (`runtime/api.py`) and the private channel (`runtime/channel.py`) are two
transports of this one machine. It does no I/O: a transport that asks for the next event
leaves a `deliver` callback, and results come back as values through futures.

    INIT ── next ──► IDLE ── invoke ──► BUSY ── response | error ──► ANSWERED ── next ──► IDLE
      └─ init_error ──► FAILED                          any state ── end ──► ENDED

Everything a transport passes in comes from hostile code and is checked here.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Exit

Deliver = Callable[[Invocation, int], None]
"""Hand the invocation, due at the given epoch milliseconds, to the waiting runtime."""

_KNOWN_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")


class State(Enum):
    INIT = auto()
    IDLE = auto()
    BUSY = auto()
    ANSWERED = auto()
    FAILED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Response:
    payload: bytes


@dataclass(frozen=True, slots=True)
class Error:
    """The runtime reported an error: `payload` is its JSON body, `error_type` its category."""

    payload: bytes
    error_type: str


@dataclass(frozen=True, slots=True)
class ResponseTooLarge:
    pass


@dataclass(frozen=True, slots=True)
class Expired:
    """The deadline passed before the runtime answered."""


Answer = Response | Error | ResponseTooLarge | Expired | Exit
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

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.state = State.INIT
        self._initialized: asyncio.Future[Error | Exit | None] = loop.create_future()
        self._free: asyncio.Future[None] | None = None
        self._on_answer: OnAnswer | None = None
        self._request_id = ""
        self._deliver: Deliver | None = None

    # Called by the environment.

    async def initialized(self) -> Error | Exit | None:
        """Return None once the runtime asks for its first event, else what init ended with."""
        return await asyncio.shield(self._initialized)

    def invoke(self, invocation: Invocation, deadline_ms: int) -> "asyncio.Future[Answer]":
        """Hand over an event; the future is the answer. Legal only when idle."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.hand_over(invocation, deadline_ms, partial(_resolve, answer))
        return answer

    def hand_over(self, invocation: Invocation, deadline_ms: int, on_answer: OnAnswer) -> None:
        """Hand over an event; `on_answer` is told the answer. Legal only when idle."""
        if self.state is not State.IDLE or self._deliver is None:
            raise RuntimeError(f"invoked while {self.state.name}")
        deliver, self._deliver = self._deliver, None
        self.state = State.BUSY
        self._request_id = invocation.request_id
        self._on_answer = on_answer
        deliver(invocation, deadline_ms)

    async def free(self) -> bool:
        """Return True once the runtime asks for another event, False if it never will."""
        while self.state is State.ANSWERED:
            if self._free is None or self._free.done():
                self._free = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._free)
        return self.state is State.IDLE

    def expire(self) -> None:
        """The deadline has passed: give up waiting. The process must then be ended."""
        if self.state is State.BUSY:
            self._tell(Expired())

    def end(self, exit: Exit) -> None:
        """The process has ended, or is given up. Whatever waits learns of it."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._deliver = None
        if not self._initialized.done():
            self._initialized.set_result(exit)
        self._tell(exit)
        self._release()

    # Called by transports.

    def next(self, deliver: Deliver) -> None:
        """The runtime asks for an event. Raises IllegalCallError."""
        if self.state not in (State.INIT, State.ANSWERED):
            raise IllegalCallError(f"next is not allowed while {self.state.name.lower()}")
        first = self.state is State.INIT
        self.state = State.IDLE
        self._deliver = deliver
        if first and not self._initialized.done():
            self._initialized.set_result(None)
        self._release()

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

    def init_error(self, payload: bytes, error_type: str) -> None:
        """The runtime reports that init failed. Raises IllegalCallError after init."""
        if self.state is not State.INIT:
            raise IllegalCallError(f"init/error is not allowed while {self.state.name.lower()}")
        self.state = State.FAILED
        if not self._initialized.done():
            self._initialized.set_result(Error(payload, normal_error_type(error_type)))

    @property
    def request_id(self) -> str:
        """The request being worked on, or the last one."""
        return self._request_id

    def _check(self, request_id: str) -> None:
        if request_id != self._request_id or not request_id:
            raise UnknownRequestError(request_id)
        if self.state is not State.BUSY:
            raise IllegalCallError(f"an answer is not allowed while {self.state.name.lower()}")

    def _settle(self, answer: Answer, and_next: Deliver | None = None) -> None:
        self._deliver = and_next
        self.state = State.ANSWERED if and_next is None else State.IDLE
        self._tell(answer)

    def _tell(self, answer: Answer) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(answer)

    def _release(self) -> None:
        if self._free is not None and not self._free.done():
            self._free.set_result(None)


def _resolve(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def normal_error_type(error_type: str) -> str:
    """Return the category as the platform reports it.

    The public emulator's rule: `Runtime.X` and `Function.X` are kept, any other `Function.`
    becomes Function.Unknown, and the rest Runtime.Unknown.
    """
    if _KNOWN_ERROR_TYPE.fullmatch(error_type):
        return error_type
    return "Function.Unknown" if error_type.startswith("Function.") else "Runtime.Unknown"
