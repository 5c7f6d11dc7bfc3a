"""The Serverless Framework, version 3: a service deployed, invoked, changed and removed."""

import json
import re
from pathlib import Path

import pytest
from support.functions import eventually
from support.node import Node
from support.urls import Url

from tools.conftest import NODE_MODULES, Project, installed, project, what_is_left

SERVERLESS = NODE_MODULES / ".bin" / "serverless"
QUIET = {
    "SLS_TELEMETRY_DISABLED": "1",
    "SLS_NOTIFICATIONS_MODE": "off",
    "SLS_DISABLE_AUTO_UPDATE": "1",
}


@pytest.fixture
def sls(node: Node, tmp_path: Path) -> Project:
    installed(SERVERLESS)
    return project(node, tmp_path / "app", "serverless", BUCKET="sls-uploads", **QUIET)


def _run(sls: Project, command: str) -> str:
    return sls.run(SERVERLESS, *command.split())


@pytest.mark.timeout(900)
def test_serverless(sls: Project, node: Node) -> None:
    _run(sls, "deploy")
    shown = _run(sls, "info --verbose")
    url = Url(node, _found(r"hello: (http://\S+)", shown))
    assert url.ask("/here").value == {"word": "ONE", "release": 1, "path": "/here"}
    apis = re.findall(r"GET - https://(\w+)\.execute-api", shown)
    paths = [f"/_lambdabox/api/{apis[0]}/dev/rest/7", f"/_lambdabox/api/{apis[1]}/items/7"]
    # The function does not answer as REST APIs want it; an HTTP API takes what it says.
    assert [Url(node, node.url).ask(path).status for path in paths] == [502, 200]
    told = json.loads(_run(sls, "invoke -f hello -d {}"))
    assert told == {"word": "ONE", "release": 1, "path": None}

    node.client("s3").put_object(Bucket="sls-uploads", Key="a", Body=b"b")
    queue = _found(r"Queue: (http\S+)", shown)
    node.client("sqs").send_message(QueueUrl=queue, MessageBody="{}")
    for source in ("aws:sqs", "aws:s3"):
        assert eventually(lambda source=source: f"asked by {source}" in _run(sls, "logs -f hello"))  # type: ignore[misc]  # a lambda of one argument with a default

    sls.change("src/app.py", '"release": 1', '"release": 2')
    assert "Function code deployed" in _run(sls, "deploy function -f hello")
    assert json.loads(_run(sls, "invoke -f hello"))["release"] == 2
    sls.variables["WORD"] = "two"
    _run(sls, "deploy")
    assert url.ask("/").value == {"word": "TWO", "release": 2, "path": "/"}

    # As on AWS, a bucket that is not empty is not deleted.
    node.client("s3").delete_object(Bucket="sls-uploads", Key="a")
    _run(sls, "remove")
    assert what_is_left(node) == {}


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]
