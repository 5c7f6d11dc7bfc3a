"""One invocation: each attempt with its timeline, what it used and what it logged."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.function import latest_of
from lambdabox.console.rendering import View
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.visit import visit_of
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.repositories.usage_records import Attempt


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an attempt's time, as percentages of all its attempts' time."""

    kind: str
    """waiting, start, run or failed: the part's look."""
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Line:
    attempt: Attempt
    spans: Sequence[Span]


class InvocationPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        return [Answer("GET", "/functions/{name}/invocations/{id}", self.show)]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        request_id: str = request.path_params["id"]
        found = await self._services.usage.invocation(visit_of(request).scope, request_id[:64])
        attempts = [one for one in found if one.record.function_name == version.key.name]
        if not attempts:
            raise ResourceNotFoundException(
                f"{version.key.name} has no finished invocation {request_id[:64]}. One that still "
                "runs or waits for its retry shows here when it has ended."
            )
        return self._view.page(
            request,
            "invocation.html",
            tab="monitor",
            version=version,
            request_id=request_id,
            lines=timeline(attempts),
        )


def timeline(attempts: Sequence[Attempt]) -> list[Line]:
    """Return the attempts with their parts, from the first one's arrival to the last end."""
    began = min(_arrived(attempt) for attempt in attempts)
    ended = max(_ended(attempt) for attempt in attempts)
    whole = max(ended - began, 0.001)

    def span(kind: str, start: float, length: float) -> Span:
        return Span(kind, round(100 * (start - began) / whole, 3), round(100 * length / whole, 3))

    lines = []
    for attempt in attempts:
        record = attempt.record
        before = _start_ms(attempt)
        run = "run" if record.status == "success" else "failed"
        spans = [span(run, float(record.started_ms), record.duration_ms)]
        if before:
            spans.insert(0, span("start", record.started_ms - before, before))
        if record.queue_ms:
            spans.insert(0, span("waiting", _arrived(attempt), record.queue_ms))
        lines.append(Line(attempt, spans))
    return lines


def _start_ms(attempt: Attempt) -> float:
    """What it waited for an environment to begin: a restore stands in an init's place."""
    record = attempt.record
    return (record.init_ms if record.restore_ms is None else record.restore_ms) or 0.0


def _arrived(attempt: Attempt) -> float:
    return attempt.record.started_ms - _start_ms(attempt) - (attempt.record.queue_ms or 0.0)


def _ended(attempt: Attempt) -> float:
    return attempt.record.started_ms + attempt.record.duration_ms
