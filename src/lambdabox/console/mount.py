"""Where the gateway hands over: the console, built when somebody first asks for it.

The web framework and the templates take a tenth of a second and some megabytes, which a node
that nobody looks at does not pay.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from lambdabox.console.settings import Application, ConsoleSettings
from lambdabox.console.survey import RuntimeSurvey

if TYPE_CHECKING:
    from lambdabox.console.services import ConsoleServices


class Console:
    """An ASGI application. `services` makes what its pages work on."""

    def __init__(
        self,
        settings: ConsoleSettings,
        services: "Callable[[], ConsoleServices]",
        survey: RuntimeSurvey,
    ) -> None:
        self._settings = settings
        self._services = services
        self._survey = survey
        self._app: Application | None = None
        self._building = anyio.Lock()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run what works beside the pages, until cancelled."""
        await self._survey.serve(task_status=task_status)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self._app or await self._build()
        await app(scope, receive, send)

    async def _build(self) -> Application:
        async with self._building:
            if self._app is None:
                self._survey.ask()
                self._app = await anyio.to_thread.run_sync(self._make)
            return self._app

    def _make(self) -> Application:
        # Here, on a thread, and not at the top: see the module's docstring.
        from lambdabox.console.site import build_site

        return build_site(self._settings, self._services())
