"""Pages of figures under `/_lambdabox/`: bills, costs, what is going on, and Prometheus' page.

They are of the caller's account and region, as everything else is; Prometheus' page is of the
whole node.
"""

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

from lambdabox.api.request import Request
from lambdabox.api.serialize import WireResponse
from lambdabox.domain.arn import Scope
from lambdabox.domain.metrics import DAY, MINUTE
from lambdabox.gateway.pages import json_page
from lambdabox.ports import Clock, Database
from lambdabox.telemetry.billing import summary
from lambdabox.telemetry.costs import Costs, FunctionCosts
from lambdabox.telemetry.figures import Figures, Period
from lambdabox.telemetry.prometheus import CONTENT_TYPE, LookAtNode, PrometheusPage
from lambdabox.telemetry.rates import Cost
from lambdabox.telemetry.usage_queries import Flush, UsageQueries

MAX_DAYS = 3_650
MAX_MINUTES = 1_440


class BadQuery(Exception):
    """The query cannot be used. The message says why."""


class FigurePages:
    def __init__(
        self, journal: Database, flush: Flush, clock: Clock, look_at_node: LookAtNode
    ) -> None:
        self._journal = journal
        self._flush = flush
        self._clock = clock
        self._look_at_node = look_at_node
        self._queries = UsageQueries(journal, flush, clock)
        self._costs = Costs(journal, flush)
        self._prometheus = PrometheusPage(journal, flush, clock, look_at_node)

    async def answer(self, request: Request, path: str) -> WireResponse:
        """Return the page at `path`, which is one of `platform.FIGURES`."""
        try:
            match path.removeprefix("/_lambdabox"):
                case "/usage":
                    return json_page(200, await self._usage(request))
                case "/costs":
                    return json_page(200, await self._costs_page(request))
                case "/top":
                    return json_page(200, await self._top(request))
                case _:
                    headers = [(b"content-type", CONTENT_TYPE.encode())]
                    return WireResponse(200, headers, await self._prometheus.text())
        except BadQuery as exc:
            return json_page(400, {"message": str(exc)})

    async def _usage(self, request: Request) -> dict[str, Any]:
        """The bill by function of the last `days`, 30 by default."""
        days = _number(request, "days", default=30, most=MAX_DAYS)
        await self._flush()
        now = self._clock.now()
        bills = await summary(self._journal, request.scope, now - days * DAY, now + DAY)
        rows = [
            {
                "FunctionName": bill.function_name,
                "Invocations": bill.invocations,
                "Errors": bill.errors,
                "BilledMilliseconds": bill.billed_ms,
                "GBSeconds": float(bill.gb_seconds),
                "Cost": float(bill.cost_usd),
            }
            for bill in bills
        ]
        return {"Currency": "USD", "Days": days, "Functions": rows}

    async def _costs_page(self, request: Request) -> dict[str, Any]:
        """Costs by function and day, and what of them was for nothing."""
        days = _number(request, "days", default=30, most=MAX_DAYS)
        now = int(self._clock.now())
        since = now // DAY * DAY - (days - 1) * DAY
        functions = await self._costs.by_function(request.scope, since=since, until=now + 1)
        month = await self._costs.month(request.scope, since=since, until=now + 1)
        return {
            "Currency": "USD",
            "Days": days,
            "Since": since,
            "Functions": [_function_costs(function) for function in functions],
            "Total": _dollars(sum((each.cost.total for each in functions), Decimal(0))),
            "Waste": _dollars(sum((each.waste.total for each in functions), Decimal(0))),
            "AsOneMonth": {
                "BeforeFreeTier": _dollars(month.before_free_tier),
                "FreeTier": _dollars(month.free_tier),
                "Total": _dollars(month.total),
            },
        }

    async def _top(self, request: Request) -> dict[str, Any]:
        """What each function did in the last `minutes`, 5 by default, and does now."""
        minutes = _number(request, "minutes", default=5, most=MAX_MINUTES)
        now = int(self._clock.now())
        since = now // MINUTE * MINUTE - (minutes - 1) * MINUTE
        period = Period(since, now + 1, MINUTE)
        functions = await self._queries.by_function(request.scope, period)
        node = await self._look_at_node()
        running = {
            each.key.name: each.running
            for each in node.functions
            if Scope(each.key.account, each.key.region) == request.scope
        }
        rows = [
            {
                "FunctionName": name,
                "Running": running.get(name, 0),
                **_figures(functions[name].total if name in functions else Figures(since)),
            }
            for name in sorted(functions.keys() | running.keys())
        ]
        return {
            "Seconds": max(now - since, 1),
            "Environments": dict(node.environments),
            "QueuedEvents": node.queued_events,
            "Functions": rows,
        }


def _number(request: Request, name: str, *, default: int, most: int) -> int:
    query = parse_qs(request.query_string.decode("latin-1"))
    text = query.get(name, [str(default)])[0]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise BadQuery(f"{name} is a number from 1 to {most}, not {text[:20]!r}.")
    return int(text)


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "Invocations": figures.invocations,
        "Errors": figures.errors,
        "Timeouts": figures.timeouts,
        "Throttles": figures.throttles,
        "ColdStarts": figures.cold_starts,
        "DurationAverage": round(figures.duration_average_ms, 3),
        "DurationP50": round(figures.p50_ms, 3),
        "DurationP95": round(figures.p95_ms, 3),
        "DurationP99": round(figures.p99_ms, 3),
        "DurationMaximum": round(figures.duration_max_ms, 3),
        "MemorySize": figures.memory_mib,
        "MemoryUsed": figures.memory_used_mib,
        "Cost": _dollars(figures.cost_usd),
    }


def _function_costs(function: FunctionCosts) -> dict[str, Any]:
    return {
        "FunctionName": function.function_name,
        "Invocations": function.invocations,
        "GBSeconds": float(function.gb_seconds),
        "MemorySize": function.memory_mib,
        "MemoryUsed": function.memory_used_mib,
        "Cost": _cost(function.cost),
        "ComputeOnOtherArchitecture": _dollars(function.other_architecture),
        "Waste": {
            "Memory": _dollars(function.waste.memory),
            "Provisioned": _dollars(function.waste.provisioned),
            "Total": _dollars(function.waste.total),
        },
        "Days": [
            {"Day": day, "Cost": _dollars(cost.total)}
            for day, cost in sorted(function.days.items())
        ],
    }


def _cost(cost: Cost) -> dict[str, float]:
    return {
        "Requests": _dollars(cost.requests),
        "Compute": _dollars(cost.compute),
        "Storage": _dollars(cost.storage),
        "Restores": _dollars(cost.restores),
        "Provisioned": _dollars(cost.provisioned),
        "Total": _dollars(cost.total),
    }


def _dollars(amount: Decimal) -> float:
    return float(round(amount, 10))
