"""Responses streamed from real functions, through an executor, to consumers of every kind."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.executor import Bench, KeptSink, bench
from support.processes import eventually, sandboxes_of
from support.programs import node_runtime

from lambdabox.domain.functions import Deployment

pytestmark = pytest.mark.anyio

NODE = """
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
async function* parts(count, size) {
  for (let i = 0; i < count; i += 1) yield Buffer.alloc(size, i);
}
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.http) stream = awslambda.HttpResponseStream.from(stream, { statusCode: 418 });
  if (event.first) stream.write(event.first);
  if (event.hang) await new Promise((r) => setTimeout(r, 1e6));
  if (event.exit) await new Promise((r) => setTimeout(() => process.exit(3), 50));
  if (event.fail) throw new Error(event.fail);
  if (event.parts) await pipeline(Readable.from(parts(event.parts, event.size)), stream);
  else stream.end(event.last);
});
"""

OWN_RUNTIME = """#!/usr/bin/env python3
import base64, http.client, json, os, sys, time
BASE = "/2018-06-01/runtime/invocation/"
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def chunk(data):
    connection.send(b"%x\\r\\n%b\\r\\n" % (len(data), data))

while True:
    connection.request("GET", BASE + "next")
    reply = connection.getresponse()
    event, id = json.load(reply), reply.headers["Lambda-Runtime-Aws-Request-Id"]
    if "plain" in event:
        connection.request("POST", BASE + id + "/response", event["plain"])
        connection.getresponse().read()
        continue
    connection.putrequest("POST", BASE + id + "/response")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", event.get("mode", "streaming"))
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "text/plain")
    connection.endheaders()
    for _ in range(event.get("parts", 0)):
        chunk(bytes(event["size"]))
    chunk(b"written")
    if event.get("exit"):
        os._exit(3)
    if event.get("hang"):
        time.sleep(1e6)
    if event.get("drop"):
        connection.close()
        time.sleep(1e6)
    trailers = b""
    if event.get("fail"):
        body = json.dumps({"errorType": "Late", "errorMessage": event["fail"]}).encode()
        trailers = (b"Lambda-Runtime-Function-Error-Type: Function.Late\\r\\n"
                    b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(body) + b"\\r\\n")
    connection.send(b"0\\r\\n" + trailers + b"\\r\\n")
    connection.getresponse().read()
