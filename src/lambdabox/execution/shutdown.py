"""The shutdown phase: what a sandbox with extensions is granted before it is killed.

AWS's budgets: nothing without extensions, 500 ms with internal ones, 2 s with external
ones. The runtime is asked to end by SIGTERM and has its share of that; then the extensions
that wanted to know are told, and have the rest. Whoever is left is killed with the sandbox.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

import anyio

from lambdabox.domain import limits
from lambdabox.domain.values import dataclass
from lambdabox.execution.extension_programs import ExtensionPrograms
from lambdabox.ports import Sandbox
from lambdabox.runtime.extensions import Extensions
from lambdabox.runtime.telemetry_stream import TelemetryStream

ShutdownReason = Literal["SPINDOWN", "TIMEOUT", "FAILURE"]

RUNTIME_SHARE = 0.3
INTERNAL_RUNTIME_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class ShutdownPhase:
    sandbox: Sandbox
    extensions: Extensions
    programs: ExtensionPrograms
    telemetry: TelemetryStream
    now: Callable[[], float]

    async def run(self, reason: ShutdownReason, *, has_runtime: bool) -> None:
        """Return once all have ended, or their time is up."""
        if not self.extensions:
            return
        loop = asyncio.get_running_loop()
        is_external = self.extensions.has_external
        budget = (
            limits.EXTERNAL_SHUTDOWN_SECONDS if is_external else limits.INTERNAL_SHUTDOWN_SECONDS
        )
        deadline = loop.time() + budget
        self.telemetry.flush()
        share = RUNTIME_SHARE * budget if is_external else INTERNAL_RUNTIME_SECONDS
        with anyio.move_on_after(share):
            if has_runtime:
                self.sandbox.terminate()
                await self.sandbox.wait()
            if is_external:
                # One that ends as soon as it is told would miss what is on its way.
                await self.telemetry.flushed()
        left = deadline - loop.time()
        told = self.extensions.shut_down(reason, int((self.now() + left) * 1000))
        with anyio.move_on_after(left):
            await self.programs.gone(told)
