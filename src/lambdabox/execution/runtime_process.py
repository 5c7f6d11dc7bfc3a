"""One runtime process: a sandbox, the session with what runs in it, and its output.

Ties the pieces of one sandbox's life together, and guarantees that what the process sent
and printed before it ended is taken in before its end is told.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable

import anyio

from lambdabox.execution.output import OutputReader
from lambdabox.ports import Exit, IsolationDriver, Sandbox, SandboxSpec
from lambdabox.runtime.api import RuntimeApi, serve_runtime_api
from lambdabox.runtime.channel import ChannelTransport
from lambdabox.runtime.session import RuntimeSession
from lambdabox.telemetry.logs import EnvironmentLog

Spawn = Callable[..., None]
"""Run an async function in the background: `spawn(function, *arguments)`. The node's executor
owns what is spawned, and logs what it raises."""

log = logging.getLogger(__name__)

PEAK_SECONDS = 0.1
LAST_WORDS_SECONDS = 0.05
"""How long the connections of a process that has ended may take to hand over what it sent."""


class RuntimeProcess:
    """Owns a sandbox. Made by `start`, ended by `stop`."""

    def __init__(self, sandbox: Sandbox, log: EnvironmentLog) -> None:
        self.session = RuntimeSession()
        self._sandbox = sandbox
        self._output = OutputReader(sandbox.output, log)
        self._channel = ChannelTransport(sandbox.channel, self.session)
        self._channel.closed.add_done_callback(self._channel_closed)
        self._api: RuntimeApi | None = None
        self._stopped = False
        self._peak = 0
        self._peak_expires = 0.0

    @classmethod
    async def start(
        cls, driver: IsolationDriver, spec: SandboxSpec, log: EnvironmentLog, spawn: Spawn
    ) -> "RuntimeProcess":
        """Start the sandbox and listen to it. Raises InvalidEntrypointError."""
        process = cls(await driver.start(spec), log)
        try:
            process._api = await serve_runtime_api(process._sandbox.listener, process.session)
        except BaseException:
            await process.stop()
            raise
        spawn(process._watch)
        return process

    def drain(self) -> None:
        """Take in all output so far."""
        self._output.drain()

    def finish_output(self) -> None:
        """Take in what was printed before an answer, in any turn of the loop after it came."""
        self._output.finish()

    def peak_memory_bytes(self) -> int:
        """The most memory used so far, as of a tenth of a second ago at most.

        Asking the kernel costs more than all other bookkeeping of a short event.
        """
        now = time.monotonic()
        if now >= self._peak_expires:
            self._peak = max(self._sandbox.peak_memory_bytes(), self._peak)
            self._peak_expires = now + PEAK_SECONDS
        return self._peak

    async def stop(self) -> None:
        """End the sandbox and everything attached to it. May be called twice."""
        if self._stopped:
            return
        self._stopped = True
        if self._api is not None:
            self._api.close()
        self._channel.close()
        self._output.close()
        await self._sandbox.destroy()
        self.session.end(Exit())

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
        self.session.end(ended)

    def _channel_closed(self, closed: asyncio.Future[str | None]) -> None:
        """End a runtime that breaks the channel's rules. One that only closes it speaks HTTP."""
        broken_rule = closed.result()
        if broken_rule is not None and not self._stopped:
            log.warning("a sandbox is ended: %s", broken_rule)
            self.session.end(Exit(signal=signal.SIGKILL))
