"""One runtime process: a sandbox, the session with what runs in it, and its output.

Ties the pieces of one sandbox's life together, its extensions included, and guarantees
that what the process sent and printed before it ended is taken in before its end is told.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable

import anyio

from lambdabox.domain.functions import Deployment
from lambdabox.domain.values import dataclass
from lambdabox.execution.extension_programs import ExtensionPrograms
from lambdabox.execution.output import OutputReader
from lambdabox.execution.shutdown import ShutdownPhase, ShutdownReason
from lambdabox.ports import (
    CREDENTIALS_TOKEN_VARIABLE,
    Clock,
    Exit,
    InvalidEntrypointError,
    IsolationDriver,
    Sandbox,
    SandboxGoneError,
    SandboxSpec,
)
from lambdabox.runtime.api import RuntimeApi, serve_runtime_api
from lambdabox.runtime.channel import ChannelTransport
from lambdabox.runtime.credentials import credentials_of
from lambdabox.runtime.extensions import ExtensionFailure, Extensions
from lambdabox.runtime.extensions_api import ExtensionsApi
from lambdabox.runtime.external_extensions import extension_variables, find_external
from lambdabox.runtime.launch import LaunchError
from lambdabox.runtime.session import Error, RuntimeSession, State
from lambdabox.runtime.telemetry_stream import TelemetryStream
from lambdabox.telemetry.logs import EnvironmentLog

Spawn = Callable[..., None]
"""Run an async function in the background: `spawn(function, *arguments)`. The node's executor
owns what is spawned, and logs what it raises."""

log = logging.getLogger(__name__)

PEAK_SECONDS = 0.1
FULL_SPEED_SECONDS = 0.1
"""How long after its init a sandbox still has the processors that init had."""
LAST_WORDS_SECONDS = 0.05
"""How long the connections of a process that has ended may take to hand over what it sent."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a runtime process is part of."""

    driver: IsolationDriver
    deployment: Deployment
    log: EnvironmentLog
    telemetry: TelemetryStream
    clock: Clock
    spawn: Spawn


