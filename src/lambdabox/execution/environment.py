"""One execution environment: one event at a time, from its first init to its end.

It owns its sandbox and every deadline. What it promises its caller is an `Outcome`,
whatever the code inside does: answer, fail, hang, exit or lie. After a timeout or an exit
the sandbox is replaced at the next event while the environment, its `/tmp` and its log
stream go on, as on AWS.
"""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio.to_thread

from lambdabox.domain import limits
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType, Invocation, Outcome
from lambdabox.execution.bookkeeping import Bookkeeper
from lambdabox.execution.deadline import Deadline
from lambdabox.execution.runtime_process import RuntimeProcess, Spawn
from lambdabox.execution.verdicts import InitFailure, Verdict, judge, judge_init
from lambdabox.ports import Clock, InvalidEntrypointError, IsolationDriver, Journal
from lambdabox.runtime.launch import Launcher, LaunchError
from lambdabox.runtime.session import Answer, Expired, State
from lambdabox.telemetry.logs import EnvironmentLog, new_stream

RECONNECT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every environment of a node is made with."""

    driver: IsolationDriver
    launcher: Launcher
    journal: Journal
    clock: Clock
    spawn: Spawn
    root: Path
    """Holds each environment's scratch directory."""


@dataclass(slots=True)
class _Event:
    """An invocation on its way through. `started` and `answered` are monotonic."""

    invocation: Invocation
    started_at: float
    started: float
    answered: float | None = None


