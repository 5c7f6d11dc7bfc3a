"""Deploying: create or update, wait until ready, and keep what was not named."""

import json
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from cli_fake_node import FakeNode
from typer.testing import CliRunner, Result

from lambdabox.cli import readiness
from lambdabox.cli.client import Node
from lambdabox.cli.deploy import name_for, parse_environment
from lambdabox.cli.main import app
from lambdabox.cli.output import CommandError

HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(readiness, "_FIRST_PAUSE", 0.0)
    with FakeNode() as fake:
        monkeypatch.setenv("LAMBDABOX_ENDPOINT", fake.endpoint)
        yield fake


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "hello"
    directory.mkdir()
    (directory / "app.py").write_text("def handler(event, context): return event")
    return directory


def deploy(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["deploy", *arguments])


def refused(result: Result) -> str:
    assert result.exit_code == 1
    return result.stderr.splitlines()[-1].removeprefix("error: ")


def test_a_directory_becomes_a_function_of_its_name(node: FakeNode, source: Path) -> None:
    (source / "event.json").write_text("{}")
    result = deploy(str(source), "--env", "AA=1", "--env", "BB=x=y", "--memory", "256")
    assert result.exit_code == 0, result.stderr
    made = node.functions["hello"]
    assert (made["Runtime"], made["Handler"]) == (HERE, "app.handler")
    assert made["Environment"] == {"Variables": {"AA": "1", "BB": "x=y"}}
    assert made["MemorySize"] == 256
    with zipfile.ZipFile(BytesIO(node.packages["hello"])) as archive:
        assert archive.namelist() == ["app.py", "event.json"]
    assert f"Chose runtime {HERE}, handler app.handler: there is app.py" in result.stderr
    assert f"Next: lambdabox invoke hello --event {source}/event.json" in result.stderr
    assert made["FunctionArn"] in result.stdout


def test_json_is_the_configuration_alone(node: FakeNode, source: Path) -> None:
    result = deploy(str(source), "--name", "other", "--json")
    assert json.loads(result.stdout) == node.functions["other"]


def test_it_returns_once_the_function_can_be_invoked(node: FakeNode, source: Path) -> None:
    node.states = [{"State": "Pending"}, {"State": "Pending"}, {}]
    assert deploy(str(source)).exit_code == 0
    assert node.states == []


def test_an_update_keeps_what_was_not_named(node: FakeNode, source: Path) -> None:
    node.add("hello", Runtime="python3.10", Handler="other.run", Timeout=60)
    result = deploy(str(source), "--memory", "512")
    assert result.exit_code == 0, result.stderr
    shown = node.functions["hello"]
    assert (shown["Runtime"], shown["Handler"], shown["Timeout"]) == ("python3.10", "other.run", 60)
    assert shown["MemorySize"] == 512
    assert "hello" in node.packages


def test_an_update_of_code_alone_leaves_the_settings_untouched(
    node: FakeNode, source: Path
) -> None:
    node.add("hello", MemorySize=256, Layers=[{"Arn": "arn:l:1", "CodeSize": 3}])
    deploy(str(source), "--memory", "256", "--layer", "arn:l:1")
    assert "PUT /2015-03-31/functions/hello/code" in node.requests
    assert "PUT /2015-03-31/functions/hello/configuration" not in node.requests


def test_a_function_whose_last_update_failed_can_be_deployed_again(
    node: FakeNode, source: Path
) -> None:
    node.add("hello")
    failed = {"LastUpdateStatus": "Failed"}
    node.states = [failed, failed, {"LastUpdateStatus": "InProgress"}]
    assert deploy(str(source)).exit_code == 0


def test_a_function_that_cannot_run_is_told_with_the_reason(node: FakeNode, source: Path) -> None:
    node.states = [{"State": "Failed", "StateReason": "no python3.9 here"}]
    assert refused(deploy(str(source))) == "hello cannot run: no python3.9 here"


def test_an_update_that_failed_is_told_with_the_reason(node: FakeNode, source: Path) -> None:
    node.add("hello")
    node.states = [{}, {}, {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "bad zip"}]
    assert refused(deploy(str(source))) == "the update of hello failed: bad zip"


def test_a_function_that_never_settles_is_given_up(node: FakeNode) -> None:
    node.add("hello", State="Pending")
    with pytest.raises(CommandError, match="hello is still Pending"):
        readiness.wait_until_settled(Node(node.endpoint), "hello", deadline_seconds=-1)


def test_a_zip_is_deployed_as_it_is(node: FakeNode, tmp_path: Path) -> None:
    path = tmp_path / "my function.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lambda_function.py", "def lambda_handler(e, c): ...")
    assert deploy(str(path)).exit_code == 0
    assert node.packages["my-function"] == path.read_bytes()
    assert node.functions["my-function"]["Handler"] == "lambda_function.lambda_handler"


def test_a_source_that_is_not_there_is_told_without_asking_the_node(
    node: FakeNode, tmp_path: Path
) -> None:
    assert "absent does not exist" in refused(deploy(str(tmp_path / "absent")))
    assert node.requests == []


@pytest.mark.parametrize("assignment", ["A", "=1", ""])
def test_a_variable_without_name_or_value_is_refused(assignment: str) -> None:
    with pytest.raises(CommandError, match="is not of the form NAME=VALUE"):
        parse_environment([assignment])


@pytest.mark.parametrize("name", ["A", "_A", "1A", "A-B", "É1"])
def test_a_variable_that_lambda_does_not_take_is_told_in_words(name: str) -> None:
    with pytest.raises(CommandError, match="two or more letters"):
        parse_environment([f"{name}=x"])


def test_names_are_made_fit(tmp_path: Path) -> None:
    directory = tmp_path / "my function (2)"
    directory.mkdir()
    assert name_for(directory) == "my-function-2"
    with pytest.raises(CommandError, match="give --name"):
        name_for(Path("/"))
