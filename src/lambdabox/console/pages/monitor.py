"""The Monitor tab: what a function did over time, and its latest invocations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lambdabox.console.function import key_of, latest_of
from lambdabox.console.rendering import View
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.visit import is_fragment, visit_of
from lambdabox.domain.metrics import DAY, HOUR, MINUTE
from lambdabox.repositories.usage_records import RecordQuery, UsageRecord
from lambdabox.telemetry.figures import Figures, Period

LATEST_SHOWN = 25


@dataclass(frozen=True, slots=True)
class Range:
    """A choice of how far back the charts go, in steps of so many seconds."""

    title: str
    seconds: int
    step: int


RANGES: Mapping[str, Range] = {
    "1h": Range("1 hour", HOUR, MINUTE),
    "6h": Range("6 hours", 6 * HOUR, 5 * MINUTE),
    "1d": Range("1 day", DAY, 15 * MINUTE),
    "1w": Range("1 week", 7 * DAY, 2 * HOUR),
    "30d": Range("30 days", 30 * DAY, 12 * HOUR),
}
DEFAULT_RANGE = "1h"

CHARTS: Sequence[tuple[str, str, str, Sequence[tuple[str, str]]]] = (
    ("activity", "Invocations", "", (
        ("invocations", "invocations"), ("errors", "errors"), ("throttles", "throttles"))),
    ("duration", "Duration", "ms", (("p50_ms", "p50"), ("p95_ms", "p95"), ("p99_ms", "p99"))),
    ("cold", "Cold starts", "", (("cold_starts", "cold starts"),)),
    ("concurrency", "Concurrency, at most", "", (("concurrency", "at once"),)),
    ("memory", "Memory, at most", "MB", (
        ("memory_used_mib", "used"), ("memory_mib", "configured"))),
    ("cost", "Cost on AWS", "USD", (("cost_usd", "cost"),)),
)  # fmt: skip
"""Each chart: id, title, unit, and its lines as fields of Figures with their names."""


class MonitorPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        monitor = "/functions/{name}/monitor"
        return [
            Answer("GET", monitor, self.show),
            Answer("GET", f"{monitor}/figures", self.figures),
            Answer("GET", f"{monitor}/latest", self.latest),
        ]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        chosen = _range_of(request)
        return self._view.page(
            request,
            "monitor.html",
            tab="monitor",
            version=version,
            ranges=RANGES,
            chosen=chosen,
            charts=CHARTS,
            total=await self._total(request, RANGES[chosen]),
            only=request.query_params.get("only", ""),
            records=await self._records(request),
            now_ms=self._services.clock.now() * 1000,
        )

    async def figures(self, request: Request) -> Response:
        """The charts' data: a list of times, and one of values for each line."""
        await latest_of(request, self._services)
        span = RANGES[_range_of(request)]
        steps = await self._services.usage.over_time(
            visit_of(request).scope, self._period(span), function_name=key_of(request).name
        )
        fields = {field for _id, _title, _unit, lines in CHARTS for field, _name in lines}
        return JSONResponse({
            "times": [step.start for step in steps],
            "lines": {field: [_value(step, field) for step in steps] for field in sorted(fields)},
        })  # fmt: skip

    async def latest(self, request: Request) -> Response:
        """The latest invocations, and the sums above the charts: what is asked for as time goes."""
        version = await latest_of(request, self._services)
        context: dict[str, Any] = {
            "version": version,
            "chosen": _range_of(request),
            "only": request.query_params.get("only", ""),
            "total": await self._total(request, RANGES[_range_of(request)]),
            "records": await self._records(request),
            "now_ms": self._services.clock.now() * 1000,
        }
        if not is_fragment(request):
            return await self.show(request)
        return self._view.fragment(request, "_latest.html", **context)

    async def _total(self, request: Request, span: Range) -> Figures:
        return await self._services.usage.total(
            visit_of(request).scope, self._period(span), function_name=key_of(request).name
        )

    async def _records(self, request: Request) -> Sequence[UsageRecord]:
        only = request.query_params.get("only", "")
        query = RecordQuery(
            visit_of(request).scope,
            key_of(request).name,
            failed_only=only == "failed",
            cold_only=only == "cold",
        )
        return await self._services.usage.recent(query, limit=LATEST_SHOWN)

    def _period(self, span: Range) -> Period:
        until = int(self._services.clock.now()) + 1
        return Period(until - span.seconds, until, span.step)


def _range_of(request: Request) -> str:
    chosen = request.query_params.get("range", DEFAULT_RANGE)
    return chosen if chosen in RANGES else DEFAULT_RANGE


_MEASURED_WHEN_RUN = frozenset({"p50_ms", "p95_ms", "p99_ms", "memory_used_mib", "memory_mib"})


def _value(step: Figures, field: str) -> float | int | None:
    """A step's value; None where nothing ran, so that a line is drawn through none."""
    if field in _MEASURED_WHEN_RUN and not step.invocations:
        return None
    value: float | int | Decimal = getattr(step, field)
    return float(value) if isinstance(value, Decimal) else value
