"""InvokeWithResponseStream, as boto3 and raw sockets see it."""

import base64
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    await_active,
    await_updated,
    create,
    eventually,
    log_messages,
    refused,
)
from support.gate import Gate
from support.http import address, send
from support.node import Node
from support.packages import zipped
from support.streaming import CURL, NODE, OWN_RUNTIME, PYTHON, node_settings

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"

MakeStreaming = Callable[..., str]


@pytest.fixture(params=["node", "python", "curl"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_streaming(make_function: MakeFunction) -> MakeStreaming:
    """Make a function of a kind that streams what its event asks for; return its name."""

    def make(kind: str, **settings: Any) -> str:
        if kind == "node":
            return make_function({"index.js": NODE}, **node_settings(), Timeout=20, **settings)
        source = {"python": PYTHON, "curl": CURL}[kind]
        package = zipped({"bootstrap": source}, executable=("bootstrap",))
        settings = {**OWN_RUNTIME, "Timeout": 20, "Code": {"ZipFile": package}, **settings}
        return make_function(**settings)

    return make


def stream(client: Any, function: str, event: Any, **parameters: Any) -> Any:
    return client.invoke_with_response_stream(
        FunctionName=function, Payload=json.dumps(event), **parameters
    )


def collected(response: Any) -> tuple[bytes, dict[str, Any]]:
    """Return what was streamed, and the members of InvokeComplete."""
    data, end = b"", None
    for event in response["EventStream"]:
        assert end is None
        if "PayloadChunk" in event:
            data += event["PayloadChunk"]["Payload"]
        else:
            end = event["InvokeComplete"]
    assert end is not None
    return data, end


def test_the_first_byte_comes_before_the_function_ends(
    lambda_client: Any, make_streaming: MakeStreaming, kind: str, gate: Gate
) -> None:
    function = make_streaming(kind)
    response = stream(lambda_client, function, {"first": "first", "gate": gate.url, "last": "last"})
    assert response["StatusCode"] == 200
    assert response["ExecutedVersion"] == "$LATEST"
    assert response["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    events = iter(response["EventStream"])
    assert next(events)["PayloadChunk"]["Payload"] == b"first"
    gate.await_callers(1)
    gate.release()
    assert list(events) == [{"PayloadChunk": {"Payload": b"last"}}, {"InvokeComplete": {}}]


def test_a_plain_response_comes_as_a_stream(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    return 'x' * event\n")
    data, end = collected(stream(lambda_client, function, 1_000_000))
    assert (len(data), end) == (1_000_002, {})


def test_the_end_of_the_log_comes_with_the_end(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    print('a line')\n")
    response = stream(lambda_client, function, None, LogType="Tail")
    data, end = collected(response)
    assert data == b"null"
    assert set(end) == {"LogResult"}
    log = base64.b64decode(end["LogResult"]).decode()
    assert "a line\n" in log
    assert "REPORT RequestId" in log


def test_an_error_before_the_first_byte_is_in_the_end(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    raise KeyError(event)\n")
    response = stream(lambda_client, function, "k")
    assert response["StatusCode"] == 200
    data, end = collected(response)
    assert data == b""
    assert set(end) == {"ErrorCode", "ErrorDetails"}
    assert end["ErrorCode"] == "Unhandled"
    details = json.loads(end["ErrorDetails"])
    assert set(details) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (details["errorType"], details["errorMessage"]) == ("KeyError", "'k'")


@pytest.mark.parametrize("kind", ["node", "python"])
def test_an_error_after_the_first_byte_is_in_the_end(
    lambda_client: Any, make_streaming: MakeStreaming, kind: str
) -> None:
    function = make_streaming(kind)
    data, end = collected(stream(lambda_client, function, {"first": "some", "fail": "late"}))
    assert data == b"some"
    assert end["ErrorCode"] == "Unhandled"
    assert json.loads(end["ErrorDetails"])["errorMessage"] == "late"


def test_a_timeout_is_in_the_end(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(
        "import time\ndef handler(event, context):\n    time.sleep(60)\n", Timeout=1
    )
    _, end = collected(stream(lambda_client, function, None))
    assert end["ErrorCode"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in json.loads(end["ErrorDetails"])["errorMessage"]


def test_a_version_says_its_number(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function("def handler(event, context):\n    return context.function_version\n")
    lambda_client.publish_version(FunctionName=function)
    response = stream(lambda_client, f"{ARN}{function}:1", None)
    assert response["ExecutedVersion"] == "1"
    assert collected(response) == (b'"1"', {})


def test_a_stream_through_an_alias_draws_its_version(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    """With even weights, forty invocations of one version alone would be a wonder."""
    function = make_function("def handler(event, context):\n    return context.function_version\n")
    lambda_client.publish_version(FunctionName=function)
    lambda_client.update_function_configuration(FunctionName=function, Description="another")
    await_updated(lambda_client, function)
    lambda_client.publish_version(FunctionName=function)
    lambda_client.create_alias(
        FunctionName=function,
        Name="both",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )
    seen = set()
    for _ in range(40):
        response = stream(lambda_client, function, None, Qualifier="both")
        version = response["ExecutedVersion"]
        assert collected(response) == (f'"{version}"'.encode(), {})
        seen.add(version)
    assert seen == {"1", "2"}


def test_the_head_is_as_on_aws(node: Node, make_function: MakeFunction) -> None:
    function = make_function()
    path = f"/2021-11-15/functions/{function}/response-streaming-invocations"
    answer = send(node, "POST", path, b"{}")
    assert answer.status == 200
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert answer.headers["x-amz-executed-version"] == "$LATEST"
    assert answer.headers["x-amzn-trace-id"].startswith("Root=1-")
    assert len(answer.headers["x-amzn-requestid"]) == 36
    dry = send(node, "POST", path, b"{}", {"x-amz-invocation-type": "DryRun"})
    assert (dry.status, dry.body) == (204, b"")


def test_what_cannot_be_invoked_is_refused_as_anywhere(
    lambda_client: Any, make_function: MakeFunction, name: str
) -> None:
    message = f"Function not found: {ARN}nobody:$LATEST"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        stream(lambda_client, "nobody", None)
    with pytest.raises(lambda_client.exceptions.InvalidRequestContentException):
        lambda_client.invoke_with_response_stream(FunctionName=make_function(), Payload=b"{")
    with pytest.raises(lambda_client.exceptions.RequestTooLargeException):
        stream(lambda_client, "nobody", "x" * 6_291_456)


def test_a_function_that_is_not_ready_is_refused(
    lambda_client: Any, name: str, slow_package: bytes
) -> None:
    create(lambda_client, name, {}, Code={"ZipFile": slow_package})
    with pytest.raises(lambda_client.exceptions.ResourceConflictException):
        stream(lambda_client, name, None)
    await_active(lambda_client, name)


def _slow_reader(node: Node, function: str, event: Any) -> socket.socket:
    """Invoke over a connection that holds little; nothing has been read of the response."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(address(node))
    body = json.dumps(event).encode()
    head = (
        f"POST /2021-11-15/functions/{function}/response-streaming-invocations HTTP/1.1\r\n"
        f"Host: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def _events(connection: socket.socket) -> list[Any]:
    """Read to the end; return the events."""
    text = b""
    while data := connection.recv(1 << 20):
        text += data
    _, _, chunked = text.partition(b"\r\n\r\n")
    buffer = EventStreamBuffer()
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size, 16)
        buffer.add_data(rest[:length])
        chunked = rest[length + 2 :]
    return [event.to_response_dict() for event in buffer]


@pytest.mark.parametrize("kind", ["node", "python"])
def test_a_client_that_does_not_read_slows_the_function(
    node: Node,
    lambda_client: Any,
    logs_client: Any,
    make_streaming: MakeStreaming,
    kind: str,
) -> None:
    """It would be through with its 6 MB in no time, and times out instead."""
    function = make_streaming(kind)
    collected(stream(lambda_client, function, {"last": "warm"}))
    lambda_client.update_function_configuration(FunctionName=function, Timeout=2)
    await_updated(lambda_client, function)
    with _slow_reader(node, function, {"parts": 96, "size": 65_536}) as connection:
        eventually(lambda: _has_logged(logs_client, function, "Status: timeout"))
        events = _events(connection)
    *chunks, end = events
    assert {chunk["headers"][":event-type"] for chunk in chunks} == {"PayloadChunk"}
    assert end["headers"] == {
        ":event-type": "InvokeComplete",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert json.loads(end["body"])["ErrorCode"] == "Sandbox.Timedout"
    assert 0 < sum(len(chunk["body"]) for chunk in chunks) < 96 * 65_536


@pytest.mark.parametrize("kind", ["node", "python"])
def test_a_client_that_leaves_does_not_stop_the_function(
    node: Node,
    lambda_client: Any,
    logs_client: Any,
    make_streaming: MakeStreaming,
    kind: str,
    gate: Gate,
) -> None:
    function = make_streaming(kind)
    event = {"first": "first", "gate": gate.url, "parts": 160, "size": 65_536}
    with _slow_reader(node, function, event) as connection:
        assert connection.recv(1)
        gate.await_callers(1)
    gate.release()
    [report] = eventually(lambda: _has_logged(logs_client, function, "REPORT"))
    assert "Status:" not in report
    assert collected(stream(lambda_client, function, {"last": "again"})) == (b"again", {})


def _has_logged(logs_client: Any, function: str, words: str) -> list[str]:
    return [m for m in log_messages(logs_client, f"/aws/lambda/{function}") if words in m]
