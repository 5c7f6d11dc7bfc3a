"""Handlers that stream, on the Node.js that is installed."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bootstrap_harness import Frame, Start, node_starter

HTTP = "application/vnd.awslambda.http-integration-response"
BYTES = Frame("B", b"application/octet-stream")
END = Frame("F", b"")


@pytest.fixture
def node(tmp_path: Path) -> Start:
    return node_starter(tmp_path)


def streaming(body: str, *, options: str = "{}", head: str = "") -> str:
    return (
        "const { pipeline } = require('stream/promises'); const { Readable } = require('stream');"
        f"{head}\nexports.handler = awslambda.streamifyResponse("
        f"async (event, stream, context) => {{ {body} }}, {options});"
    )


def payload(frames: list[Frame]) -> bytes:
    return b"".join(frame.body for frame in frames if frame.kind == "C")


def frames_of(node: Start, source: str | Mapping[str, str | bytes], **options: Any) -> list[Frame]:
    with node(source, **options) as box:
        box.ready()
        return box.stream()


def test_what_is_written_comes_as_it_is_written(node: Start) -> None:
    source = streaming("stream.write('a'); stream.write(Buffer.from('b')); stream.end('c')")
    with node(source) as box:
        box.ready()
        for _ in range(2):
            frames = box.stream()
            assert (frames[0], frames[-1], payload(frames)) == (BYTES, END, b"abc")


def test_the_first_piece_comes_before_the_last_is_made(node: Start) -> None:
    source = streaming(
        "stream.write('early');"
        "await new Promise((r) => require('net').connect(event, '127.0.0.1').on('close', r));"
        "stream.end('late')"
    )
    with socket.create_server(("127.0.0.1", 0)) as gate, node(source) as box:
        gate.settimeout(20)
        box.ready()
        box.send(str(gate.getsockname()[1]).encode())
        assert (box.receive(), box.receive()) == (BYTES, Frame("C", b"early"))
        gate.accept()[0].close()
        assert (box.receive(), box.receive()) == (Frame("C", b"late"), END)


def test_a_pipeline_of_many_pieces_is_whole(node: Start) -> None:
    body = (
        "async function* parts() { for (let i = 0; i < 300; i += 1) yield Buffer.alloc(9999, i); }"
        "await pipeline(Readable.from(parts()), stream);"
    )
    frames = frames_of(node, streaming(body))
    assert payload(frames) == b"".join(bytes([i % 256]) * 9999 for i in range(300))
    assert frames[-1] == END


def test_the_content_type_is_the_functions(node: Start) -> None:
    frames = frames_of(node, streaming("stream.setContentType('text/plain'); stream.end('x')"))
    assert frames[0] == Frame("B", b"text/plain")


def test_a_content_type_after_the_first_byte_is_too_late(node: Start) -> None:
    body = "stream.write('x'); stream.setContentType('text/plain');"
    frames = frames_of(node, streaming(body))
    assert frames[-1].kind == "L"
    assert frames[-1].error["errorType"] == "InvalidStreamingOperation"
    assert frames[-1].error["errorMessage"] == "Cannot set content-type, too late."


@pytest.mark.parametrize("body", ["stream.write('body'); stream.end();", "stream.end('body');"])
def test_http_metadata_goes_ahead_of_the_body(node: Start, body: str) -> None:
    metadata = "{statusCode: 201, headers: {a: 'b'}, cookies: ['c=d']}"
    frames = frames_of(
        node, streaming(f"stream = awslambda.HttpResponseStream.from(stream, {metadata}); {body}")
    )
    assert frames[0] == Frame("B", HTTP.encode())
    prelude = b'{"statusCode":201,"headers":{"a":"b"},"cookies":["c=d"]}'
    assert payload(frames) == prelude + bytes(8) + b"body"


def test_http_metadata_is_sent_without_a_body_too(node: Start) -> None:
    body = "awslambda.HttpResponseStream.from(stream, {statusCode: 204}).end()"
    assert payload(frames_of(node, streaming(body))) == b'{"statusCode":204}' + bytes(8)


def test_an_empty_response_is_one(node: Start) -> None:
    assert frames_of(node, streaming("stream.end()")) == [BYTES, END]


def test_objects_are_written_as_json(node: Start) -> None:
    assert payload(frames_of(node, streaming("stream.write({a: 1}); stream.end([2])"))) == (
        b'{"a":1}[2]'
    )


def test_an_error_before_the_first_byte_is_a_plain_error(node: Start) -> None:
    with node(streaming("throw new TypeError('no')")) as box:
        box.ready()
        for _ in range(2):
            [error] = box.stream()
            assert error.kind == "E"
            assert error.error["errorType"] == "TypeError"
        assert "Invoke Error" in box.end()


def test_an_error_after_the_first_byte_follows_what_was_written(node: Start) -> None:
    body = "stream.write('x'.repeat(500000)); stream.write('y'); throw new Error('late')"
    frames = frames_of(node, streaming(body))
    assert payload(frames) == b"x" * 500_000 + b"y"
    assert [frame.kind for frame in frames if frame.kind != "C"] == ["B", "L"]
    assert frames[-1].error["errorMessage"] == "late"
    assert frames[-1].error_type == "Error"


def test_an_error_after_the_end_changes_nothing_for_the_caller(node: Start) -> None:
    body = "stream.end('x'); await new Promise((r) => stream.on('finish', r)); throw Error('late')"
    with node(streaming(body)) as box:
        box.ready()
        assert box.stream() == [BYTES, Frame("C", b"x"), END]
        assert payload(box.stream()) == b"x"
        assert "late" in box.end()


def test_a_source_that_breaks_fails_the_invocation(node: Start) -> None:
    body = (
        "async function* parts() { yield 'a'; throw new RangeError('dry'); }"
        "await pipeline(Readable.from(parts()), stream);"
    )
    with node(streaming(body)) as box:
        box.ready()
        for _ in range(2):
            error = box.stream()[-1]
            assert error.kind == "L"
            assert error.error["errorType"] == "RangeError"


def test_a_stream_that_is_thrown_away_fails_the_invocation(node: Start) -> None:
    [error] = frames_of(node, streaming("stream.destroy()"))
    assert error.error == {
        "errorType": "string",
        "errorMessage": "Response stream is not finished.",
        "trace": [],
    }


def test_writing_after_the_end_fails_the_invocation(node: Start) -> None:
    frames = frames_of(node, streaming("stream.end('a'); stream.write('b');"))
    assert frames[-1].error["errorMessage"] == "write after end"


def test_a_stream_that_nothing_will_end_fails_the_invocation(node: Start) -> None:
    with node(streaming("if (event.a) stream.write('a')")) as box:
        box.ready()
        [error] = box.stream(b"{}")
        assert (error.kind, error.error["errorType"]) == ("E", "Runtime.NodejsExit")
        error = box.stream(b'{"a":1}')[-1]
        assert (error.kind, error.error["errorType"]) == ("L", "Runtime.NodejsExit")


def test_a_handler_that_is_not_async_is_refused(node: Start) -> None:
    source = "exports.handler = awslambda.streamifyResponse((e, s, c) => { s.end('x'); })"
    [error] = [frame for frame in frames_of(node, source) if frame.kind in "EL"]
    assert error.error["errorMessage"] == "Streaming does not support non-async handlers."


def test_a_returned_value_is_ignored_and_said_to_be(node: Start) -> None:
    with node(streaming("stream.end('x'); return 1;")) as box:
        box.ready()
        assert payload(box.stream()) == b"x"
        assert "WARN\tStreaming handlers ignore return values." in box.end()


@pytest.mark.parametrize(("before", "kind"), [("", "E"), ("stream.write('x');", "L")])
def test_an_uncaught_exception_is_told_before_the_process_ends(
    node: Start, before: str, kind: str
) -> None:
    body = (
        f"{before} setImmediate(() => {{ throw new Error('loose') }}); await new Promise(() => 0)"
    )
    with node(streaming(body)) as box:
        box.ready()
        box.send(b"{}")
        frames = []
        while (frame := box.receive()) is not None:
            frames.append(frame)
        assert (frames[-1].kind, frames[-1].error["errorMessage"]) == (kind, "loose")
        assert box.status() == 129


def test_a_slow_reader_slows_the_function_down(node: Start) -> None:
    body = (
        "while (stream.write(Buffer.alloc(65536))) await new Promise((r) => setImmediate(r));"
        "console.log('full'); await new Promise((r) => stream.once('drain', r)); stream.end('end')"
    )
    with node(streaming(body)) as box:
        box.ready()
        box.send(b"{}")
        deadline = time.monotonic() + 20
        while b"full" not in box._output:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        frames = []
        while (frame := box.receive()) is not None and frame.kind != "N":
            frames.append(frame)
        assert payload(frames).endswith(b"end")
        assert frames[-1] == END


def test_the_next_event_waits_for_the_event_loop_unless_told_not_to(node: Start) -> None:
    body = "stream.end('x'); setTimeout(() => console.log('afterwards'), 20);"
    with node(streaming(body)) as box:
        box.ready()
        box.stream()
        assert box.end().endswith("INFO\tafterwards\n")


def test_the_event_loop_may_go_on(node: Start) -> None:
    body = "context.callbackWaitsForEmptyEventLoop = false; setInterval(() => 0, 1e6);"
    with node(streaming(f"{body} stream.end('x')")) as box:
        box.ready()
        assert payload(box.stream()) == b"x"
        assert payload(box.stream()) == b"x"


def test_a_module_may_stream_too_and_node_24_takes_its_three_parameters(node: Start) -> None:
    source = (
        "export const handler = awslambda.streamifyResponse(async (event, stream, context) => {"
        " stream.end(`${event.n} ${context.awsRequestId.length} ${'succeed' in context}`) });"
    )
    files = {"m.mjs": source}
    environment = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}
    with node(files, handler="m.handler", environment=environment) as box:
        box.ready()
        assert payload(box.stream(b'{"n":7}')) == b"7 36 false"


def test_the_high_water_mark_is_the_functions(node: Start) -> None:
    source = streaming("stream.end(String(stream.writableHighWaterMark))", options="{}")
    assert payload(frames_of(node, source)) == b"65536"


def test_a_chosen_high_water_mark_is_used(node: Start) -> None:
    body = "stream.end(String(stream.writableHighWaterMark))"
    assert payload(frames_of(node, streaming(body, options="{highWaterMark: 1234}"))) == b"1234"
