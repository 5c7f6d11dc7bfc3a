"""The SAM CLI: an application built, deployed, asked, changed, synchronised and deleted."""

import json
from pathlib import Path

import pytest
from support.functions import eventually
from support.node import Node
from support.urls import Url

from tools.conftest import PYTHON_PROGRAMS, Project, installed, project, what_is_left

NAME = ("--stack-name", "sam-app")
CAPABLE = ("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")


@pytest.fixture
def sam(node: Node, tmp_path: Path) -> Project:
    installed(PYTHON_PROGRAMS / "sam")
    return project(node, tmp_path / "app", "sam", SAM_CLI_TELEMETRY="0")


def _run(sam: Project, command: str, *arguments: str, answers: str = "") -> str:
    return sam.run(PYTHON_PROGRAMS / "sam", *command.split(), *arguments, answers=answers)


def _deploy(sam: Project, word: str) -> dict[str, str]:
    _run(sam, "build")
    _run(
        sam, "deploy --resolve-s3 --no-confirm-changeset --no-fail-on-empty-changeset", *NAME,
        *CAPABLE, "--parameter-overrides", f"Word={word}",
    )  # fmt: skip
    told = json.loads(_run(sam, "list stack-outputs --output json", *NAME))
    return {each["OutputKey"]: each["OutputValue"] for each in told}


@pytest.mark.timeout(900)
def test_sam(sam: Project, node: Node) -> None:
    told = _deploy(sam, "one")
    answer = Url(node, told["Url"]).ask("/here")
    assert answer.value == {"word": "ONE", "release": 1, "path": "/here"}
    api = Url(node, told["Api"])
    assert api.ask("/items/7").value["path"] == "/items/7"
    resources = json.loads(_run(sam, "list resources --output json", *NAME))
    assert "Hello" in [each["LogicalResourceId"] for each in resources]
    invoked = _run(sam, "remote invoke Hello --event {}", *NAME)
    assert '{"word": "ONE", "release": 1, "path": null}' in invoked

    _run(sam, "remote invoke Jobs --event {}", *NAME)
    node.client("s3").put_object(Bucket=told["Bucket"], Key="a", Body=b"b")
    for source in ("aws:sqs", "aws:s3"):
        assert eventually(lambda source=source: f"asked by {source}" in _logs(sam))  # type: ignore[misc]  # a lambda of one argument with a default

    sam.change("src/app.py", '"release": 1', '"release": 2')
    assert _deploy(sam, "two") == told
    answer = Url(node, told["Url"]).ask("/")
    assert answer.value == {"word": "TWO", "release": 2, "path": "/"}
    topic = node.client("sns").get_topic_attributes(TopicArn=told["Inner"])["Attributes"]
    assert topic["DisplayName"] == "two"

    sam.change("src/app.py", '"release": 2', '"release": 3')
    _run(sam, "sync --code --no-dependency-layer", *NAME, *CAPABLE, answers="y\n")
    assert '"release": 3' in _run(sam, "remote invoke Hello --event {}", *NAME)

    # As on AWS, a bucket that is not empty is not deleted.
    node.client("s3").delete_object(Bucket=told["Bucket"], Key="a")
    _run(sam, "delete --no-prompts", *NAME)
    assert what_is_left(node, but=["aws-sam-cli-managed-default"]) == {}


def _logs(sam: Project) -> str:
    return _run(sam, "logs --name Hello", *NAME)
