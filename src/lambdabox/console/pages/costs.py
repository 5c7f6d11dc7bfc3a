"""What the functions would cost on AWS: by function and day, and what of it is waste."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.rendering import View
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.sparkline import Sparkline, sparkline
from lambdabox.console.visit import visit_of
from lambdabox.domain.metrics import DAY
from lambdabox.telemetry.costs import FunctionCosts

DAYS = {"7": 7, "30": 30, "90": 90}
SHOWN = 25
"""Of the functions, the dearest: the others when they are asked for."""
ALL = 1_000_000


class CostsPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        return [Answer("GET", "/costs", self.show)]

    async def show(self, request: Request) -> Response:
        chosen = request.query_params.get("days", "30")
        days = DAYS.get(chosen, 30)
        now = int(self._services.clock.now())
        since, scope = (now // DAY - days + 1) * DAY, visit_of(request).scope
        dearest = ALL if request.query_params.get("all") else SHOWN
        found = await self._services.costs.overview(
            scope, since=since, until=now + 1, dearest=dearest
        )
        functions = found.functions
        shown, others = functions[:dearest], functions[dearest:]
        return self._view.page(
            request,
            "costs.html",
            choices=DAYS,
            days=days,
            functions=shown,
            others=len(others),
            others_total=sum((one.cost.total for one in others), Decimal(0)),
            charts={one.function_name: _chart(one, since, days) for one in shown},
            total=sum((one.cost.total for one in functions), Decimal(0)),
            waste=sum((one.waste.total for one in functions), Decimal(0)),
            by_day=_by_day(found.by_day),
            month=await self._services.costs.month(scope, since=_month_start(now), until=now + 1),
        )


def _chart(function: FunctionCosts, since: int, days: int) -> Sparkline:
    # A sparkline has whole numbers: nano-dollars are as good as any.
    amounts = [
        int(function.days[day].total * 1_000_000_000) if day in function.days else 0
        for day in range(since, since + days * DAY, DAY)
    ]
    return sparkline(amounts, [0] * len(amounts))


def _by_day(amounts: Mapping[int, Decimal]) -> list[tuple[str, Decimal]]:
    """Each day's sum, the latest first; days without any are left out."""
    return [
        (f"{datetime.fromtimestamp(day, UTC):%Y-%m-%d}", amounts[day])
        for day in sorted(amounts, reverse=True)
        if amounts[day]
    ]


def _month_start(now: int) -> int:
    moment = datetime.fromtimestamp(now, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())
