"""Spans of real invocations, as a collector gets them."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.functions import await_active, create
from support.node import running

CALLS_ON = """
import json, os, boto3

def handler(event, context):
    if event.get("next"):
        boto3.client("lambda").invoke(
            FunctionName=event["next"], InvocationType="Event", Payload="{}")
    return os.environ["_X_AMZN_TRACE_ID"]
"""
ROOT = "1-5759e988-bd862e3fe1be46a994272793"
WAIT_SECONDS = 30


class Collector:
    """An OTLP endpoint over HTTP that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.paths: set[str] = set()
        self._changed = threading.Condition()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def take(self, path: str, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.paths.add(path)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.spans += scope.spans
            self._changed.notify_all()

    def named(self, *names: str) -> dict[str, Any]:
        """Return one span of each name, once they are all there."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while not set(names) <= {span.name for span in self.spans}:
                assert self._changed.wait(deadline - time.monotonic()), "spans did not come"
            return {span.name: span for span in self.spans}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def test_what_a_function_causes_is_below_it_in_the_same_trace(
    tmp_path: Path, collector: Collector
) -> None:
    settings = {"traces_endpoint": collector.url, "isolation": "process"}
    with running(tmp_path / "node", settings=settings) as node:
        client = node.client("lambda")
        for name in ("first", "second"):
            create(client, name, CALLS_ON, Timeout=60)
            await_active(client, name)

        def send_trace(request: Any, **_: Any) -> None:
            request.headers["X-Amzn-Trace-Id"] = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"

        client.meta.events.register("before-send.lambda.Invoke", send_trace)
        response = client.invoke(FunctionName="first", Payload=json.dumps({"next": "second"}))
        seen = json.loads(response["Payload"].read())
        spans = collector.named("invoke first", "invoke second", "init", "run", "cold start")
        client.close()
    assert collector.paths == {"/v1/traces"}
    first, second = spans["invoke first"], spans["invoke second"]
    assert first.trace_id.hex() == second.trace_id.hex() == ROOT[2:].replace("-", "")
    assert first.parent_span_id.hex() == "53995c3f42cd8ad8"
    assert f"Parent={first.span_id.hex()}" in seen
    parents = {span.span_id: span.parent_span_id for span in collector.spans}
    assert second.parent_span_id in parents, "what the function called is below a span of ours"
    attributes = {each.key: each.value for each in first.attributes}
    assert attributes["faas.coldstart"].bool_value is True
    assert first.start_time_unix_nano < first.end_time_unix_nano
