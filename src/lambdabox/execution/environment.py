"""One execution environment: one event at a time, from its first init to its end.

It owns every deadline. What it promises its caller is an `Outcome`, whatever the code
inside does: answer, fail, hang, exit or lie. After a timeout or an exit the sandbox is
replaced at the next event while the environment, its `/tmp` and its log stream go on, as
on AWS.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from lambdabox.domain import limits
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType, Invocation, Outcome
from lambdabox.execution.deadline import Deadline
from lambdabox.execution.process_owner import ProcessOwner, Workshop
from lambdabox.execution.runtime_process import RuntimeProcess
from lambdabox.execution.shutdown import ShutdownReason
from lambdabox.execution.streaming import Relay
from lambdabox.execution.verdicts import InitFailure, Verdict, judge, judge_init
from lambdabox.execution_ports import ResponseSink
from lambdabox.ports import Exit
from lambdabox.runtime.extensions import ExtensionFailure, invoke_event
from lambdabox.runtime.session import Answer, State
from lambdabox.telemetry.platform_events import Span

RECONNECT_SECONDS = 0.1


@dataclass(slots=True)
class _Event:
    """An invocation on its way through. `started` and `answered` are monotonic."""

    invocation: Invocation
    started_at: float
    started: float
    answered: float | None = None
    runtime_done: float | None = None
    """Set if extensions went on after the runtime was done: written down by then."""
    relay: Relay | None = None
    """Of a streamed response: when its first byte came, and how many did."""

    @property
    def streamed_bytes(self) -> int:
        return self.relay.produced_bytes if self.relay is not None else 0


class Environment(ProcessOwner):
    """Made for one deployment. `on_free` is called whenever it can take another event,
    `on_lost` whenever its process has ended."""

    def __init__(
        self,
        deployment: Deployment,
        workshop: Workshop,
        *,
        id: str,
        on_free: Callable[["Environment"], None],
        on_lost: Callable[["Environment"], None] | None = None,
        initialization_type: InitializationType = InitializationType.ON_DEMAND,
    ) -> None:
        super().__init__(deployment, workshop, id=id, initialization_type=initialization_type)
        self.last_used = 0.0
        self._on_free = on_free
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._expire)
        self.has_answered = False
        """Whether its event is answered while its runtime has not asked for another yet."""

    @property
    def is_provisioned(self) -> bool:
        return self._initialization_type is InitializationType.PROVISIONED

    async def initialize(self) -> InitFailure | None:
        """Run init, ahead of any event. A failure is logged, and tried again by `run`."""
        self._open_telemetry()
        self._books.init_started()
        started = self._clock.monotonic()
        failure = await self._boot(self._init_seconds)
        duration_ms = (self._clock.monotonic() - started) * 1000
        if failure is None:
            self._books.init_succeeded(duration_ms)
        else:
            self._books.init_failed("init", failure, duration_ms)
            await self._let_go()
        return failure

    @property
    def _init_seconds(self) -> float:
        if not self.is_provisioned:
            return limits.INIT_SECONDS
        return max(limits.AHEAD_INIT_SECONDS, float(self.deployment.settings.timeout_seconds))

    async def run(self, invocation: Invocation, sink: ResponseSink | None = None) -> Outcome:
        """Run one event to its outcome. Raises only if the platform fails, or the sink does."""
        if invocation.wants_log_tail:
            self._log.begin_tail()
        event = _Event(invocation, self._clock.now(), self._clock.monotonic())
        deadline = event.started + self.deployment.settings.timeout_seconds
        failure = await self._revive(deadline - event.started)
        self._books.started(invocation)
        if failure is not None:
            verdict = judge_init(invocation, self.deployment, failure)
            return await self._end_with_process(event, verdict)
        process = self._running
        if sink is not None:
            event.relay = Relay(sink, self._clock)
        answer = await self._exchange(process, event, deadline)
        verdict = judge(invocation, self.deployment, answer)
        event.answered = self._clock.monotonic()
        if verdict.ends_process:
            return await self._end_with_process(event, verdict)
        if process.session.state is not State.IDLE or process.extensions.is_busy:
            if not invocation.wants_log_tail:
                self.has_answered = True
                self._workshop.spawn(self._settle, process, event, verdict, deadline)
                return verdict.outcome
            await self._await_all(process, event, verdict, deadline)
        elif not invocation.wants_log_tail:
            self._loop.call_soon(self._close_event, event, verdict)  # behind the caller's answer
            return verdict.outcome
        return self._close_event(event, verdict)

    def begin(self, invocation: Invocation, done: Callable[[Outcome], None]) -> bool:
        """Run one event without a task, if a runtime waits for it; return whether it does.

        What `run` does for the plain case, which is nearly all, in two turns of the loop: one
        hands the event over, one takes the answer. `done` is told the outcome, once.
        """
        process = self._process
        if process is None or process.session.state is not State.IDLE or invocation.wants_log_tail:
            return False
        if process.extensions.takes_invocations:
            return False
        event = _Event(invocation, self._clock.now(), self._clock.monotonic())
        timeout = self.deployment.settings.timeout_seconds
        self._books.started(invocation)
        self._deadline.set(timeout)
        process.session.hand_over(
            invocation,
            int((event.started_at + timeout) * 1000),
            partial(self._answered, process, event, done),
        )
        return True

    async def close(self) -> None:
        self._deadline.close()
        await super().close()

    def _answered(
        self,
        process: RuntimeProcess,
        event: "_Event",
        done: Callable[[Outcome], None],
        answer: Answer,
    ) -> None:
        """Take the answer to an event that `begin` handed over."""
        event.answered = self._clock.monotonic()
        self._deadline.clear()
        verdict = judge(event.invocation, self.deployment, _cause(process, answer))
        if self._process is not process:
            # `close` is about it, and what is spawned by now may never run.
            done(self._close_event(event, verdict))
            return
        if verdict.ends_process:
            self._workshop.spawn(self._end_begun, event, verdict, done)
            return
        if process.session.state is State.IDLE:
            # In the next turn: what was printed before the answer is read in this one. Whatever
            # `done` has the loop do finds the environment free.
            self._loop.call_soon(self._close_event, event, verdict)
        else:
            self.has_answered = True
            deadline = event.started + self.deployment.settings.timeout_seconds
            self._workshop.spawn(self._settle, process, event, verdict, deadline)
        done(verdict.outcome)

    async def _end_begun(
        self, event: "_Event", verdict: Verdict, done: Callable[[Outcome], None]
    ) -> None:
        try:
            await self._end_with_process(event, verdict)
        finally:
            done(verdict.outcome)

    async def _revive(self, timeout: float) -> InitFailure | None:
        """Make sure a runtime waits for an event. AWS calls this the suppressed init."""
        if await self._is_waiting():
            return None
        await self._let_go()
        self._open_telemetry()
        started = self._clock.monotonic()
        failure = await self._boot(timeout)
        if failure is not None:
            duration_ms = (self._clock.monotonic() - started) * 1000
            self._books.init_failed("invoke", failure, duration_ms)
        return failure

    async def _is_waiting(self) -> bool:
        """Whether a runtime waits for an event."""
        if self._process is not None and self._process.session.state is State.ANSWERED:
            # Its connection dropped while it waited; it may be about to ask again.
            await self._await_free(self._process, self._clock.monotonic() + RECONNECT_SECONDS)
        return self._process is not None and self._process.session.state is State.IDLE

    async def _exchange(
        self, process: RuntimeProcess, event: "_Event", deadline: float
    ) -> Answer | ExtensionFailure:
        """Hand over the event and wait for its answer, or for the deadline."""
        invocation = event.invocation
        remaining = max(deadline - self._clock.monotonic(), 0.0)
        deadline_ms = int((self._clock.now() + remaining) * 1000)
        if process.extensions.takes_invocations:
            process.extensions.invoke(invoke_event(invocation, deadline_ms))
        if event.relay is not None:
            answered = await event.relay.run(process.session, invocation, deadline_ms, remaining)
        else:
            answered = await self._answer(process, invocation, deadline_ms, remaining)
        return _cause(process, answered)

    async def _answer(
        self, process: RuntimeProcess, invocation: Invocation, deadline_ms: int, remaining: float
    ) -> Answer:
        self._deadline.set(remaining)
        try:
            return await process.session.invoke(invocation, deadline_ms)
        finally:
            self._deadline.clear()

    def _expire(self) -> None:
        if self._process is not None:
            self._process.session.expire()

    async def _settle(
        self, process: RuntimeProcess, event: "_Event", verdict: Verdict, deadline: float
    ) -> None:
        """Wait until all in the sandbox, whose runtime has answered, are free."""
        await self._await_all(process, event, verdict, deadline)
        self.has_answered = False
        self._close_event(event, verdict)

    async def _await_all(
        self, process: RuntimeProcess, event: "_Event", verdict: Verdict, deadline: float
    ) -> None:
        """Wait for the runtime, and then for the extensions that were told of the event."""
        await self._await_free(process, deadline)
        if self._process is not process or not process.extensions.is_busy:
            return
        # Many extensions work until they hear of this, so it cannot wait for them.
        process.drain()
        event.runtime_done = self._clock.now()
        duration_ms = self._duration_ms(event)
        self._books.runtime_done(
            event.invocation, event.started_at, duration_ms, verdict, event.streamed_bytes
        )
        try:
            async with asyncio.timeout(max(deadline - self._clock.monotonic(), 0.0)):
                if not await process.extensions.free():
                    await self._discard("FAILURE")
        except TimeoutError:
            await self._discard("TIMEOUT")

    async def _await_free(self, process: RuntimeProcess, deadline: float) -> None:
        try:
            async with asyncio.timeout(max(deadline - self._clock.monotonic(), 0.0)):
                is_free = await process.session.free()
        except TimeoutError:
            is_free = False
        if not is_free:
            is_late = process.session.state is State.ANSWERED
            await self._discard("TIMEOUT" if is_late else "FAILURE")

    def _close_event(self, event: "_Event", verdict: Verdict) -> Outcome:
        """Write the event's last lines, and be free for another."""
        outcome = self._write_down(event, verdict)
        self._on_free(self)
        return outcome

    def _lost(self) -> None:
        if self._on_lost is not None:
            self._on_lost(self)

    def _write_down(self, event: "_Event", verdict: Verdict) -> Outcome:
        if self._process is not None:
            self._process.finish_output()
            self._peak = max(self._process.peak_memory_bytes(), self._peak)
        invocation, started_at = event.invocation, event.started_at
        if event.runtime_done is None:
            duration_ms = self._duration_ms(event)
            self._books.ended(
                invocation,
                started_at,
                duration_ms,
                verdict,
                self._peak,
                streamed_bytes=event.streamed_bytes,
            )
        else:
            # What extensions do counts, and is paid for, as the function's own time.
            now, done = self._clock.now(), event.runtime_done
            overhead = Span("extensionOverhead", done, max(now - done, 0.0) * 1000)
            total_ms = (self._clock.monotonic() - event.started) * 1000
            self._books.reported(invocation, started_at, total_ms, verdict, self._peak, (overhead,))
        outcome = verdict.outcome
        if event.invocation.wants_log_tail:
            outcome = replace(outcome, log_tail=self._log.take_tail())
        return outcome

    def _duration_ms(self, event: "_Event") -> float:
        return ((event.answered or self._clock.monotonic()) - event.started) * 1000

    async def _end_with_process(self, event: "_Event", verdict: Verdict) -> Outcome:
        """End an event whose process has ended, or must. Extensions keep no caller waiting."""
        reason: ShutdownReason = "TIMEOUT" if verdict.status == "timeout" else "FAILURE"
        if self._process is None or not self._process.extensions:
            await self._discard(reason)
            return self._close_event(event, verdict)
        self._process.drain()
        outcome = self._write_down(event, verdict)
        self._workshop.spawn(self._discard_and_free, reason)
        return outcome

    async def _discard_and_free(self, reason: ShutdownReason) -> None:
        await self._discard(reason)
        self._on_free(self)


def _cause(process: RuntimeProcess, answer: Answer) -> Answer | ExtensionFailure:
    """Name the extension whose failure ended the process, if that was it."""
    if isinstance(answer, Exit) and process.extensions.failure is not None:
        return process.extensions.failure
    return answer
