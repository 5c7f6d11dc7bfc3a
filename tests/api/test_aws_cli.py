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

    assert aws("lambda", "delete-function", *function) in ("", {"StatusCode": 204})
    assert aws("lambda", "list-functions") == {"Functions": []}


def test_an_error_is_told_in_the_cli_s_own_words(aws: Cli) -> None:
    done = aws.run("lambda", "invoke", "--function-name", "absent", "out.json")
    assert done.returncode in (254, 255)
    assert (
        "(ResourceNotFoundException) when calling the Invoke operation: Function not found: "
        "arn:aws:lambda:us-east-1:555566667777:function:absent:$LATEST"
    ) in done.stderr