class Environment:
    """Made for one deployment. `on_free` is called whenever it can take another event."""

    def __init__(
        self,
        deployment: Deployment,
        workshop: Workshop,
        *,
        id: str,
        on_free: Callable[["Environment"], None],
    ) -> None:
        self.id = id
        self.deployment = deployment
        self.last_used = 0.0
        self._workshop = workshop
        self._clock = workshop.clock
        self._on_free = on_free
        self._loop = asyncio.get_running_loop()
        self._scratch = workshop.root / id
        self._stream = new_stream(deployment, self._clock.now())
        self._log = EnvironmentLog(
            self._stream, deployment.settings.logging, workshop.journal, self._clock
        )
        self._initialization_type = InitializationType.ON_DEMAND
        self._books = Bookkeeper(
            deployment, self._log, workshop.journal, self._clock, self._initialization_type
        )
        self._process: RuntimeProcess | None = None
        self._deadline = Deadline(self._expire)
        self._incarnation = 0
        self._is_closed = False
        self.has_answered = False
        """Whether its event is answered while its runtime has not asked for another yet."""
        self._peak = 0

    @property
    def _running(self) -> RuntimeProcess:
        if self._process is None:
            raise RuntimeError("the environment has no runtime process")
        return self._process

    async def initialize(self) -> None:
        """Run init, ahead of any event. A failure is logged, and tried again by `run`."""
        self._books.init_started()
        started = self._clock.monotonic()
        failure = await self._boot(limits.INIT_SECONDS)
        duration_ms = (self._clock.monotonic() - started) * 1000
        if failure is None:
            self._books.init_succeeded(duration_ms)
        else:
            self._books.init_failed("init", failure, duration_ms)

    async def run(self, invocation: Invocation) -> Outcome:
        """Run one event to its outcome. Raises only if the platform fails."""
        if invocation.wants_log_tail:
            self._log.begin_tail()
        event = _Event(invocation, self._clock.now(), self._clock.monotonic())
        deadline = event.started + self.deployment.settings.timeout_seconds
        failure = await self._revive(deadline - event.started)
        self._books.started(invocation)
        if failure is not None:
            verdict = judge_init(invocation, self.deployment, failure)
            return self._close_event(event, verdict)
        process = self._running
        verdict = judge(
            invocation, self.deployment, await self._exchange(process, invocation, deadline)
        )
        event.answered = self._clock.monotonic()
        if verdict.ends_process:
            await self._discard()
        elif process.session.state is not State.IDLE:
            if not invocation.wants_log_tail:
                self.has_answered = True
                self._workshop.spawn(self._settle, process, event, verdict, deadline)
                return verdict.outcome
            await self._await_free(process, deadline)
        return self._close_event(event, verdict)

    def begin(self, invocation: Invocation, done: Callable[[Outcome], None]) -> bool:
        """Run one event without a task, if a runtime waits for it; return whether it does.

        What `run` does for the plain case, which is nearly all, in two turns of the loop: one
        hands the event over, one takes the answer. `done` is told the outcome, once.
        """
        process = self._process
        if process is None or process.session.state is not State.IDLE or invocation.wants_log_tail:
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
        verdict = judge(event.invocation, self.deployment, answer)
        if verdict.ends_process:
            if self._process is process:
                self._workshop.spawn(self._end_process, event, verdict, done)
            else:  # `close` is about it, and what is spawned by now may never run
                done(self._close_event(event, verdict))
            return
        done(verdict.outcome)
        if process.session.state is State.IDLE:
            # In the next turn: what was printed before the answer is read in this one.
            self._loop.call_soon(self._close_event, event, verdict)
        else:
            self.has_answered = True
            deadline = event.started + self.deployment.settings.timeout_seconds
            self._workshop.spawn(self._settle, process, event, verdict, deadline)

    async def _end_process(
        self, event: "_Event", verdict: Verdict, done: Callable[[Outcome], None]
    ) -> None:
        try:
            await self._discard()
            self._close_event(event, verdict)
        finally:
            done(verdict.outcome)

    async def close(self) -> None:
        """End the environment and remove what it wrote."""
        self._is_closed = True
        self._deadline.close()
        await self._discard()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, self._scratch, True)

    async def _revive(self, timeout: float) -> InitFailure | None:
        """Make sure a runtime waits for an event. AWS calls this the suppressed init."""
        if self._process is not None:
            if self._process.session.state is State.ANSWERED:
                # Its connection dropped while it waited; it may be about to ask again.
                await self._await_free(self._process, self._clock.monotonic() + RECONNECT_SECONDS)
            if self._process is not None and self._process.session.state is State.IDLE:
                return None
        await self._discard()
        started = self._clock.monotonic()
        failure = await self._boot(timeout)
        if failure is not None:
            duration_ms = (self._clock.monotonic() - started) * 1000
            self._books.init_failed("invoke", failure, duration_ms)
        return failure

    async def _boot(self, seconds: float) -> InitFailure | None:
        """Start the sandbox and wait until its runtime asks for an event."""
        workshop = self._workshop
        self._incarnation += 1
        await anyio.to_thread.run_sync(_make_directory, self._scratch)
        try:
            spec = await workshop.launcher.spec(
                self.deployment,
                id=f"{self.id}-{self._incarnation}",
                scratch=self._scratch,
                stream=self._stream,
                initialization_type=self._initialization_type,
            )
            process = await RuntimeProcess.start(workshop.driver, spec, self._log, workshop.spawn)
        except LaunchError as exc:
            return exc
        except InvalidEntrypointError as exc:
            return LaunchError("Runtime.InvalidEntrypoint", str(exc))
        self._process = process
        if self._is_closed:  # meanwhile, so nobody else will end what has just been started
            await self._discard()
        try:
            async with asyncio.timeout(seconds):
                result: InitFailure | None = await process.session.initialized()
        except TimeoutError:
            result = Expired()
        self._peak = max(process.peak_memory_bytes(), self._peak)
        if result is not None:
            await self._discard()
        return result

    async def _exchange(
        self, process: RuntimeProcess, invocation: Invocation, deadline: float
    ) -> Answer:
        """Hand over the event and wait for its answer, or for the deadline."""
        remaining = max(deadline - self._clock.monotonic(), 0.0)
        deadline_ms = int((self._clock.now() + remaining) * 1000)
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
        """Wait until the runtime, which has answered, asks for another event."""
        await self._await_free(process, deadline)
        self.has_answered = False
        self._close_event(event, verdict)

    async def _await_free(self, process: RuntimeProcess, deadline: float) -> None:
        try:
            async with asyncio.timeout(max(deadline - self._clock.monotonic(), 0.0)):
                is_free = await process.session.free()
        except TimeoutError:
            is_free = False
        if not is_free:
            await self._discard()

    def _close_event(self, event: "_Event", verdict: Verdict) -> Outcome:
        """Write the event's last lines, and be free for another."""
        if self._process is not None:
            self._process.finish_output()
            self._peak = max(self._process.peak_memory_bytes(), self._peak)
        duration_ms = ((event.answered or self._clock.monotonic()) - event.started) * 1000
        self._books.ended(event.invocation, event.started_at, duration_ms, verdict, self._peak)
        outcome = verdict.outcome
        if event.invocation.wants_log_tail:
            outcome = replace(outcome, log_tail=self._log.take_tail())
        self._on_free(self)
        return outcome

    async def _discard(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.drain()
            self._peak = max(process.peak_memory_bytes(), self._peak)
            await process.stop()


def _make_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
