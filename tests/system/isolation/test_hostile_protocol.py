"""Functions that lie to the node: forged calls, forged frames, answers to nobody."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.functions import ECHO, invoke
from support.node import Node
from support.processes import descriptors_of, eventually

Make = Callable[..., str]

FRAMES = """
import json, os, struct, time
CHANNEL = int(os.environ.get("LAMBDABOX_CHANNEL_FD", "3"))
def frame(kind, body=b"", length=None):
    size = len(body) if length is None else length
    return struct.pack("!IB", size, kind[0]) + body
def send(data):
    while data:
        data = data[os.write(3, data):]
def handler(event, context):
    if event == "honest":
        return "honest"
    %s
    return "returned"
"""


@pytest.fixture
def liar(make: Make) -> Callable[[str], str]:
    def liar(lie: str) -> str:
        return make(FRAMES % lie, Timeout=4)

    return liar


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param('send(frame(b"R", b"1") * 2)', id="two answers"),
        pytest.param('send(frame(b"N"))', id="next while busy"),
        pytest.param('send(frame(b"X", b"x"))', id="init fails while busy"),
        pytest.param('send(frame(b"A", b"{}"))', id="a frame of the node"),
        pytest.param('send(frame(b"I", b"x" * 100))', id="an event for the node"),
        pytest.param('send(frame(b"\\x00", b""))', id="an unknown type"),
        pytest.param('send(frame(b"R", b"", 0xFFFFFFFF))', id="four gigabytes announced"),
        pytest.param('send(frame(b"E", b"\\xff\\xff\\xff\\xff"))', id="a head beyond the frame"),
        pytest.param('send(frame(b"E", b"\\x00"))', id="half a head"),
        pytest.param('send(frame(b"C", b"x"))', id="a chunk of no stream"),
        pytest.param('send(frame(b"F"))', id="the end of no stream"),
        pytest.param('send(frame(b"L", b"x"))', id="a late error of no stream"),
        pytest.param('send(frame(b"B", b"x" * 70000))', id="an endless content type"),
        pytest.param('send(os.urandom(200000))', id="noise"),
        pytest.param("os.close(3)", id="the channel closed"),
        pytest.param('import socket; socket.socket(fileno=3).shutdown(2)', id="shut down"),
    ],
)  # fmt: skip
def test_a_forged_frame_ends_the_sandbox_and_nothing_else(
    liar: Callable[[str], str], client: Any, lie: str
) -> None:
    name = liar(lie)
    # What the first caller sees is the function's own business, but it sees something.
    assert invoke(client, name, "lie").payload
    assert invoke(client, name, "honest").value == "honest"


def test_answers_ahead_of_time_reach_nobody_else(make: Make, client: Any) -> None:
    name = make(
        FRAMES % 'send(frame(b"R", b"1") + frame(b"N") + frame(b"R", b"666") + frame(b"N"))',
        Timeout=4,
    )
    for _ in range(3):
        invoke(client, name, "lie")
        assert invoke(client, name, "honest").value == "honest"


RUNTIME_API = """
import http.client, json, os
def call(method, path, body=None, headers={}):
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=2)
    try:
        api.request(method, "/2018-06-01/runtime/" + path, body, headers)
        return api.getresponse().status
    except OSError as exc:
        return type(exc).__name__
    finally:
        api.close()
def handler(event, context):
    if event == "honest":
        return "honest"
    own = context.aws_request_id
    fault = {"Lambda-Runtime-Function-Error-Type": "Function.Forged"}
    calls = [
        ("POST", "invocation/" + own + "/response", "forged"),
        ("POST", "invocation/" + own + "/error", "{}", fault),
        ("POST", "invocation/00000000-0000-0000-0000-000000000000/response", "x"),
        ("POST", "invocation/../../../../etc/passwd/response", "x"),
        ("POST", "invocation/" + "9" * 60000 + "/response", "x"),
        ("POST", "init/error", "{}", fault),
        ("POST", "invocation/" + own + "/response", "again"),
        ("DELETE", "invocation/next"),
        ("GET", "restore/next"),
    ]
    return [call(*one) for one in calls]
"""


def test_forged_calls_of_the_runtime_api_hurt_only_the_forger(make: Make, client: Any) -> None:
    name, other = make(RUNTIME_API, Timeout=10), make(ECHO)
    # It may answer for itself as it likes, once.
    assert invoke(client, name, "forge").payload == b"forged"
    assert invoke(client, name, "honest").value == "honest"
    assert invoke(client, other, 1).value == 1


def test_a_flood_of_connections_to_the_runtime_api_is_bounded(
    make: Make, client: Any, hostile_node: Node
) -> None:
    name = make(
        """
import os, socket
def handler(event, context):
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    held = []
    try:
        while len(held) < 900:
            one = socket.create_connection((host, int(port)), timeout=1)
            one.sendall(b"POST /2018-06-01/runtime/init/error HTTP/1.1\\r\\nX: ")
            held.append(one)
    except OSError:
        pass
    return len(held)
"""
    )
    before = descriptors_of(hostile_node.pid)
    assert invoke(client, name).error in (None, "Unhandled")
    assert invoke(client, make(ECHO), 1).value == 1
    client.delete_function(FunctionName=name)
    assert eventually(lambda: descriptors_of(hostile_node.pid) < before + 40, within=10)


def test_huge_and_deep_answers_are_the_functions_own_fault(make: Make, client: Any) -> None:
    name = make(
        """
import os, struct
def handler(event, context):
    if event == "honest":
        return "honest"
    body = b"[" * 200_000 if event == "deep" else b"\\xff\\xfe not JSON"
    os.write(3, struct.pack("!IB", len(body), ord("R")))
    while body:
        body = body[os.write(3, body):]
    os.read(3, 1)
"""
    )
    for lie in ("deep", "text"):
        assert invoke(client, name, lie).payload
    assert json.loads(invoke(client, name, "honest").payload) == "honest"