"""


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as stand:
        yield stand
    assert eventually(lambda: not sandboxes_of(tmp_path / "data"), within=5)


async def node(stand: Bench, *, timeout: int = 20) -> Deployment:
    return await stand.deploy(
        {"index.js": NODE},
        runtime=node_runtime(),
        handler="index.handler",
        timeout_seconds=timeout,
    )


async def own_runtime(stand: Bench, *, timeout: int = 20) -> Deployment:
    return await stand.deploy(
        {"bootstrap": OWN_RUNTIME},
        executable=("bootstrap",),
        runtime="provided.al2023",
        timeout_seconds=timeout,
    )


@pytest.fixture(params=[node, own_runtime], ids=["node", "own runtime"])
async def function(request: pytest.FixtureRequest, stand: Bench) -> Deployment:
    deployment: Deployment = await request.param(stand)
    return deployment


@pytest.fixture(params=[node, own_runtime], ids=["node", "own runtime"])
async def impatient(request: pytest.FixtureRequest, stand: Bench) -> Deployment:
    deployment: Deployment = await request.param(stand, timeout=1)
    return deployment


async def nothing_left(data: Path) -> None:
    def is_clean() -> bool:
        return not sandboxes_of(data) and not list((data / "environments").iterdir())

    assert await anyio.to_thread.run_sync(lambda: eventually(is_clean, within=10))


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode()


async def test_a_response_goes_to_the_sink_and_its_size_to_the_log(
    stand: Bench, function: Deployment
) -> None:
    for number in range(3):
        sink = KeptSink()
        outcome = await stand.run(function, event(parts=40, size=50_000), sink)
        assert (outcome.payload, outcome.function_error) == (b"", None)
        assert len(sink.data.removesuffix(b"written")) == 2_000_000
        assert sink.content_type in ("application/octet-stream", "text/plain")
        await stand.journal.starting("REPORT", number + 1)


async def test_a_slow_consumer_slows_the_function_and_gets_everything(
    stand: Bench, function: Deployment
) -> None:
    sink = KeptSink(gate=anyio.Event())
    results = []

    async def run() -> None:
        results.append(await stand.run(function, event(parts=100, size=60_000), sink))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await sink.until(1)
        with anyio.move_on_after(0.3):
            await sink.until(6_000_000)
        assert len(sink.data) < 1_000_000
        assert not results
        assert sink.gate is not None
        sink.gate.set()
    assert len(sink.data.removesuffix(b"written")) == 6_000_000
    assert results[0].function_error is None


async def test_without_a_sink_a_stream_is_collected(stand: Bench, function: Deployment) -> None:
    outcome = await stand.run(function, event(parts=3, size=100_000))
    assert outcome.function_error is None
    assert len(outcome.payload.removesuffix(b"written")) == 300_000


async def test_without_a_sink_a_stream_has_the_limit_of_any_response(
    stand: Bench, function: Deployment
) -> None:
    outcome = await stand.run(function, event(parts=70, size=100_000))
    assert outcome.error_type == "Function.ResponseSizeTooLarge"
    outcome = await stand.run(function, event(parts=1, size=1))
    assert outcome.function_error is None


async def test_an_error_after_the_first_byte_is_in_the_outcome(
    stand: Bench, function: Deployment
) -> None:
    sink = KeptSink()
    outcome = await stand.run(function, event(first="written", fail="late"), sink)
    assert sink.data == b"written"
    assert outcome.function_error == "Unhandled"
    assert json.loads(outcome.payload)["errorMessage"] == "late"
    outcome = await stand.run(function, event(first="written", last=""), sink=KeptSink())
    assert outcome.function_error is None


async def test_a_process_that_ends_in_the_middle_truncates_the_response(
    stand: Bench, function: Deployment
) -> None:
    sink = KeptSink()
    outcome = await stand.run(function, event(first="written", exit=True), sink)
    assert sink.data == b"written"
    assert outcome.error_type == "Runtime.TruncatedResponse"
    assert "before it was complete" in json.loads(outcome.payload)["errorMessage"]
    [report] = await stand.journal.starting("REPORT")
    assert "Status: error\tError Type: Runtime.TruncatedResponse" in report
    outcome = await stand.run(function, event(first="written", last=""), KeptSink())
    assert outcome.function_error is None


async def test_the_deadline_ends_a_stream_that_does_not_end(
    stand: Bench, impatient: Deployment
) -> None:
    sink = KeptSink()
    outcome = await stand.run(impatient, event(first="written", hang=True), sink)
    assert sink.data == b"written"
    assert outcome.error_type == "Sandbox.Timedout"
    [report] = await stand.journal.starting("REPORT")
    assert "Duration: 1000.00 ms" in report
    assert "Status: timeout" in report


async def test_the_deadline_ends_a_consumer_that_does_not_read(
    stand: Bench, impatient: Deployment
) -> None:
    sink = KeptSink(gate=anyio.Event())
    outcome = await stand.run(impatient, event(parts=100, size=60_000), sink)
    assert outcome.error_type == "Sandbox.Timedout"
    assert len(sink.pieces) == 1
    outcome = await stand.run(impatient, event(first="written", last=""), KeptSink())
    assert outcome.function_error is None


async def test_a_consumer_that_leaves_does_not_end_the_function(
    stand: Bench, function: Deployment
) -> None:
    sink = KeptSink(leaves_after=1)
    outcome = await stand.run(function, event(parts=100, size=60_000), sink)
    assert len(sink.pieces) == 1
    assert outcome.function_error is None
    await stand.journal.starting("REPORT")
    outcome = await stand.run(function, event(first="written", last=""), KeptSink())
    assert outcome.function_error is None
    assert stand.executor.environment_count == 1


async def test_a_caller_that_is_cancelled_leaves_nothing_behind(
    stand: Bench, function: Deployment, tmp_path: Path
) -> None:
    sink = KeptSink(gate=anyio.Event())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stand.run, function, event(parts=100, size=60_000), sink)
        await sink.until(1)
        tasks.cancel_scope.cancel()
    await nothing_left(tmp_path / "data")
    assert stand.executor.environment_count == 0


async def test_a_sink_that_fails_fails_the_call_and_leaves_nothing_behind(
    stand: Bench, function: Deployment, tmp_path: Path
) -> None:
    class Broken(KeptSink):
        async def write(self, data: bytes) -> None:
            raise TimeoutError("the sink's own")

    with pytest.raises(TimeoutError, match="the sink's own"):
        await stand.run(function, event(parts=100, size=60_000), Broken())
    await nothing_left(tmp_path / "data")


async def test_http_metadata_passes_as_bytes(stand: Bench) -> None:
    function = await node(stand)
    sink = KeptSink()
    await stand.run(function, event(http=True, last="body"), sink)
    assert sink.content_type == "application/vnd.awslambda.http-integration-response"
    assert sink.data == b'{"statusCode":418}' + bytes(8) + b"body"
    outcome = await stand.run(function, event(http=True, last="body"))
    assert outcome.payload == sink.data


async def test_an_error_before_the_first_byte_reaches_no_sink(stand: Bench) -> None:
    function = await node(stand)
    sink = KeptSink()
    outcome = await stand.run(function, event(fail="early"), sink)
    assert sink.content_type is None
    assert json.loads(outcome.payload)["errorMessage"] == "early"


async def test_a_function_that_does_not_stream_answers_the_sink_too(stand: Bench) -> None:
    function = await stand.deploy({"app.py": "def handler(e, c):\n    return e\n"})
    sink = KeptSink()
    outcome = await stand.run(function, b'{"a": 1}', sink)
    assert (outcome.payload, outcome.function_error) == (b"", None)
    assert (sink.content_type, sink.data) == ("application/json", b'{"a": 1}')
    sink = KeptSink()
    plain = await own_runtime(stand)
    await stand.run(plain, event(plain="own"), sink)
    assert sink.data == b"own"


async def test_a_function_that_cannot_start_answers_no_sink(stand: Bench) -> None:
    function = await stand.deploy({"app.py": "raise ValueError('no')\n"})
    sink = KeptSink()
    outcome = await stand.run(function, b"{}", sink)
    assert outcome.function_error == "Unhandled"
    assert sink.content_type is None


async def test_a_runtime_that_drops_its_connection_is_replaced(stand: Bench) -> None:
    function = await own_runtime(stand)
    outcome = await stand.run(function, event(drop=True), KeptSink())
    assert outcome.error_type == "Runtime.TruncatedResponse"
    outcome = await stand.run(function, event(), KeptSink())
    assert outcome.function_error is None


async def test_a_response_mode_that_does_not_exist_fails_the_invocation(stand: Bench) -> None:
    function = await own_runtime(stand)
    outcome = await stand.run(function, event(mode="telepathy"), KeptSink())
    assert outcome.error_type == "Runtime.InvalidResponseModeHeader"
