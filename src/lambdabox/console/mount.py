"""Where the gateway hands over: the console, built when somebody first asks for it.

The web framework and the templates take a tenth of a second and some megabytes, which a node
that nobody looks at does not pay. Whoever starts a node at a terminal is told the console's
address, so there it is built a moment after the start, before it is asked for.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from lambdabox.console.background import Background
from lambdabox.console.settings import Application, ConsoleSettings
from lambdabox.console.survey import RuntimeSurvey
from lambdabox.ports import Clock

if TYPE_CHECKING:
    from lambdabox.console.services import ConsoleServices

log = logging.getLogger(__name__)

AHEAD_SECONDS = 2.0
"""What is done with a node that has just started comes first."""


class Console:
    """An ASGI application. `services` makes what its pages work on."""

    def __init__(
        self,
        settings: ConsoleSettings,
        services: "Callable[[], ConsoleServices]",
        survey: RuntimeSurvey,
        clock: Clock,
        *,
        is_expected: bool = False,
    ) -> None:
        """`is_expected` says that somebody is likely to ask."""
        self._settings = settings
        self._services = services
        self._survey = survey
        self._clock = clock
        self._is_expected = is_expected
        self._app: Application | None = None
        self._building = anyio.Lock()
        self._is_visited = False
        self.background = Background()
        """For what `services` makes."""

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run what works beside the pages, until cancelled."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._survey.serve)
            await tasks.start(self.background.serve)
            task_status.started()
            if self._is_expected:
                await self._clock.sleep(AHEAD_SECONDS)
                await self._build_ahead()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._is_visited:
            self._is_visited = True
            self._survey.ask()
        app = self._app or await self._build()
        await app(scope, receive, send)

    async def _build_ahead(self) -> None:
        try:
            await self._build()
        except Exception:
            # Nobody has asked yet; whoever does is told of it, and the node goes on.
            log.exception("the console could not be built")

    async def _build(self) -> Application:
        async with self._building:
            if self._app is None:
                self._app = await anyio.to_thread.run_sync(self._make)
            return self._app

    def _make(self) -> Application:
        # Here, on a thread, and not at the top: see the module's docstring.
        from lambdabox.console.site import build_site

        return build_site(self._settings, self._services())
