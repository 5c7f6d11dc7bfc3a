"""Spans of invocations, from usage records, with the ids that the trace header carries."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from support.clock import ManualClock
from support.usage_rows import NOON, ONE

from lambdabox.domain.invocations import Invocation
from lambdabox.domain.xray import TraceContext, parse, with_parent
from lambdabox.ports import Usage
from lambdabox.telemetry import traces
from lambdabox.telemetry.traces import EXPORT_SECONDS, Tracer, spans_of

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
TRACE_ID = "5759e988bd862e3fe1be46a994272793"
PARENT = "53995c3f42cd8ad8"
HEADER = f"Root={ROOT};Parent={PARENT};Sampled=0;Lineage=a87bd80c:0"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER, TraceContext(TRACE_ID, PARENT)),
        (f"Root={ROOT}", TraceContext(TRACE_ID, None)),
        (f"Sampled=1;Parent={PARENT};Root={ROOT}", TraceContext(TRACE_ID, PARENT)),
        ("", None),
        ("Root=1-2", None),
        ("Root=1-00000000-000000000000000000000000", None),
        (f"Root={ROOT};Parent=0000000000000000", None),
        (f"Root={ROOT.upper()}", None),
    ],
)
def test_the_ids_of_a_header(header: str, expected: TraceContext | None) -> None:
    assert parse(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER, f"Root={ROOT};Parent={'a' * 16};Sampled=1;Lineage=a87bd80c:0"),
        (f"Root={ROOT}", f"Root={ROOT};Parent={'a' * 16};Sampled=1"),
        (f"Root={ROOT};Lineage=x:1", f"Root={ROOT};Parent={'a' * 16};Lineage=x:1;Sampled=1"),
    ],
)
def test_what_happens_within_a_span_carries_its_id(header: str, expected: str) -> None:
    assert with_parent(header, "a" * 16) == expected


class KeptSpans:
    """A collector."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.failures = 0

    def export(self, spans: Sequence[Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("no route to host")
        self.spans += spans

    @property
    def by_name(self) -> dict[str, Any]:
        return {span.name: span for span in self.spans}


class Tracing:
    def __init__(self) -> None:
        self.clock = ManualClock(float(NOON))
        self.collector = KeptSpans()
        self.unwritten: list[Usage] = []
        self.tracer = Tracer("http://collector", self.clock, self._collector_at)

    def _collector_at(self, _endpoint: str) -> Any:
        return self.collector

    async def flush(self) -> None:
        self.tracer.record(self.unwritten)
        self.unwritten = []

    def invoke(self, header: str = HEADER) -> str:
        """Return the header that the function is given."""
        return self.tracer.begin(Invocation("r", "arn", b"{}", trace=header)).trace

    async def stop(self) -> None:
        """Serve, and stop: what is left is sent."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.tracer.serve, self.flush)
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_cold_event_from_the_queue_has_every_part() -> None:
    tracing = Tracing()
    header = tracing.invoke()
    tracing.clock.advance(2.0)  # until an environment was ready
    tracing.tracer.record([
        ONE._replace(
            trace=header, started_at=NOON + 2.0, init_ms=1_500.0, queue_ms=12_000.0,
            status="error", error_type="ValueError", qualifier="live",
        )
    ])  # fmt: skip
    await tracing.stop()
    spans = tracing.collector.by_name
    expected = {
        "invoke hello": (-10.0, 2.1), "queue": (-10.0, 0.0), "cold start": (0.0, 2.0),
        "init": (0.5, 2.0), "run": (2.0, 2.1),
    }  # fmt: skip
    assert spans.keys() == expected.keys()
    for name, span in spans.items():
        times = (span.start_time / 1e9 - NOON, span.end_time / 1e9 - NOON)
        assert times == pytest.approx(expected[name], abs=1e-5), name
    root = spans.pop("invoke hello")
    own = parse(header)
    assert own is not None
    assert f"{root.context.span_id:016x}" == own.parent_id
    assert f"{root.context.trace_id:032x}" == TRACE_ID
    assert f"{root.parent.span_id:016x}" == PARENT
    assert {span.parent.span_id for span in spans.values()} == {root.context.span_id}
    assert root.attributes["faas.coldstart"] is True
    assert root.attributes["error.type"] == "ValueError"
    assert root.resource.attributes["service.name"] == "hello"
    assert not root.status.is_ok
    assert not spans["run"].status.is_ok
    assert spans["init"].status.is_ok


def test_a_warm_invocation_has_no_other_part_than_its_run() -> None:
    names = [span.name for span in spans_of(ONE, TRACE_ID, "a" * 16, None, NOON - 0.001)]
    assert names == ["invoke hello", "run"]


def test_a_restore_is_a_cold_start() -> None:
    usage = ONE._replace(restore_ms=20.0)
    names = [span.name for span in spans_of(usage, TRACE_ID, "a" * 16, None, NOON - 0.1)]
    assert names == ["invoke hello", "cold start", "restore", "run"]


@pytest.mark.anyio
async def test_what_ended_last_is_sent_when_the_node_stops() -> None:
    tracing = Tracing()
    tracing.unwritten = [ONE._replace(trace=tracing.invoke())]
    await tracing.stop()
    assert len(tracing.collector.spans) == 2


@pytest.mark.anyio
async def test_a_batch_that_the_journal_repeats_is_one_span() -> None:
    tracing = Tracing()
    usage = ONE._replace(trace=tracing.invoke())
    tracing.tracer.record([usage])
    tracing.tracer.record([usage])
    await tracing.stop()
    assert [span.name for span in tracing.collector.spans] == ["invoke hello", "run"]


@pytest.mark.anyio
async def test_a_collector_that_is_away_costs_its_spans_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracing = Tracing()
    tracing.collector.failures = 1
    tracing.tracer.record([ONE._replace(trace=tracing.invoke())])
    async with anyio.create_task_group() as tasks:
        await tasks.start(tracing.tracer.serve, tracing.flush)
        await tracing.clock.sleeper()
        tracing.clock.advance(EXPORT_SECONDS)
        await tracing.clock.sleeper()  # so it goes on
        tracing.tracer.record([ONE._replace(trace=tracing.invoke())])
        tasks.cancel_scope.cancel()
    assert "sending spans to http://collector failed" in caplog.text
    assert len(tracing.collector.spans) == 2


@pytest.mark.anyio
async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "BEGUN", 2)
    tracing = Tracing()
    headers = [tracing.invoke() for _ in range(5)]
    tracing.tracer.record([ONE._replace(trace=header) for header in headers])
    await tracing.stop()
    assert len(tracing.collector.spans) == 2 * 2


def test_a_header_that_is_none_is_left_alone() -> None:
    assert Tracing().invoke("Root=1-2;Lineage=x:1") == "Root=1-2;Lineage=x:1"
