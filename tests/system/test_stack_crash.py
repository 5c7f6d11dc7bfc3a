"""A node that is killed while it deploys a stack leaves nothing that the next one cannot undo."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from support.functions import PYTHON, eventually
from support.gate import Gate
from support.node import Node
from support.packages import ROLE
from support.stacks import await_stack, create, physical_ids, told

HELD = """
import urllib.request

def handler(event, context):
    if event["RequestType"] != "Delete" and "Gate" in event["ResourceProperties"]:
        urllib.request.urlopen(event["ResourceProperties"]["Gate"]).read()
    import cfnresponse
    cfnresponse.send(event, context, cfnresponse.SUCCESS, {}, "held")
"""
FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Runtime": PYTHON,
        "Handler": "index.handler",
        "Role": ROLE,
        "Timeout": 60,
        "Code": {"ZipFile": HELD},
    },
}


def _template(gate: Gate | None, timeout: int = 60) -> str:
    held: dict[str, Any] = {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}}
    if gate is not None:
        held["Gate"] = gate.url
    function = {**FUNCTION, "Properties": {**FUNCTION["Properties"], "Timeout": timeout}}  # type: ignore[dict-item]  # it is a dictionary
    thing = {"Type": "Custom::Held", "Properties": held}
    return json.dumps({"Resources": {"Function": function, "Thing": thing}})


@pytest.fixture
def gate() -> Any:
    gate = Gate()
    yield gate
    gate.close()


def _in_background(node: Node, operation: str, **parameters: Any) -> threading.Thread:
    """Begin what will not be answered, for the node is killed first."""

    def ask() -> None:
        with suppress(BotoCoreError):
            getattr(node.client("cloudformation"), operation)(StackName="app", **parameters)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def _await_step(client: Any, status: str) -> None:
    def look() -> bool:
        with suppress(client.exceptions.ClientError):
            return ("Thing", status) in told(client, "app")
        return False

    assert eventually(look)


@pytest.mark.slow
def test_what_a_killed_node_was_doing_with_a_stack_is_undone_by_the_next(
    tmp_path: Path, gate: Gate
) -> None:
    node = Node(tmp_path / "node").start()
    try:
        asked = _in_background(node, "create_stack", TemplateBody=_template(gate))
        _await_step(node.client("cloudformation"), "CREATE_IN_PROGRESS")
        node.kill()
        asked.join()
        node.start()
        client = node.client("cloudformation")
        assert await_stack(client, "app")["StackStatus"] == "ROLLBACK_COMPLETE"
        assert node.client("lambda").list_functions()["Functions"] == []
        client.delete_stack(StackName="app")

        create(client, "app", _template(None))
        before = physical_ids(client, "app")
        asked = _in_background(node, "update_stack", TemplateBody=_template(gate, timeout=50))
        _await_step(client, "UPDATE_IN_PROGRESS")
        node.kill()
        asked.join()
        gate.release()
        node.start()
        client = node.client("cloudformation")
        assert await_stack(client, "app")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert physical_ids(client, "app") == before
        [function] = node.client("lambda").list_functions()["Functions"]
        assert (function["FunctionName"], function["Timeout"]) == (before["Function"], 60)
        client.delete_stack(StackName="app")
        assert node.client("lambda").list_functions()["Functions"] == []
    finally:
        assert node.stop() == 0, node.log


@pytest.mark.slow
def test_a_stack_is_deleted_while_it_is_being_created(tmp_path: Path, gate: Gate) -> None:
    node = Node(tmp_path / "node").start()
    try:
        asked = _in_background(node, "create_stack", TemplateBody=_template(gate))
        client = node.client("cloudformation")
        _await_step(client, "CREATE_IN_PROGRESS")
        id = client.describe_stacks(StackName="app")["Stacks"][0]["StackId"]
        deleting = _in_background(node, "delete_stack")
        gate.release()
        deleting.join()
        asked.join()
        assert await_stack(client, id)["StackStatus"] == "DELETE_COMPLETE"
        assert client.describe_stacks()["Stacks"] == []
        assert node.client("lambda").list_functions()["Functions"] == []
        files = list((tmp_path / "node").glob("state.db*"))
        assert files
        # Templates are encrypted.
        assert not [file for file in files if b"urlopen(event" in file.read_bytes()]
    finally:
        assert node.stop() == 0, node.log
