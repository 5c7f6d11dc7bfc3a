"""The CDK: an account bootstrapped, an application deployed, compared, changed and destroyed."""

import json
from pathlib import Path

import pytest
from support.functions import invoke
from support.node import Node
from support.urls import Url

from tools.conftest import ACCOUNT, NODE_MODULES, Project, installed, project, what_is_left

CDK = NODE_MODULES / ".bin" / "cdk"


@pytest.fixture
def cdk(node: Node, tmp_path: Path) -> Project:
    installed(CDK)
    made = project(node, tmp_path / "app", "cdk", CI="true", CDK_DISABLE_CLI_TELEMETRY="true")
    (made.directory / "node_modules").symlink_to(NODE_MODULES)
    return made


def _run(cdk: Project, command: str) -> str:
    return cdk.run(CDK, "--no-notices", *command.split())


def _deploy(cdk: Project, *options: str) -> dict[str, str]:
    given = " ".join(("deploy --require-approval never --outputs-file told.json", *options))
    _run(cdk, given)
    told: dict[str, str] = json.loads((cdk.directory / "told.json").read_text())["CdkApp"]
    return told


@pytest.mark.timeout(900)
def test_cdk(cdk: Project, node: Node) -> None:
    _run(cdk, f"bootstrap aws://{ACCOUNT}/us-east-1")
    told = _deploy(cdk)
    answer = Url(node, told["Url"]).ask("/here")
    assert answer.value == {"word": "ONE", "release": 1, "path": "/here"}
    assert Url(node, told["Endpoint"]).ask("/items/7").value["path"] == "/items/7"
    notified = node.client("s3").get_bucket_notification_configuration(Bucket=told["Bucket"])
    assert len(notified["LambdaFunctionConfigurations"]) == 1
    assert "Number of stacks with differences: 0" in _run(cdk, "diff")

    cdk.change("src/app.py", '"release": 1', '"release": 2')
    assert "[~] AWS::Lambda::Function" in _run(cdk, "diff")
    assert "hotswapped!" in _run(cdk, "deploy --hotswap --require-approval never")
    assert invoke(node.client(), told["Function"], {}, Qualifier="live").value["release"] == 2

    cdk.variables["WORD"] = "two"
    assert _deploy(cdk) == told
    assert Url(node, told["Url"]).ask("/").value["word"] == "TWO"
    topic = node.client("sns").get_topic_attributes(TopicArn=told["Topic"])["Attributes"]
    assert topic["DisplayName"] == "two"

    _run(cdk, "destroy --force")
    left = what_is_left(node, but=["CDKToolkit"])
    assert left == {}
