"""The list of functions, with what they do and cost; and deleting one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
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
from lambdabox.domain.metrics import DAY, HOUR
from lambdabox.repositories.functions import Place
from lambdabox.telemetry.billing import summary
from lambdabox.telemetry.figures import Period

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Row:
    version: Version
    p95_ms: float | None
    """Of the last 24 hours; None if nothing ran."""
    chart: Sparkline
    idle_seconds: float | None
    """Since the last invocation."""
    month_usd: Decimal


class FunctionsPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

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
        scope, now = visit_of(request).scope, self._services.clock.now()
        usage = self._services.usage
        # From the beginning of the hour 23 hours ago, so that there are 24, with the current one.
        hours = Period(int(now) - 23 * HOUR, int(now) + 1, HOUR)
        names = [version.key.name for version in versions]
        active = await usage.activity(scope, hours, names)
        last = await usage.last_invocations(scope, names)
        bills = await summary(
            self._services.journal, scope, _month_start(now), now, width=DAY, function_names=names
        )
        month = {bill.function_name: bill.cost_usd for bill in bills}
        rows, nothing = [], sparkline([0] * len(hours.starts), [0] * len(hours.starts))
        for version in versions:
            name = version.key.name
            did = active.get(name)
            rows.append(
                Row(
                    version,
                    did.durations.percentile(95) if did is not None else None,
                    sparkline(did.invocations, did.errors) if did is not None else nothing,
                    max(0.0, now - last[name]) if name in last else None,
                    month.get(name, Decimal(0)),
                )
            )
        return rows

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


def _month_start(now: float) -> float:
    moment = datetime.fromtimestamp(now, UTC)
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
