"""The costs of many functions: the dearest first, the others when they are asked for."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response
from support.clock import ManualClock
from support.records import SCOPE

from lambdabox.console.pages.costs import SHOWN, CostsPage
from lambdabox.console.visit import KEY
from lambdabox.domain.arn import Scope
from lambdabox.telemetry.costs import FunctionCosts, Overview, bill
from lambdabox.telemetry.rates import Cost

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class ManyCosts:
    async def overview(self, scope: Scope, *, since: int, until: int, dearest: int) -> Overview:
        functions = [
            FunctionCosts(f"f{at}", cost=Cost(compute=Decimal(SHOWN + 3 - at)))
            for at in range(SHOWN + 3)
        ]
        return Overview(functions, {since: Decimal(0), since + 86_400: Decimal(7)})

    async def month(self, scope: Scope, *, since: int, until: int) -> object:
        return bill(0, {}, Decimal(0))


class KeptView:
    """Keeps what a page is made of."""

    def page(self, request: Request, template: str, **context: Any) -> Response:
        self.context = context
        return Response()


async def shown(query: bytes) -> dict[str, Any]:
    view = KeptView()
    services: Any = SimpleNamespace(costs=ManyCosts(), clock=ManualClock(1_795_000_000.0))
    scope = {"type": "http", "query_string": query, KEY: SimpleNamespace(scope=SCOPE)}
    await CostsPage(services, cast(Any, view)).show(Request(scope))
    return view.context


async def test_the_dearest_are_shown_and_the_others_as_one_sum() -> None:
    context = await shown(b"days=30")
    assert [one.function_name for one in context["functions"]] == [f"f{at}" for at in range(SHOWN)]
    assert (context["others"], context["others_total"]) == (3, Decimal(3 + 2 + 1))
    assert context["total"] == sum(range(1, SHOWN + 4))
    assert len(context["charts"]) == SHOWN
    assert [amount for _day, amount in context["by_day"]] == [Decimal(7)]


async def test_all_are_shown_to_who_asks() -> None:
    context = await shown(b"days=30&all=1")
    assert (len(context["functions"]), context["others"]) == (SHOWN + 3, 0)
