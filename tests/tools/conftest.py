"""A node for the programs that deploy, and copies of their projects.

`make test-tools` installs the programs; without them these tests are skipped.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.node import Node, running

HERE = Path(__file__).parent
PYTHON_PROGRAMS = HERE.parents[1] / ".venv-tools" / "bin"
NODE_MODULES = HERE / "node_modules"
ACCOUNT = "000000000000"
SECONDS = 300


@dataclass(slots=True)
class Project:
    """A copy of a project, in which its tool is run against the node."""

    node: Node
    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, program: Path, *arguments: str, answers: str = "") -> str:
        """Run a program that must succeed; return all that it says."""
        environment = {
            "PATH": f"{PYTHON_PROGRAMS}:{NODE_MODULES / '.bin'}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.node.url,
            **self.variables,
        }
        done = subprocess.run(
            [program, *arguments],
            cwd=self.directory,
            env=environment,
            input=answers,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{program.name} {' '.join(arguments)}\n{done.stdout}"
        return done.stdout

    def change(self, name: str, before: str, after: str) -> None:
        path = self.directory / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node of its own for each tool: what one leaves is not another's."""
    with running(tmp_path / "node") as node:
        yield node


def project(node: Node, directory: Path, name: str, **variables: str) -> Project:
    """Return a copy of the project `name` in `directory`."""
    shutil.copytree(HERE / "projects" / name, directory, dirs_exist_ok=True)
    return Project(node, directory, dict(variables))


def installed(program: Path) -> Path:
    if not program.exists():
        pytest.skip(f"{program.name} is not installed: `make test-tools` does it")
    return program


def what_is_left(node: Node, *, but: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return what a tool has left on the node, without the stacks that it keeps for itself."""
    kept = [
        each["PhysicalResourceId"]
        for stack in but
        for each in _call(node, "cloudformation").describe_stack_resources(StackName=stack)[
            "StackResources"
        ]
    ]
    stacks = _call(node, "cloudformation").describe_stacks()["Stacks"]
    found: dict[str, list[Any]] = {
        "stacks": [each["StackName"] for each in stacks if each["StackName"] not in but],
        "functions": _call(node, "lambda").list_functions()["Functions"],
        "layers": _call(node, "lambda").list_layers()["Layers"],
        "mappings": _call(node, "lambda").list_event_source_mappings()["EventSourceMappings"],
        "queues": _call(node, "sqs").list_queues().get("QueueUrls", []),
        "topics": _call(node, "sns").list_topics()["Topics"],
        "tables": _call(node, "dynamodb").list_tables()["TableNames"],
        "roles": [each["RoleName"] for each in _call(node, "iam").list_roles()["Roles"]],
        "buckets": [each["Name"] for each in _call(node, "s3").list_buckets()["Buckets"]],
        "http apis": _call(node, "apigatewayv2").get_apis()["Items"],
        "rest apis": _call(node, "apigateway").get_rest_apis()["items"],
        "rules": _call(node, "events").list_rules()["Rules"],
        "schedules": _call(node, "scheduler").list_schedules()["Schedules"],
    }
    left = {name: [each for each in all if each not in kept] for name, all in found.items()}
    return {name: each for name, each in left.items() if each}


def _call(node: Node, service: str) -> Any:
    return node.client(service)
