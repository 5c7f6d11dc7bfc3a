"""However functions end and callers leave, no more run at once than may, and no fewer."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import await_active, create, eventually, invoke, log_messages
from support.gate import Gate
from support.http import raw
from support.node import Node

CALLERS, RESERVED = 50, 5
ROUNDS = 6
INVOKED = "/2015-03-31/functions/limited/invocations"
STREAMED = "/2021-11-15/functions/limited/response-streaming-invocations"

SOURCE = """
import os, sys, time, urllib.request
def handler(event, context):
    match event.get("how"):
        case "exit": os._exit(1)
        case "hang": time.sleep(60)
        case "raise": raise ValueError("asked to")
    if "url" in event:
        urllib.request.urlopen(event["url"]).read()
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


class Turnstile:
    """A server that counts how many callers it has at once."""

    def __init__(self) -> None:
        self.most = 0
        self._lock = threading.Lock()
        self._inside = 0
        never, turnstile = threading.Event(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                turnstile._count(1)
                never.wait(0.1)  # callers meet inside
                turnstile._count(-1)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _count(self, change: int) -> None:
        with self._lock:
            self._inside += change
            self.most = max(self.most, self._inside)


@pytest.fixture
def turnstile() -> Iterator[Turnstile]:
    turnstile = Turnstile()
    yield turnstile
    turnstile.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that limits how many run at once, and not how often."""
    settings = {"requests_per_concurrency": "0", "cpu_limit": "false"}
    node = Node(tmp_path / "node", settings=settings).start()
    yield node
    node.stop()


@pytest.fixture
def client(node: Node) -> Iterator[Any]:
    client = node.client()
    create(client, "limited", SOURCE, Timeout=20)
    await_active(client, "limited")
    client.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=RESERVED)
    yield client
    client.close()


def call(client: Any, **event: Any) -> str:
    """Invoke; return "done", the function's error, or why the call was refused."""
    try:
        result = invoke(client, "limited", event)
    except ClientError as error:
        reason: str = error.response["Reason"]
        return reason
    return result.error or "done"


def insist(function: Callable[..., str], **event: Any) -> str:
    """Call until it is not refused."""
    while (answer := function(**event)).endswith("LimitExceeded"):
        pass
    return answer


def check_exactly_as_many_run_as_may(client: Any, gate: Gate) -> None:
    """Of callers that all come at once, those who are admitted are held; the others are told."""
    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call, client, url=gate.url) for _ in range(CALLERS)]
        gate.await_callers(RESERVED)
        ended = as_completed(calls, timeout=30)
        refused = [next(ended).result() for _ in range(CALLERS - RESERVED)]
        gate.release()
        done = [run.result() for run in ended]
    assert set(refused) == {"ReservedFunctionConcurrentInvocationLimitExceeded"}
    assert done == ["done"] * RESERVED


def test_of_fifty_callers_at_once_five_run_and_the_rest_are_refused(
    client: Any, gate: Gate
) -> None:
    check_exactly_as_many_run_as_may(client, gate)


def test_under_load_the_function_itself_never_sees_more(client: Any, turnstile: Turnstile) -> None:
    def call_often(_number: int) -> list[str]:
        return [call(client, url=turnstile.url) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = [answer for some in pool.map(call_often, range(CALLERS)) for answer in some]
    assert len(answers) == CALLERS * ROUNDS
    assert set(answers) <= {"done", "ReservedFunctionConcurrentInvocationLimitExceeded"}
    assert answers.count("done") >= RESERVED
    assert 1 < turnstile.most <= RESERVED


def test_every_unit_comes_back_whatever_became_of_it(
    node: Node, client: Any, gate: Gate, turnstile: Turnstile
) -> None:
    client.update_function_configuration(FunctionName="limited", Timeout=1)
    client.get_waiter("function_updated_v2").wait(FunctionName="limited")

    def run(**event: Any) -> str:
        return call(client, **event)

    def leave(path: str, **event: Any) -> str:
        body = json.dumps(event).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: node\r\nContent-Length: {len(body)}\r\n\r\n"
        raw(node, head.encode() + body, then_close=True)
        return "left"

    def stream(**event: Any) -> str:
        payload = json.dumps(event)
        try:
            response = client.invoke_with_response_stream(FunctionName="limited", Payload=payload)
        except ClientError as error:
            return str(error.response["Reason"])
        return "streamed" if list(response["EventStream"]) else "nothing"

    def send_event(**event: Any) -> str:
        payload = json.dumps(event)
        client.invoke(FunctionName="limited", InvocationType="Event", Payload=payload)
        return "sent"

    def often(work: tuple[Callable[..., str], dict[str, Any]]) -> list[str]:
        function, event = work
        return [function(**event) for _ in range(ROUNDS)]

    kinds: list[tuple[Callable[..., str], dict[str, Any]]] = [
        (run, {"url": turnstile.url}),
        (run, {"how": "exit"}),
        (run, {"how": "hang"}),
        (run, {"how": "raise"}),
        (stream, {"url": turnstile.url}),
        (stream, {"how": "hang"}),
        (leave, {"path": STREAMED, "url": turnstile.url}),
        (leave, {"path": STREAMED, "how": "hang"}),
        (leave, {"path": INVOKED, "url": turnstile.url}),
        (leave, {"path": INVOKED, "how": "hang"}),
        (send_event, {"url": turnstile.url}),
    ]
    with ThreadPoolExecutor(len(kinds) * 2) as pool:
        answers = {answer for some in pool.map(often, kinds * 2) for answer in some}
    assert {"left", "sent"} <= answers
    # What callers have left behind may still run, so whoever comes now has to try again.
    assert insist(run, how="exit") == insist(run, how="hang") == "Unhandled"
    assert insist(stream, url=turnstile.url) == insist(stream, how="hang") == "streamed"
    client.update_function_configuration(FunctionName="limited", Timeout=20)
    client.get_waiter("function_updated_v2").wait(FunctionName="limited")
    with ThreadPoolExecutor(RESERVED) as pool:
        held = [pool.submit(insist, run, url=gate.url) for _ in range(RESERVED)]
        gate.await_callers(RESERVED)
        assert call(client) == "ReservedFunctionConcurrentInvocationLimitExceeded"
        gate.release()
        assert [caller.result() for caller in held] == ["done"] * RESERVED


def test_what_a_node_was_told_holds_after_it_was_killed(node: Node, client: Any) -> None:
    client.publish_version(FunctionName="limited")
    client.put_provisioned_concurrency_config(
        FunctionName="limited", Qualifier="1", ProvisionedConcurrentExecutions=2
    )
    create(client, "off", SOURCE)
    await_active(client, "off")
    client.put_function_concurrency(FunctionName="off", ReservedConcurrentExecutions=0)
    event = invoke(client, "off", {}, InvocationType="Event")
    node.kill()
    node.start()
    client = node.client()
    with pytest.raises(client.exceptions.TooManyRequestsException):
        invoke(client, "off", {})
    account = client.get_account_settings()["AccountLimit"]
    assert account["UnreservedConcurrentExecutions"] == 1_000 - RESERVED

    def is_ready() -> bool:
        found = client.get_provisioned_concurrency_config(FunctionName="limited", Qualifier="1")
        return bool(found["Status"] == "READY")

    assert eventually(is_ready)
    assert invoke(client, "limited", {}, Qualifier="1").value == "provisioned-concurrency"
    logs = node.client("logs")
    assert not [line for line in log_messages(logs, "/aws/lambda/off") if event.request_id in line]
    logs.close()
    client.close()
