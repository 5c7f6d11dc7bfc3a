"""What a node knew before it was stopped it knows afterwards."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.deploying import create, invoke, settle
from support.node import Node
from support.packages import python_package
from support.processes import eventually
from support.starting import Start, starting


@pytest.fixture(autouse=True)
def _plain_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions here tell of themselves in files of the host, which a sandbox would not see."""
    monkeypatch.setenv("LAMBDABOX_ISOLATION", "process")


SOURCE = """
import os
def handler(event, context):
    print("said", event)
    return {"version": context.function_version, "setting": os.environ["SETTING"]}
"""
FAILING_ONCE = """
import os
def handler(event, context):
    try:
        open(os.path.join({directory!r}, "first"), "x").close()
    except FileExistsError:
        open(os.path.join({directory!r}, "second"), "x").close()
    else:
        raise RuntimeError("not yet")
"""


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path / "data") as start:
        yield start


def shown(client: Any) -> dict[str, Any]:
    """All that the API says of the function, except links, which are made anew each time."""
    function = client.get_function(FunctionName="kept")
    versions = client.list_versions_by_function(FunctionName="kept")["Versions"]
    account = client.get_account_settings()["AccountUsage"]
    return {
        "configuration": function["Configuration"],
        "tags": function["Tags"],
        "versions": versions,
        "usage": account,
    }


def log_messages(node: Node) -> list[str]:
    logs = node.client("logs")
    events = logs.filter_log_events(logGroupName="/aws/lambda/kept")["events"]
    return [event["message"] for event in events]


def bill(node: Node) -> Any:
    with urllib.request.urlopen(f"{node.url}/_lambdabox/usage") as response:
        return json.load(response)["Functions"]


def test_everything_survives_a_stop_and_a_start(start_node: Start) -> None:
    node = start_node()
    client = node.client()
    create(
        client, "kept", SOURCE, Environment={"Variables": {"SETTING": "one"}}, Tags={"team": "a"}
    )
    client.publish_version(FunctionName="kept", Description="first")
    client.update_function_configuration(
        FunctionName="kept", Environment={"Variables": {"SETTING": "two"}}, MemorySize=256
    )
    settle(client, "kept")
    assert json.loads(invoke(client, "kept", b'"hello"'))["setting"] == "two"
    before, said, billed = shown(client), log_messages(node), bill(node)
    link = client.get_function(FunctionName="kept")["Code"]["Location"]
    assert any("said hello" in message for message in said)
    assert billed[0]["Invocations"] == 1

    assert node.stop() == 0
    node = start_node({"account_concurrency": "7", "region": "us-east-1"})
    client = node.client()

    assert shown(client) == before
    assert log_messages(node) == said
    assert bill(node) == billed
    for name, expected in (
        ("kept", {"version": "$LATEST", "setting": "two"}),
        ("kept:1", {"version": "1", "setting": "one"}),
    ):
        assert json.loads(invoke(client, name)) == expected
    assert bill(node)[0]["Invocations"] == 3
    assert client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 7
    moved = f"{node.url}{link[link.index('/_lambdabox') :]}"
    host = link.split("/")[2]
    request = urllib.request.Request(moved, headers={"Host": host})  # what the link was signed for
    with urllib.request.urlopen(request) as response:
        assert response.read() == python_package(SOURCE)


def test_a_retry_that_is_due_later_survives(start_node: Start, tmp_path: Path) -> None:
    settings = {"async_retry_delays": "1,1"}
    node = start_node(settings)
    client = node.client()
    create(client, "once", FAILING_ONCE.format(directory=str(tmp_path)))
    client.invoke(FunctionName="once", InvocationType="Event")
    assert eventually((tmp_path / "first").exists, within=10)
    assert node.stop() == 0
    assert not (tmp_path / "second").exists()
    start_node(settings)
    assert eventually((tmp_path / "second").exists, within=10)


def test_settings_bound_what_runs(start_node: Start, tmp_path: Path) -> None:
    node = start_node({"account_concurrency": "1", "idle_seconds": "1"})
    client = node.client()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    create(client, "waits", f"def handler(event, context): return open({str(gate)!r}).read()")
    client.invoke(FunctionName="waits", InvocationType="Event")
    with gate.open("w"):  # returns once the function reads
        with pytest.raises(ClientError) as error:
            client.invoke(FunctionName="waits")
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert eventually(lambda: _environments(node) == 0, within=10)  # idle, so it is let go


def _environments(node: Node) -> int:
    with urllib.request.urlopen(f"{node.url}/_lambdabox/health") as response:
        count: int = json.load(response)["environments"]
    return count
