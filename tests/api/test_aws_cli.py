"""The whole life of a function through the AWS CLI, as a user's shell has it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.functions import PYTHON
from support.node import Node
from support.packages import ROLE, python_package
from support.programs import missing

PROGRAM = Path(__file__).parents[2] / ".venv-awscli" / "bin" / "aws"
SOURCE = (
    "def handler(event, context):\n"
    "    print('hello', event['name'])\n"
    "    return {'greeting': 'hello ' + event['name']}\n"
)
TOLD = "def handler(event, context):\n    return [{}, context.invoked_function_arn]\n"
GONE = ("", {"StatusCode": 204})


class Cli:
    """The CLI with a node as its endpoint, run in a directory of the test's own."""

    def __init__(self, node: Node, directory: Path) -> None:
        self._directory = directory
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "AWS_ACCESS_KEY_ID": "555566667777",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": node.url,
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str) -> Any:
        """Return what the command prints, as JSON if it prints any."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return (
            json.loads(done.stdout) if done.stdout.lstrip().startswith(("{", "[")) else done.stdout
        )


@pytest.fixture
def aws(node: Node, tmp_path: Path) -> Cli:
    if not PROGRAM.exists():
        message = "the AWS CLI is not installed: `make .venv-awscli/.installed` does it"
        missing(message)
    return Cli(node, tmp_path)


def test_the_life_of_a_function_in_shell_commands(aws: Cli, tmp_path: Path) -> None:
    tmp_path.joinpath("code.zip").write_bytes(python_package(SOURCE))
    function = ("--function-name", "cli")
    created = aws(
        "lambda", "create-function", *function, "--runtime", PYTHON, "--role", ROLE,
        "--handler", "app.handler", "--zip-file", "fileb://code.zip",
    )  # fmt: skip
    arn = "arn:aws:lambda:us-east-1:555566667777:function:cli"
    assert (created["FunctionArn"], created["State"]) == (arn, "Pending")
    assert aws("lambda", "wait", "function-active-v2", *function) == ""

    told = aws(
        "lambda", "invoke", *function, "--payload", '{"name": "world"}', "answer.json",
    )  # fmt: skip
    assert told == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    answer = tmp_path.joinpath("answer.json").read_text()
    assert json.loads(answer) == {"greeting": "hello world"}

    updated = aws("lambda", "update-function-configuration", *function, "--timeout", "9")
    assert (updated["Timeout"], updated["LastUpdateStatus"]) == (9, "InProgress")
    assert aws("lambda", "wait", "function-updated-v2", *function) == ""
    assert aws("lambda", "list-functions", "--query", "Functions[].[FunctionName, Timeout]") == [
        ["cli", 9]
    ]

    assert aws("lambda", "tag-resource", "--resource", arn, "--tags", "team=blue,env=test") == ""
    assert aws("lambda", "list-tags", "--resource", arn) == {
        "Tags": {"team": "blue", "env": "test"}
    }

    group = ("--log-group-name", "/aws/lambda/cli")
    found = aws(
        "logs", "filter-log-events", *group, "--filter-pattern", "hello",
        "--query", "events[].message",
    )  # fmt: skip
    assert found == ["hello world\n"]
    (stream,) = aws("logs", "describe-log-streams", *group, "--query", "logStreams[].logStreamName")
    events = aws("logs", "get-log-events", *group, "--log-stream-name", stream)["events"]
    assert [event["message"].split(" ")[0] for event in events] == [
        "INIT_START", "START", "hello", "END", "REPORT",
    ]  # fmt: skip

    assert aws("lambda", "delete-function", *function) in GONE
    assert aws("lambda", "list-functions") == {"Functions": []}


def test_versions_and_an_alias_in_shell_commands(aws: Cli, tmp_path: Path) -> None:
    tmp_path.joinpath("one.zip").write_bytes(python_package(TOLD.format(1)))
    tmp_path.joinpath("two.zip").write_bytes(python_package(TOLD.format(2)))
    name, alias = ("--function-name", "cli-versions"), ("--name", "live")
    arn = "arn:aws:lambda:us-east-1:555566667777:function:cli-versions"
    created = aws(
        "lambda", "create-function", *name, "--runtime", PYTHON, "--role", ROLE, "--publish",
        "--handler", "app.handler", "--zip-file", "fileb://one.zip", "--tags", "team=blue",
    )  # fmt: skip
    assert created["Version"] == "1"
    assert aws("lambda", "wait", "published-version-active", *name, "--qualifier", "1") == ""
    assert aws("lambda", "wait", "function-updated-v2", *name) == ""
    updated = aws("lambda", "update-function-code", *name, "--zip-file", "fileb://two.zip")
    assert updated["LastUpdateStatus"] == "InProgress"
    assert aws("lambda", "wait", "function-updated-v2", *name) == ""
    published = aws(
        "lambda", "publish-version", *name, "--code-sha256", updated["CodeSha256"],
        "--description", "the second",
    )  # fmt: skip
    assert (published["Version"], published["FunctionArn"]) == ("2", f"{arn}:2")
    listed = aws("lambda", "list-versions-by-function", *name, "--query", "Versions[].Version")
    assert listed == ["$LATEST", "1", "2"]

    made = aws(
        "lambda", "create-alias", *name, *alias, "--function-version", "1",
        "--routing-config", "AdditionalVersionWeights={2=1.0}",
    )  # fmt: skip
    assert made == {
        "AliasArn": f"{arn}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "",
        "RoutingConfig": {"AdditionalVersionWeights": {"2": 1.0}},
        "RevisionId": made["RevisionId"],
    }
    assert _invoked(aws, tmp_path, *name, "--qualifier", "live") == ("2", [2, f"{arn}:live"])
    aws("lambda", "update-alias", *name, *alias, "--routing-config", "AdditionalVersionWeights={}")
    assert _invoked(aws, tmp_path, "--function-name", f"{arn}:live") == ("1", [1, f"{arn}:live"])
    shown = aws("lambda", "get-function", "--function-name", "cli-versions:live")
    assert shown["Configuration"]["FunctionArn"] == f"{arn}:live"
    assert (shown["Configuration"]["Version"], shown["Tags"]) == ("1", {"team": "blue"})

    done = aws.run("lambda", "delete-function", *name, "--qualifier", "1")
    assert (
        "(ResourceConflictException) when calling the DeleteFunction operation: Unable to delete "
        "version because the following aliases reference it: [live]"
    ) in done.stderr
    assert aws("lambda", "delete-alias", *name, *alias) == ""
    assert aws("lambda", "delete-function", *name, "--qualifier", "1") in GONE
    assert aws("lambda", "delete-function", *name) in GONE


def _invoked(aws: Cli, directory: Path, *names: str) -> tuple[str, Any]:
    told = aws("lambda", "invoke", *names, "told.json")
    assert told == {"StatusCode": 200, "ExecutedVersion": told["ExecutedVersion"]}
    return told["ExecutedVersion"], json.loads(directory.joinpath("told.json").read_text())


def test_an_error_is_told_in_the_cli_s_own_words(aws: Cli) -> None:
    done = aws.run("lambda", "invoke", "--function-name", "absent", "out.json")
    assert done.returncode in (254, 255)
    assert (
        "(ResourceNotFoundException) when calling the Invoke operation: Function not found: "
        "arn:aws:lambda:us-east-1:555566667777:function:absent:$LATEST"
    ) in done.stderr
