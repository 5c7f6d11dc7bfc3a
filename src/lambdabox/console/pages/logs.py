"""A function's log as it grows: the page asks for what came since it last did."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lambdabox.console.function import latest_of
from lambdabox.console.rendering import View
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.visit import visit_of
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.repositories.log_groups import GroupKey
from lambdabox.repositories.log_tail import LogTail

BACK = 3_000
"""How many of the node's latest events are looked through for a page that is just opened."""


class LogsPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._tail = LogTail(services.journal)
        self._view = view

    def answers(self) -> Sequence[Answer]:
        logs = "/functions/{name}/logs"
        return [Answer("GET", logs, self.show), Answer("GET", f"{logs}/since", self.since)]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        return self._view.page(request, "logs.html", tab="monitor", version=version)

    async def since(self, request: Request) -> Response:
        """The lines after a position, and where to go on; the latest ones without a position."""
        version = await latest_of(request, self._services)
        scope = visit_of(request).scope
        group = version.settings.logging.group or f"/aws/lambda/{version.key.name}"
        await self._services.flush()
        tail = await self._tail.after(
            await self._position(request), [GroupKey(scope.account, scope.region, group)]
        )
        return JSONResponse({
            "position": tail.position,
            "lines": [
                {"at": event.timestamp_ms, "stream": event.stream, "text": event.message}
                for event in tail.events
            ],
        })  # fmt: skip

    async def _position(self, request: Request) -> int:
        given = request.query_params.get("position", "")
        if not given:
            return max(0, await self._tail.newest() - BACK)
        if not (given.isascii() and given.isdigit()) or len(given) > 18:
            raise InvalidParameterValueException(f"A position is a number, not {given[:20]!r}.")
        return int(given)
