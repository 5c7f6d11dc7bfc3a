"""Execution environments of SnapStart deployments: they begin with a restore, not an init.

The process comes as a fork of the deployment's template, or from an init of its own where
there is none; both stop at the restore point, and what follows is the same: variables,
after-restore hooks, ten seconds at most. A restore that fails is not an outcome of the
event, which never ran: its caller gets SnapStartException or SnapStartTimeoutException.
"""

import asyncio
from collections.abc import Callable

from lambdabox.domain import limits
from lambdabox.domain.errors import ApiError, SnapStartException, SnapStartTimeoutException
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType, Invocation, Outcome
from lambdabox.execution.bookkeeping import Restore
from lambdabox.execution.environment import Environment
from lambdabox.execution.process_owner import Workshop
from lambdabox.execution.runtime_process import RuntimeProcess
from lambdabox.execution.snapshots import Snapshot, init_seconds
from lambdabox.execution.verdicts import InitFailure
from lambdabox.execution_ports import ResponseSink
from lambdabox.ports import CannotCloneError, Exit
from lambdabox.runtime.launch import LaunchError
from lambdabox.runtime.session import Error, Expired
from lambdabox.telemetry.billing import billed_ms
from lambdabox.telemetry.platform_events import Phase


class SnapStartEnvironment(Environment):
    """Takes the place of `Environment` for a deployment that has a snapshot."""

    def __init__(
        self,
        deployment: Deployment,
        workshop: Workshop,
        *,
        id: str,
        on_free: Callable[[Environment], None],
        snapshot: Snapshot,
    ) -> None:
        super().__init__(
            deployment,
            workshop,
            id=id,
            on_free=on_free,
            initialization_type=InitializationType.SNAP_START,
        )
        self._snapshot = snapshot
        self._init_failure: InitFailure | None = None

    async def initialize(self) -> InitFailure | None:
        """Be restored, ahead of any event. Raises SnapStartException or its timeout.

        The failure of an init of its own is logged, and tried again by `run`.
        """
        failure = await self._start_over("init")
        if failure is not None:
            await self._let_go()
        return failure

    async def run(self, invocation: Invocation, sink: ResponseSink | None = None) -> Outcome:
        """As `Environment.run`, and raises SnapStartException or its timeout.

        The function's timeout begins after the restore.
        """
        if not await self._is_waiting():
            await self._let_go()
            self._init_failure = await self._start_over("invoke")
        return await super().run(invocation, sink)

    async def _revive(self, timeout: float) -> InitFailure | None:  # noqa: ARG002  # see `run`
        failure, self._init_failure = self._init_failure, None
        if failure is not None or await self._is_waiting():
            return failure
        await self._let_go()
        return await self._start_over("invoke")

    async def _start_over(self, phase: Phase) -> InitFailure | None:
        """Get a process to where it waits for an event; return why its init failed, if it did."""
        self._open_telemetry()
        started = self._clock.monotonic()
        try:
            process = await self._snapshot.clone(self._spec, self._surroundings())
            await self._own(process)
        except (CannotCloneError, LaunchError):  # of which an init of its own tells the latter
            failure = await self._initialize_alone(phase)
            if failure is not None:
                return failure
            process, started = self._running, self._clock.monotonic()
        self._books.restore_started()
        await self._restore(process, started)
        return None

    async def _initialize_alone(self, phase: Phase) -> InitFailure | None:
        if (reason := self._snapshot.obstacle_to_tell()) is not None:
            self._books.snapshot_unusable(reason)
        self._books.init_started(phase)
        started = self._clock.monotonic()
        failure = await self._boot(init_seconds(self.deployment))
        duration_ms = (self._clock.monotonic() - started) * 1000
        if failure is not None:
            self._books.init_failed(phase, failure, duration_ms)
        else:
            self._running.drain()
            self._books.init_succeeded(duration_ms, phase)
        return failure

    async def _restore(self, process: RuntimeProcess, started: float) -> None:
        """Let the runtime go on, and wait until it asks for an event."""
        resumed = self._clock.monotonic()
        process.restore()
        try:
            async with asyncio.timeout(max(started + limits.RESTORE_SECONDS - resumed, 0.0)):
                failure: Error | Exit | Expired | None = await process.session.restored()
        except TimeoutError:
            failure = Expired()
        ended = self._clock.monotonic()
        process.drain()
        duration_ms = (ended - started) * 1000
        if failure is None:
            self._books.restore_succeeded(Restore(duration_ms, billed_ms((ended - resumed) * 1000)))
            process.limit_cpu()
            return
        self._books.restore_failed(failure, duration_ms)
        await self._let_go()
        raise _refusal(failure)


def _refusal(failure: Error | Exit | Expired) -> ApiError:
    if isinstance(failure, Expired):
        return SnapStartTimeoutException(
            "Lambda couldn't restore the snapshot within the timeout limit."
        )
    return SnapStartException(
        "The afterRestore() runtime hook encountered an error. For more information, check the "
        "Amazon CloudWatch logs."
    )
