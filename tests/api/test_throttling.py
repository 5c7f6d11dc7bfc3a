"""What callers hear when the account's concurrency is used up."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.functions import await_active, create, eventually, invoke, log_messages
from support.gate import Gate
from support.http import send
from support.node import Node, running

HELD = (
    "import urllib.request\n"
    "def handler(event, context):\n"
    "    if event: urllib.request.urlopen(event).read()\n"
    "    return 'done'\n"
)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that runs one invocation of an account at a time."""
    settings = {"account_concurrency": "1"}
    with running(tmp_path_factory.mktemp("narrow") / "node", settings=settings) as node:
        yield node


@pytest.fixture(scope="module")
def client(narrow: Node) -> Iterator[Any]:
    client = narrow.client()
    create(client, "held", HELD, Timeout=30)
    await_active(client, "held")
    yield client
    client.close()


def test_one_too_many_is_refused_at_once_and_one_of_another_account_is_not(
    narrow: Node, client: Any, gate: Gate
) -> None:
    other = narrow.client(account="111122223333")
    create(other, "held", HELD)
    await_active(other, "held")
    with ThreadPoolExecutor(1) as pool:
        running_one = pool.submit(invoke, client, "held", gate.url)
        gate.await_callers(1)
        answer = send(narrow, "POST", "/2015-03-31/functions/held/invocations", b"null")
        elsewhere = invoke(other, "held")
        gate.release()
        assert running_one.result().value == "done"
    assert answer.status == 429
    assert answer.headers["x-amzn-errortype"] == "TooManyRequestsException"
    assert json.loads(answer.body) == {
        "Type": "User",
        "message": "Rate Exceeded.",
        "Reason": "ConcurrentInvocationLimitExceeded",
    }
    assert elsewhere.value == "done"
    assert invoke(client, "held").value == "done"
    other.close()


def test_an_event_waits_for_its_turn(narrow: Node, client: Any, gate: Gate) -> None:
    logs = narrow.client("logs")
    with ThreadPoolExecutor(1) as pool:
        running_one = pool.submit(invoke, client, "held", gate.url)
        gate.await_callers(1)
        event = invoke(client, "held", None, InvocationType="Event")
        gate.release()
        assert running_one.result().value == "done"
    end = f"END RequestId: {event.request_id}\n"
    eventually(lambda: end in log_messages(logs, "/aws/lambda/held"))
    assert log_messages(logs, "/aws/lambda/held").count(end) == 1
    logs.close()
