"""The external extensions of one sandbox as programs: started, listened to, watched.

What they say through the Extensions API is `runtime/extensions`'s; here is what happens to
their processes. The sandbox ends them, whatever they do.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from lambdabox.domain import limits
from lambdabox.execution.faults import extension_exit_reason
from lambdabox.execution.output import OutputReader
from lambdabox.ports import InvalidEntrypointError, Program, Sandbox
from lambdabox.runtime.extensions import Extensions
from lambdabox.runtime.external_extensions import ExternalExtension
from lambdabox.telemetry.logs import EnvironmentLog


class ExtensionPrograms:
    def __init__(
        self,
        sandbox: Sandbox,
        extensions: Extensions,
        log: EnvironmentLog,
        spawn: Callable[..., None],
    ) -> None:
        self._sandbox = sandbox
        self._extensions = extensions
        self._log = log
        self._spawn = spawn
        self._outputs: list[OutputReader] = []
        self._ended: dict[str, asyncio.Event] = {}

    async def start(
        self, found: Sequence[ExternalExtension], environment: Mapping[str, str]
    ) -> None:
        """Start them all, or as many as it takes to find one that cannot be started.

        Raises SandboxGoneError.
        """
        for external in found:
            self._extensions.expect(external.name)
        for number, external in enumerate(found):
            if number == limits.EXTENSIONS:
                message = f"Extension limit ({limits.EXTENSIONS}) reached"
                self._extensions.launch_failed(external.name, "TooManyExtensions", message)
                return
            if not await self._start_one(external, environment):
                return

    async def gone(self, names: Collection[str]) -> None:
        """Return once the programs of the given extensions have ended."""
        for name in names:
            await self._ended[name].wait()

    def drain(self) -> None:
        """Take in all output so far."""
        for output in self._outputs:
            output.drain()

    def close(self) -> None:
        """Stop listening. Before the sandbox is destroyed."""
        for output in self._outputs:
            output.close()

    async def _start_one(self, external: ExternalExtension, environment: Mapping[str, str]) -> bool:
        shown = f"fork/exec /opt/extensions/{external.name}"
        if not external.is_executable:
            self._extensions.launch_failed(
                external.name, "PermissionDenied", f"{shown}: permission denied"
            )
            return False
        try:
            program = await self._sandbox.run([external.path], environment)
        except InvalidEntrypointError as exc:
            self._extensions.launch_failed(external.name, "UnknownError", f"{shown}: {exc}")
            return False
        output = OutputReader(program.output, self._log.extension())
        self._outputs.append(output)
        self._ended[external.name] = asyncio.Event()
        self._spawn(self._watch, external.name, program, output)
        return True

    async def _watch(self, name: str, program: Program, output: OutputReader) -> None:
        ended = await program.wait()
        output.drain()
        self._ended[name].set()
        self._extensions.exited(name, extension_exit_reason(ended))
