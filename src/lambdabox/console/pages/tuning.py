"""The Tuning tab: run a function at several memory sizes, and give it the best one.

The work is done by `console/tunings`, with or without the page: it asks how far that is, and
shows what is known by then.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.forms import Form, number, read_form
from lambdabox.console.function import key_of, latest_of
from lambdabox.console.function_calls import calls_of
from lambdabox.console.payload_text import checked_event
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.sample_events import HELLO
from lambdabox.console.services import ConsoleServices
from lambdabox.console.tunings import Tuning
from lambdabox.domain import limits
from lambdabox.domain.errors import InvalidParameterValueException, RequestTooLargeException
from lambdabox.domain.functions import Version
from lambdabox.domain.saved_events import SavedEvents
from lambdabox.domain.tuning import MAX_INVOCATIONS, SIZES, Goal, Plan, parse_sizes
from lambdabox.event_templates import catalog

OFFERED = (*SIZES[:-1], 1536, SIZES[-1], 2048, 3008)

GOALS = {
    Goal.BALANCED: "Balanced: duration and cost count alike",
    Goal.COST: "The cheapest",
    Goal.SPEED: "The fastest",
}


class TuningPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        tab = "/functions/{name}/tuning"
        return [
            Answer("GET", tab, self.show),
            Answer("GET", f"{tab}/progress", self.progress),
            Answer("POST", f"{tab}/start", self.start),
            Answer("POST", f"{tab}/cancel", self.cancel),
            Answer("POST", f"{tab}/apply", self.apply),
        ]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        saved = await self._services.saved_events.get(version.key) or SavedEvents()
        tuning = self._services.tunings.find(version.key)
        first = next(iter(saved.events), None)
        plan = tuning.tally.plan if tuning else Plan(SIZES)
        offered = sorted({*OFFERED, version.settings.memory_mib})
        return self._view.page(
            request,
            "tuning.html",
            tab="tuning",
            **self._progress(version, tuning),
            plan=plan,
            offered=offered,
            more=",".join(str(size) for size in plan.sizes if size not in offered),
            goals=GOALS,
            max_invocations=MAX_INVOCATIONS,
            templates=catalog.TITLES,
            saved_texts={event.name: event.text for event in saved.events},
            text=tuning.event if tuning else first.text if first else HELLO,
        )

    async def progress(self, request: Request) -> Response:
        """What is known by now: a part of the page, which asks for the next while it goes on."""
        version = await latest_of(request, self._services)
        tuning = self._services.tunings.find(version.key)
        return self._view.fragment(request, "_tuning.html", **self._progress(version, tuning))

    async def start(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        form = await read_form(request)
        plan, event = _plan(form), checked_event(form.get("event", ""))
        if len(event.encode()) > limits.PAYLOAD_BYTES:
            raise RequestTooLargeException(
                f"The event is larger than {limits.PAYLOAD_BYTES} bytes."
            )
        self._services.tunings.start(version.key, version.settings, plan, event)
        return redirect(request, _url(request))

    async def cancel(self, request: Request) -> Response:
        is_cancelled = self._services.tunings.cancel(key_of(request))
        message = "The tuning is cancelled." if is_cancelled else "The tuning had ended already."
        return redirect(request, _url(request), kind="note", message=message)

    async def apply(self, request: Request) -> Response:
        memory = number(await read_form(request), "memory", "The memory")
        calls = calls_of(request, self._services.api)
        await calls.call("UpdateFunctionConfiguration", {"MemorySize": memory})
        message = f"{calls.key.name} has {memory} MB now."
        return redirect(request, _url(request), message=message)

    def _progress(self, version: Version, tuning: Tuning | None) -> dict[str, Any]:
        best = tuning.tally.best if tuning else None
        measured = sorted(tuning.tally.measured, key=lambda one: one.memory_mib) if tuning else []
        return {
            "version": version,
            "tuning": tuning,
            "measured": measured,
            "failed": tuning.tally.failed if tuning else [],
            "best": best,
            "points": {
                "memory": [one.memory_mib for one in measured],
                "duration": [one.duration_ms for one in measured],
                "cost": [one.cost for one in measured],
                "best": best.memory_mib if best else None,
            },
        }


def _plan(form: Form) -> Plan:
    """Raises InvalidParameterValueException for what cannot be run."""
    try:
        sizes = parse_sizes(",".join([*form.all("size"), form.text("more")]))
    except ValueError as exc:
        raise InvalidParameterValueException(f"Memory sizes: {exc}.") from None
    invocations = number(form, "invocations", "The number of invocations")
    if not 1 <= invocations <= MAX_INVOCATIONS:
        raise InvalidParameterValueException(
            f"A size is tried with 1 to {MAX_INVOCATIONS} invocations, not {invocations}."
        )
    goal = form.text("goal")
    if goal not in list(Goal):
        raise InvalidParameterValueException(f"What is best is one of {', '.join(Goal)}.")
    return Plan(sizes, invocations, Goal(goal))


def _url(request: Request) -> str:
    return f"/console/functions/{key_of(request).name}/tuning"