class RuntimeProcess:
    """Owns a sandbox. Made by `prepare`, started by `initialize`, ended by `stop`."""

    def __init__(self, sandbox: Sandbox, spec: SandboxSpec, surroundings: Surroundings) -> None:
        self._credentials = credentials_of(spec, surroundings.deployment.key.account)
        self.session = RuntimeSession(is_snap_start=self._credentials is not None)
        self.extensions = Extensions(self._extension_failed)
        self._sandbox = sandbox
        self._spec = spec
        self._driver = surroundings.driver
        self._log = surroundings.log
        self._telemetry = surroundings.telemetry
        self._spawn = surroundings.spawn
        self._output = OutputReader(sandbox.output, self._log)
        self._programs = ExtensionPrograms(sandbox, self.extensions, self._log, self._spawn)
        self._now = surroundings.clock.now
        self._channel = ChannelTransport(sandbox.channel, self.session)
        self._channel.closed.add_done_callback(self._channel_closed)
        self._api: RuntimeApi | None = None
        self._is_launched = False
        self._exit: Exit | None = None
        self._stopped = False
        self._peak = 0
        self._peak_expires = 0.0
        self._loop = asyncio.get_running_loop()
        self._limiting: asyncio.TimerHandle | None = None

    @classmethod
    async def prepare(cls, spec: SandboxSpec, surroundings: Surroundings) -> "RuntimeProcess":
        """Make the sandbox, and serve its APIs. Nothing runs in it yet."""
        process = cls(await surroundings.driver.start(spec), spec, surroundings)
        await process._serve(surroundings)
        return process

    async def clone(self, spec: SandboxSpec, surroundings: Surroundings) -> "RuntimeProcess":
        """Return a fork of this process, at its restore point, in a sandbox of its own.

        It has no extensions, and init is over for it. Raises CannotCloneError.
        """
        process = RuntimeProcess(await self._sandbox.clone(spec), spec, surroundings)
        process._is_launched = True
        process._channel.begin_at_restore_point()
        await process._serve(surroundings)
        process._spawn(process._watch)
        process.init_ended()
        return process

    async def _serve(self, surroundings: Surroundings) -> None:
        """Serve the sandbox's APIs. Ends the sandbox if that fails."""
        telemetry, sandbox = surroundings.telemetry, self._sandbox
        try:
            telemetry.open(sandbox.connect, surroundings.spawn, surroundings.log.platform)
            extensions = ExtensionsApi(self.extensions, telemetry, surroundings.deployment)
            self._api = await serve_runtime_api(
                sandbox.listener, self.session, extensions, self._credentials
            )
        except BaseException:
            await self._end()
            raise

    def restore(self) -> None:
        """Let a runtime at its restore point go on, with variables of this sandbox's own."""
        if self._credentials is not None:
            self.session.restore({CREDENTIALS_TOKEN_VARIABLE: self._credentials.authorization})

    async def initialize(self) -> Error | Exit | LaunchError | ExtensionFailure | None:
        """Start the extensions, then the runtime; return None once init is over for all."""
        try:
            if self._spec.layers and (failure := await self._start_extensions()):
                return failure
            self._is_launched = True
            await self._sandbox.launch()
        except InvalidEntrypointError as exc:
            return LaunchError("Runtime.InvalidEntrypoint", str(exc))
        except SandboxGoneError:
            return Exit()
        self._spawn(self._watch)
        result = await self.session.initialized()
        if result is None and self.extensions:
            await self.extensions.ready()
            result = self._exit
        return self.extensions.failure or result

    def init_ended(self) -> None:
        """Close what is open during init only, and write down where the extensions stand."""
        self.extensions.close_registration()
        self._telemetry.close_subscriptions()
        for status in self.extensions.statuses():
            self._log.platform(status)
        if not self._telemetry.is_listened_to:
            self._untap()

    def drain(self) -> None:
        """Take in all output so far."""
        self._output.drain()
        self._programs.drain()

    def finish_output(self) -> None:
        """Take in what was printed before an answer, in any turn of the loop after it came."""
        self._output.finish()
        self._programs.drain()

    def peak_memory_bytes(self) -> int:
        """The most memory used so far, as of a tenth of a second ago at most.

        Asking the kernel costs more than all other bookkeeping of a short event.
        """
        now = time.monotonic()
        if now >= self._peak_expires:
            self._peak = max(self._sandbox.peak_memory_bytes(), self._peak)
            self._peak_expires = now + PEAK_SECONDS
        return self._peak

    def limit_cpu(self) -> None:
        """Hold it to its share of the processors from soon on.

        The first event runs code for the first time, as init does, and often within a moment.
        """
        self._limiting = self._loop.call_later(FULL_SPEED_SECONDS, self._sandbox.limit_cpu)

    def freeze(self) -> None:
        self._telemetry.pause()
        self._sandbox.freeze()

    def thaw(self) -> None:
        self._sandbox.thaw()
        self._telemetry.resume()

    async def stop(self, reason: ShutdownReason) -> None:
        """Let extensions hear of the end, then end the sandbox and all that is attached to it.

        May be called twice.
        """
        if self._stopped:
            return
        self._sandbox.thaw()  # what is frozen hears nothing
        phase = ShutdownPhase(
            self._sandbox, self.extensions, self._programs, self._telemetry, self._now
        )
        try:
            await phase.run(reason, has_runtime=self._is_launched)
        finally:
            await self._end()

    async def _end(self) -> None:
        self._stopped = True
        if self._limiting is not None:
            self._limiting.cancel()
        self.extensions.end()
        self._telemetry.close()
        self._untap()
        if self._api is not None:
            self._api.close()
        self._channel.close()
        if self.extensions:  # their last words, and the runtime's
            self.drain()
        self._output.close()
        self._programs.close()
        await self._sandbox.destroy()
        self.session.end(Exit())

    async def _start_extensions(self) -> ExtensionFailure | None:
        spec = self._spec
        layout = self._driver.layout(spec.code, spec.layers, spec.runtime_files)
        found = await anyio.to_thread.run_sync(find_external, spec.layers, layout)
        if not found:
            return None
        await self._programs.start(found, extension_variables(spec.environment))
        return await self.extensions.registered()

    async def _watch(self) -> None:
        """Tell the session when the process has ended."""
        ended = await self._sandbox.wait()
        if self._stopped:
            return
        self._channel.drain()
        self._output.drain()
        if self._api is not None:
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                await self._api.drained()
        self._exit = ended
        self.session.end(ended)
        self.extensions.runtime_ended()

    def _extension_failed(self, _failure: ExtensionFailure) -> None:
        if self.session.state is not State.ENDED:
            self.session.end(Exit(signal=signal.SIGKILL))

    def _untap(self) -> None:
        if self._log.tap is self._telemetry:
            self._log.tap = None

    def _channel_closed(self, closed: asyncio.Future[str | None]) -> None:
        """End a runtime that breaks the channel's rules. One that only closes it speaks HTTP."""
        broken_rule = closed.result()
        if broken_rule is not None and not self._stopped:
            log.warning("a sandbox is ended: %s", broken_rule)
            self.session.end(Exit(signal=signal.SIGKILL))
