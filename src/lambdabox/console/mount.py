"""Where the gateway hands over: the console, built when somebody first asks for it.

The web framework and the templates take a tenth of a second and some megabytes, which a node
that nobody looks at does not pay.
"""

from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from lambdabox.console.services import ConsoleServices
from lambdabox.console.settings import Application, ConsoleSettings


class Console:
    """An ASGI application."""

    def __init__(self, settings: ConsoleSettings, services: ConsoleServices) -> None:
        self._settings = settings
        self._services = services
        self._app: Application | None = None
        self._building = anyio.Lock()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run what works beside the pages, until cancelled."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._services.survey.serve)
            await tasks.start(self._services.tunings.serve)
            task_status.started()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self._app or await self._build()
        await app(scope, receive, send)

    async def _build(self) -> Application:
        async with self._building:
            if self._app is None:
                self._services.survey.ask()
                self._app = await anyio.to_thread.run_sync(self._make)
            return self._app

    def _make(self) -> Application:
        # Here, on a thread, and not at the top: see the module's docstring.
        from lambdabox.console.site import build_site

        return build_site(self._settings, self._services)
