"""Runtime processes, one after another, with one log and one scratch directory for all.

What an environment, which runs events, and a template, which others are forked from, have
in common: how a process is started, watched over and ended. Whoever derives from this says
when.
"""

import asyncio
from pathlib import Path

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.values import dataclass
from lambdabox.execution.bookkeeping import Bookkeeper
from lambdabox.execution.runtime_process import RuntimeProcess, Spawn, Surroundings
from lambdabox.execution.shutdown import ShutdownReason
from lambdabox.execution.verdicts import InitFailure
from lambdabox.ports import Clock, IsolationDriver, Journal, SandboxSpec
from lambdabox.runtime.launch import Launcher, LaunchError
from lambdabox.runtime.session import Expired, State
from lambdabox.runtime.telemetry_stream import TelemetryStream
from lambdabox.telemetry.logs import EnvironmentLog, new_stream
from lambdabox.telemetry.payloads import PayloadStore


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
    payloads: PayloadStore | None = None
    """Where events and responses are kept, if anywhere."""


class ProcessOwner:
    """Has at most one process at a time. `close` ends it."""

    def __init__(
        self,
        deployment: Deployment,
        workshop: Workshop,
        *,
        id: str,
        initialization_type: InitializationType,
    ) -> None:
        self.id = id
        self.deployment = deployment
        self.is_frozen = False
        self._workshop = workshop
        self._clock = workshop.clock
        self._scratch = workshop.root / id
        self._stream = new_stream(deployment, self._clock.now())
        self._log = EnvironmentLog(
            self._stream, deployment.settings.logging, workshop.journal, self._clock
        )
        self._initialization_type = initialization_type
        self._books = Bookkeeper(
            deployment,
            self._log,
            workshop.journal,
            self._clock,
            self._initialization_type,
            workshop.payloads,
        )
        self._process: RuntimeProcess | None = None
        self._telemetry: TelemetryStream | None = None
        self._discarding = asyncio.Lock()
        self._incarnation = 0
        self._is_closed = False
        self._peak = 0

    @property
    def is_running(self) -> bool:
        """Whether it has a runtime process."""
        return self._process is not None and self._process.session.state is not State.ENDED

    async def close(self) -> None:
        """End the process and remove what all of them wrote."""
        self._is_closed = True
        await self._discard("SPINDOWN")
        await self._workshop.driver.remove_scratch(self._scratch)

    def freeze(self) -> None:
        """Stop its processes until its next event, as AWS does between events."""
        if self._process is not None and not self.is_frozen:
            self.is_frozen = True
            self._process.freeze()

    def thaw(self) -> None:
        self.is_frozen = False
        if self._process is not None:
            self._process.thaw()

    @property
    def _running(self) -> RuntimeProcess:
        if self._process is None:
            raise RuntimeError("the environment has no runtime process")
        return self._process

    def _lost(self) -> None:
        """The process has ended, or is given up."""

    async def _spec(self) -> SandboxSpec:
        """Return how to start the next process. Raises LaunchError."""
        self._incarnation += 1
        return await self._workshop.launcher.spec(
            self.deployment,
            id=f"{self.id}-{self._incarnation}",
            scratch=self._scratch,
            stream=self._stream,
            initialization_type=self._initialization_type,
        )

    async def _boot(self, seconds: float) -> InitFailure | None:
        """Start a process and wait until init is over for all in its sandbox.

        One that failed is left for the caller to discard, after it has told of it.
        """
        try:
            spec = await self._spec()
        except LaunchError as exc:
            return exc
        process = await RuntimeProcess.prepare(spec, self._surroundings())
        await self._own(process)
        try:
            async with asyncio.timeout(seconds):
                result: InitFailure | None = await process.initialize()
        except TimeoutError:
            result = Expired()
        process.init_ended()
        if result is None and process.session.state is not State.SNAPSHOT:
            # Only now: AWS, too, gives init more than the share that memory buys.
            process.limit_cpu()
        return result

    async def _own(self, process: RuntimeProcess) -> None:
        self._process = process
        process.session.on_end = self._lost
        if self._is_closed:  # meanwhile, so nobody else will end what has just been made
            await self._discard("SPINDOWN")

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            self._workshop.driver,
            self.deployment,
            self._log,
            self._open_telemetry(),
            self._clock,
            self._workshop.spawn,
        )

    def _open_telemetry(self) -> TelemetryStream:
        """Keep what is logged from now on for the extensions of the next sandbox."""
        if self._telemetry is None:
            is_json = self.deployment.settings.logging.format == "JSON"
            self._telemetry = TelemetryStream(is_json=is_json, now=self._clock.now)
            self._log.tap = self._telemetry
        return self._telemetry

    async def _discard(self, reason: ShutdownReason) -> None:
        process = self._detach()
        async with self._discarding:
            if process is not None:
                await process.stop(reason)

    async def _let_go(self) -> None:
        """Discard a process that failed, without waiting for its extensions to end.

        For those of the one before it has to: what fails over and over must not pile up.
        """
        has_extensions = self._process is not None and bool(self._process.extensions)
        if has_extensions and not self._discarding.locked():
            self._workshop.spawn(self._stop, self._detach())
        else:
            await self._discard("FAILURE")

    async def _stop(self, process: RuntimeProcess) -> None:
        async with self._discarding:
            await process.stop("FAILURE")

    def _detach(self) -> RuntimeProcess | None:
        process, self._process = self._process, None
        self._telemetry = None
        if process is not None:
            process.drain()
            self._peak = max(process.peak_memory_bytes(), self._peak)
        return process
