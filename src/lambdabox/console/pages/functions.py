"""The list of functions, with what they do and cost; and deleting one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.forms import read_form
from lambdabox.console.function import key_of, latest_of
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.sparkline import Sparkline, sparkline
from lambdabox.console.visit import is_fragment, visit_of
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.functions import Version
from lambdabox.repositories.functions import Place
from lambdabox.telemetry.activity import Activity, ActivityBoards

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Row:
    version: Version
    activity: Activity
    chart: Sparkline
    idle_seconds: float | None
    """Since the last invocation."""


class FunctionsPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view
        self._boards = ActivityBoards(services.journal, services.clock)

    def answers(self) -> Sequence[Answer]:
        return [
            Answer("GET", "/functions", self.show),
            Answer("GET", "/functions/{name}", self.open),
            Answer("GET", "/functions/{name}/state", self.state),
            Answer("POST", "/functions/{name}/delete", self.delete),
        ]

    async def show(self, request: Request) -> Response:
        scope = visit_of(request).scope
        search = request.query_params.get("search", "").strip()
        after = request.query_params.get("after", "")
        found = await self._services.repository.list_page(
            scope,
            after=Place(after, 0) if after else None,
            limit=PAGE_SIZE + 1,
            all_versions=False,
            containing=search,
        )
        context: dict[str, Any] = {
            "rows": await self._rows(request, found[:PAGE_SIZE]),
            "search": search,
            "after": after,
            "next": found[PAGE_SIZE - 1].key.name if len(found) > PAGE_SIZE else None,
        }
        if is_fragment(request):
            return self._view.fragment(request, "_functions.html", **context)
        return self._view.page(request, "functions.html", **context)

    async def _rows(self, request: Request, versions: Sequence[Version]) -> list[Row]:
        await self._services.flush()
        names = [version.key.name for version in versions]
        activities = await self._boards.look(visit_of(request).scope, names)
        now = self._services.clock.now()
        return [_row(version, activities[version.key.name], now) for version in versions]

    async def open(self, request: Request) -> Response:
        return redirect(request, f"/console/functions/{key_of(request).name}/code")

    async def state(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        return self._view.fragment(request, "_live_state.html", version=version)

    async def delete(self, request: Request) -> Response:
        key = key_of(request)
        if (await read_form(request)).text("confirm") != key.name:
            raise InvalidParameterValueException(
                f"Nothing was deleted: type the function's name, {key.name}, to confirm."
            )
        await self._services.api.call(
            "DeleteFunction", visit_of(request).scope, {"FunctionName": key.name}
        )
        return redirect(request, "/console/functions", message=f"{key.name} is deleted.")


def _row(version: Version, activity: Activity, now: float) -> Row:
    last = activity.last_started
    return Row(
        version,
        activity,
        sparkline(activity.invocations, activity.errors),
        max(0.0, now - last) if last is not None else None,
    )
