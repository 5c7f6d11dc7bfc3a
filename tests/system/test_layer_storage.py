"""What layers leave in the data directory, and for how long."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.deploying import create, invoke, settle
from support.functions import eventually
from support.node import Node
from support.packages import zipped
from support.starting import Start, starting

SHARED = zipped({"python/shared.py": "NAME = 'shared'\n"})
DIGEST = hashlib.sha256(SHARED).hexdigest()
SOURCE = "import shared\ndef handler(event, context):\n    return shared.NAME\n"


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path / "data") as start:
        yield start


def publish(client: Any, name: str, content: bytes = SHARED) -> str:
    version = client.publish_layer_version(LayerName=name, Content={"ZipFile": content})
    arn: str = version["LayerVersionArn"]
    return arn


def holding(node: Node, content: bytes) -> list[Path]:
    """The files of the data directory that hold this, unpacked, once for each inode."""
    found = {}
    for directory, _, names in os.walk(node.data_dir / "staged"):
        for name in names:
            path = Path(directory, name)
            if path.read_bytes() == content:
                found[path.stat().st_ino] = path
    return list(found.values())


def staged(node: Node) -> Path:
    return node.data_dir / "staged" / DIGEST


def stored(node: Node) -> list[Path]:
    return [path for path in (node.data_dir / "blobs").rglob("*") if DIGEST in path.name]


def test_a_layer_of_two_functions_is_stored_and_unpacked_once(start_node: Start) -> None:
    node = start_node()
    client = node.client()
    first, again = publish(client, "one"), publish(client, "two")
    for name, layer in (("a", first), ("b", first), ("c", again)):
        create(client, name, SOURCE, Layers=[layer])
        assert json.loads(invoke(client, name)) == "shared"
    assert len(holding(node, b"NAME = 'shared'\n")) == 1
    assert len(stored(node)) == 1
    before = staged(node).stat()
    client.update_function_configuration(FunctionName="a", MemorySize=256)
    settle(client, "a")
    invoke(client, "a")
    assert staged(node).stat().st_ctime_ns == before.st_ctime_ns


def test_a_deleted_layer_goes_with_the_last_function_that_uses_it(start_node: Start) -> None:
    node = start_node()
    client = node.client()
    layer = publish(client, "shared")
    create(client, "a", SOURCE, Layers=[layer])
    create(client, "b", SOURCE, Layers=[layer])
    client.publish_version(FunctionName="b")
    client.update_function_configuration(FunctionName="b", Layers=[])
    settle(client, "b")
    client.delete_layer_version(LayerName="shared", VersionNumber=1)
    assert json.loads(invoke(client, "a")) == "shared"
    node.kill()

    node = start_node()
    client = node.client()
    shown = client.get_function_configuration(FunctionName="a")["Layers"]
    assert shown == [{"Arn": layer, "CodeSize": len(SHARED)}]
    # Another setting, and other code, leave the layer where it is.
    client.update_function_configuration(FunctionName="a", MemorySize=256)
    settle(client, "a")
    assert json.loads(invoke(client, "a")) == "shared"
    assert json.loads(invoke(client, "b:1")) == "shared"

    client.delete_function(FunctionName="a")
    assert json.loads(invoke(client, "b:1")) == "shared"  # a version alone keeps it
    client.delete_function(FunctionName="b")
    eventually(lambda: not staged(node).exists())
    assert node.stop() == 0
    node = start_node()
    assert stored(node) == []
    assert publish(node.client(), "shared").endswith(":2")


def test_a_layer_that_no_function_uses_is_kept(start_node: Start) -> None:
    node = start_node()
    publish(node.client(), "shared")
    node.kill()
    node = start_node()
    client = node.client()
    create(client, "a", SOURCE, Layers=["arn:aws:lambda:us-east-1:000000000000:layer:shared:1"])
    assert json.loads(invoke(client, "a")) == "shared"


def test_staged_layers_may_be_deleted_while_the_node_is_stopped(start_node: Start) -> None:
    node = start_node()
    create(node.client(), "a", SOURCE, Layers=[publish(node.client(), "shared")])
    assert node.stop() == 0
    staged(node).chmod(0o700)
    staged(node).rename(node.data_dir / "elsewhere")
    node = start_node()
    assert json.loads(invoke(node.client(), "a")) == "shared"
