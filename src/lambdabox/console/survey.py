"""Which runtimes this machine can run, found out beside the pages that say so.

Looking for interpreters runs programs and can take seconds, which no page waits for: it says
what the last look has found, and asks for another.
"""

import logging
from collections.abc import Mapping

import anyio
from anyio.abc import TaskStatus

from lambdabox.console.blueprints import supported_runtimes
from lambdabox.runtime.interpreters import Interpreters

PATIENCE_SECONDS = 0.05

log = logging.getLogger(__name__)


class RuntimeSurvey:
    def __init__(self, interpreters: Interpreters) -> None:
        self._interpreters = interpreters
        self._installed: dict[str, bool] = {}
        self._asked = anyio.Event()
        self._done = anyio.Event()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look whenever asked, until cancelled."""
        task_status.started()
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            try:
                await self._look()
            except Exception:
                # A page without its remarks is no reason for a node to end.
                log.exception("looking for interpreters failed")

    async def _look(self) -> None:
        for runtime in supported_runtimes():
            found = await self._interpreters.find(runtime)
            self._installed[runtime.name] = found is not None
        self._done.set()

    def ask(self) -> None:
        """Have a look begun."""
        self._asked.set()

    async def installed(self) -> Mapping[str, bool] | None:
        """Return what the last look has found; None if the first one is not over in a moment."""
        self.ask()
        with anyio.move_on_after(PATIENCE_SECONDS):
            await self._done.wait()
        return dict(self._installed) if self._done.is_set() else None
