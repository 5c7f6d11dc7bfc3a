"""One invocation: each attempt with its event and response, its timeline and its log.

Payloads are kept in memory alone, and not for long: where there are none, the page says why.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.function import latest_of
from lambdabox.console.payload_text import is_whole, shown
from lambdabox.console.rendering import View
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.stack_trace import Failure, Frame, own_files, read_failure, read_lines
from lambdabox.console.visit import visit_of
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.repositories.usage_records import Attempt
from lambdabox.telemetry.payloads import MEGABYTE, Payloads


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


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of an attempt beside its figures."""

    kept: Payloads | None
    event: str
    response: str
    failure: Failure | None
    log: Sequence[Frame]
    can_be_repeated: bool
    """Whether the event is there to test the function with."""


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
        is_linked = any(attempt.record.status != "success" for attempt in attempts)
        files = await own_files(self._services.blobs, version.code) if is_linked else frozenset()
        payloads = self._services.payloads
        return self._view.page(
            request,
            "invocation.html",
            tab="monitor",
            version=version,
            request_id=request_id,
            lines=timeline(attempts),
            told=[self._told(version.key, attempt, files) for attempt in attempts],
            payloads=payloads,
            megabytes=payloads.limit_bytes // MEGABYTE,
        )

    def _told(self, key: FunctionKey, attempt: Attempt, files: Collection[str]) -> Told:
        record = attempt.record
        kept = self._services.payloads.find(key, record.request_id, record.started_ms)
        has_failed = record.status != "success"
        log = [frame for entry in attempt.lines for frame in read_lines(entry.message, files)]
        if kept is None:
            return Told(None, "", "", None, log, can_be_repeated=False)
        return Told(
            kept,
            shown(kept.event),
            shown(kept.response),
            read_failure(kept.response, files) if has_failed else None,
            log,
            can_be_repeated=is_whole(kept),
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
