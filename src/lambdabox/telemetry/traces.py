"""Invocations as OpenTelemetry spans, sent to where the operator collects them.

Only with the setting `traces_endpoint`. An invocation then carries the id of its span in the
trace header, so that whatever it causes, through a queue or a bucket too, is below it in the
same trace. Spans are made of the usage records that the journal writes anyway, and sent in
batches by a task of ours: a collector that is slow or away costs spans and nothing else.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from lambdabox.domain import xray
from lambdabox.domain.invocations import InitializationType, Invocation, new_span_id
from lambdabox.domain.metrics import Datum
from lambdabox.ports import Clock, LogLine, Usage
from lambdabox.repositories.journal import Derive

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORT_SECONDS = 1.0
STOP_SECONDS = 5.0
BEGUN = 20_000
"""Invocations under way whose spans are remembered; of more, the first are forgotten."""
WAITING = 10_000
BATCH = 500

Flush = Callable[[], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Begun:
    parent_id: str | None
    at: float


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span. Ids in hexadecimal digits, times in seconds since the epoch."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    end: float
    usage: Usage
    is_root: bool = False


MakeExporter = Callable[[str], "SpanExporter"]


class Tracer:
    """`begin` is called on the event loop, `record` from any thread."""

    def __init__(
        self, endpoint: str, clock: Clock, make_exporter: MakeExporter | None = None
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._make_exporter = make_exporter or _otlp_exporter
        self._exporter: SpanExporter | None = None
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self._waiting: deque[Usage] = deque(maxlen=WAITING)

    def begin(self, invocation: Invocation) -> Invocation:
        """Return the invocation with a span of its own in its trace header."""
        context = xray.parse(invocation.trace)
        if context is None:
            return invocation
        span_id = new_span_id()
        if len(self._begun) >= BEGUN:
            self._begun.popitem(last=False)
        self._begun[span_id] = _Begun(context.parent_id, self._clock.now())
        return replace(invocation, trace=xray.with_parent(invocation.trace, span_id))

    def record(self, usages: Sequence[Usage]) -> None:
        """Take what has ended. Never blocks or fails."""
        self._waiting.extend(usages)

    def listening(self, derive: Derive) -> Derive:
        """Return what does as `derive`, and tells this tracer of each batch of the journal."""

        def both(lines: Sequence[LogLine], usages: Sequence[Usage]) -> Sequence[Datum]:
            self.record(usages)
            return derive(lines, usages)

        return both

    async def serve(
        self, flush: Flush, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Send spans until cancelled, and then what is left.

        `flush` has the journal call `record` with all that has ended.
        """
        task_status.started()
        try:
            while True:
                await self._clock.sleep(EXPORT_SECONDS)
                await self._export()
        finally:
            with anyio.move_on_after(STOP_SECONDS, shield=True):
                await self._last_export(flush)

    async def _last_export(self, flush: Flush) -> None:
        try:
            await flush()
            await self._export()
        except Exception:
            # The journal tells of its own trouble, and a node that stops must stop.
            _log.exception("the last spans were not sent")

    async def _export(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), BATCH)
            usages = [self._waiting.popleft() for _ in range(count)]
            spans = [span for usage in usages for span in self._spans(usage)]
            if spans:
                try:
                    # A thread that waits for a collector is left alone when the node stops.
                    await anyio.to_thread.run_sync(self._send, spans, abandon_on_cancel=True)
                except Exception:
                    # The supervisor's loop: a collector that fails now may not fail next time.
                    _log.exception("sending spans to %s failed", self._endpoint)

    def _spans(self, usage: Usage) -> Iterator[SpanRecord]:
        context = xray.parse(usage.trace)
        if context is None or context.parent_id is None:
            return
        begun = self._begun.pop(context.parent_id, None)
        if begun is not None:
            yield from spans_of(
                usage, context.trace_id, context.parent_id, begun.parent_id, begun.at
            )

    def _send(self, spans: Sequence[SpanRecord]) -> None:
        if self._exporter is None:
            self._exporter = self._make_exporter(self._endpoint)
        self._exporter.export([_readable(span) for span in spans])


def spans_of(
    usage: Usage, trace_id: str, span_id: str, parent_id: str | None, begun_at: float
) -> Iterator[SpanRecord]:
    """Yield the invocation's span and those of its parts: queue, cold start, init, run."""
    end = usage.started_at + usage.duration_ms / 1000
    queue_ms = usage.queue_ms or 0.0
    first = min(begun_at, usage.started_at - queue_ms / 1000)

    def part(name: str, start: float, until: float) -> SpanRecord:
        # An environment's init, say, may have begun for another invocation, before this one.
        start = max(start, first)
        return SpanRecord(name, trace_id, new_span_id(), span_id, start, until, usage)

    name = f"invoke {usage.function_name}"
    yield SpanRecord(name, trace_id, span_id, parent_id, first, end, usage, is_root=True)
    if queue_ms:
        yield part("queue", first, min(begun_at, usage.started_at))
    start_ms = usage.init_ms if usage.restore_ms is None else usage.restore_ms
    if start_ms is not None:
        yield part("cold start", begun_at, usage.started_at)
        what = "init" if usage.restore_ms is None else "restore"
        yield part(what, usage.started_at - start_ms / 1000, usage.started_at)
    yield part("run", usage.started_at, end)


def _otlp_exporter(endpoint: str) -> "SpanExporter":
    # Imported with the first span: it takes half a second, and most nodes trace nothing.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, timeout=10)


def _readable(span: SpanRecord) -> "ReadableSpan":
    # Imported here for the same reason.
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(span_id: str) -> SpanContext:
        return SpanContext(
            int(span.trace_id, 16),
            int(span_id, 16),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )

    usage = span.usage
    is_error = usage.status != "success" and (span.is_root or span.name == "run")
    code = StatusCode.ERROR if is_error else StatusCode.OK
    return ReadableSpan(
        name=span.name,
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id is not None else None,
        resource=Resource({"service.name": usage.function_name, "cloud.provider": "aws"}),
        attributes=_attributes(usage) if span.is_root else {},
        kind=SpanKind.SERVER if span.is_root else SpanKind.INTERNAL,
        status=Status(code, (usage.error_type or usage.status) if is_error else None),
        start_time=int(span.start * 1e9),
        end_time=int(max(span.end, span.start) * 1e9),
    )


def _attributes(usage: Usage) -> dict[str, Any]:
    """By OpenTelemetry's conventions for functions as a service."""
    is_cold = usage.init_ms is not None or usage.restore_ms is not None
    attributes: dict[str, Any] = {
        "faas.name": usage.function_name,
        "faas.version": usage.version,
        "faas.invocation_id": usage.request_id,
        "faas.coldstart": is_cold and usage.initialization != InitializationType.PROVISIONED,
        "faas.max_memory": usage.memory_mib * 1024 * 1024,
        "cloud.account.id": usage.account,
        "cloud.region": usage.region,
        "lambdabox.initialization_type": str(usage.initialization),
        "lambdabox.memory_used_mib": usage.max_memory_mib,
        "lambdabox.billed_ms": usage.billed_ms,
    }
    if usage.qualifier:
        attributes["lambdabox.qualifier"] = usage.qualifier
    if usage.error_type is not None:
        attributes["error.type"] = usage.error_type
    return attributes
