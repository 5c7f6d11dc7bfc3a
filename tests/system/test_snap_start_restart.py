"""SnapStart versions over stops and kills of the node."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.functions import eventually
from support.gate import Gate
from support.node import Node
from support.packages import ROLE, python_package
from support.processes import eventually as comes_true
from support.processes import sandboxes_of
from support.programs import needed
from support.starting import Start, starting

RUNTIME = "python3.12"
HOOKED = """
from snapshot_restore_py import register_after_restore
restored = []
register_after_restore(restored.append, 'restored')
def handler(event, context):
    return restored
"""


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Start]:
    needed(RUNTIME)
    with starting(tmp_path / "data") as start:
        yield start


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


def publish(client: Any, source: str) -> None:
    client.create_function(
        FunctionName="snapped",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": python_package(source)},
        SnapStart={"ApplyOn": "PublishedVersions"},
        Publish=True,
    )


def status_of(node: Node) -> tuple[str, str]:
    found = node.client().get_function_configuration(FunctionName="snapped", Qualifier="1")
    return found["State"], found["SnapStart"]["OptimizationStatus"]


def invoked(node: Node) -> bytes:
    response = node.client().invoke(FunctionName="snapped", Qualifier="1")
    assert "FunctionError" not in response
    body: bytes = response["Payload"].read()
    return body


def test_a_version_runs_after_a_restart_as_before(start_node: Start) -> None:
    node = start_node()
    publish(node.client(), HOOKED)
    eventually(lambda: status_of(node) == ("Active", "On"))
    assert invoked(node) == b'["restored"]'
    assert node.stop() == 0
    node = start_node()
    assert status_of(node) == ("Active", "On")
    assert invoked(node) == b'["restored"]'


def test_a_node_killed_while_a_snapshot_is_taken_takes_it_after_its_start(
    start_node: Start, gate: Gate
) -> None:
    node = start_node()
    waiting = f"import urllib.request\nurllib.request.urlopen({gate.url!r}).read()\n"
    publish(node.client(), waiting + HOOKED)
    gate.await_callers(1)
    assert status_of(node) == ("Pending", "Off")
    node.kill()
    assert comes_true(lambda: not sandboxes_of(node.data_dir), within=10)
    node = start_node()
    gate.await_callers(1)
    assert status_of(node) == ("Pending", "Off")
    gate.release()
    eventually(lambda: status_of(node) == ("Active", "On"))
    assert invoked(node) == b'["restored"]'


def test_a_node_stops_in_order_while_a_snapshot_is_taken(start_node: Start, gate: Gate) -> None:
    node = start_node()
    waiting = f"import urllib.request\nurllib.request.urlopen({gate.url!r}).read()\n"
    publish(node.client(), waiting + HOOKED)
    gate.await_callers(1)
    assert node.stop() == 0
    assert not sandboxes_of(node.data_dir)
    assert not list((node.data_dir / "environments").glob("*"))
    assert "Traceback" not in node.log
