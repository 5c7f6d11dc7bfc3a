"""SnapStart as its users have it, where no process is copied: hooks and states."""

import os
import re
import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import awslambdaric
import pytest
from support.functions import (
    MakeFunction,
    Refusal,
    await_active,
    eventually,
    invoke,
    log_messages,
    refused,
)
from support.gate import Gate
from support.node import Node, running
from support.packages import zipped
from support.programs import needed

RUNTIME = "python3.12"
SNAP_START = {"ApplyOn": "PublishedVersions"}

HOOKS = """
import os
from snapshot_restore_py import register_after_restore, register_before_snapshot

calls = []

@register_before_snapshot
def first():
    calls.append("before 1")

def note(what, more=""):
    calls.append(what + more)

register_before_snapshot(note, "before", more=" 2")
register_after_restore(note, "after 1")

@register_after_restore
def last():
    calls.append("after 2")

def handler(event, context):
    return {"calls": calls, "variables": dict(os.environ), "stream": context.log_stream_name}
"""


RUNTIME_WITHOUT_SNAPSHOTS = """
import os, urllib.request as http
api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    event = http.urlopen(f"{api}/next")
    request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    http.urlopen(f"{api}/{request}/response", event.read())
"""


@pytest.fixture(autouse=True)
def _python() -> None:
    needed(RUNTIME)


@pytest.fixture(scope="module")
def plain_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose functions are plain processes: they see this machine as the tests do."""
    directory = tmp_path_factory.mktemp("plain") / "node"
    with running(directory, settings={"isolation": "process"}) as node:
        yield node


def make(make_function: MakeFunction, source: str | Mapping[str, str], **settings: Any) -> str:
    return make_function(source, Runtime=RUNTIME, SnapStart=SNAP_START, **settings)


def publish(client: Any, function: str) -> Any:
    """Publish a version and return its configuration once it is settled."""
    published = client.publish_version(FunctionName=function)
    assert published["State"] == "Pending"
    assert published["StateReasonCode"] == "Creating"
    assert published["SnapStart"] == {**SNAP_START, "OptimizationStatus": "Off"}
    return eventually(lambda: settled(client, function, published["Version"]))


def settled(client: Any, function: str, version: str) -> Any:
    found = client.get_function_configuration(FunctionName=function, Qualifier=version)
    return found if found["State"] != "Pending" else None


def test_a_version_is_pending_until_its_init_has_run(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make(make_function, HOOKS)
    version = publish(lambda_client, function)
    assert version["State"] == "Active"
    assert version["SnapStart"] == {**SNAP_START, "OptimizationStatus": "On"}
    latest = lambda_client.get_function_configuration(FunctionName=function)
    assert latest["SnapStart"] == {**SNAP_START, "OptimizationStatus": "Off"}


def test_hooks_run_newest_first_before_and_oldest_first_after(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make(make_function, HOOKS)
    publish(lambda_client, function)
    for _ in range(2):
        result = invoke(lambda_client, function, Qualifier="1")
        assert result.value["calls"] == ["before 2", "before 1", "after 1", "after 2"]


def test_hooks_of_latest_are_only_registered(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make(make_function, HOOKS)
    result = invoke(lambda_client, function, LogType="Tail")
    assert result.value["calls"] == []
    assert result.value["variables"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert "Restore" not in result.log


def test_variables_of_the_same_names_are_the_users_own_without_snap_start(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    mine = {
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "mine",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/mine",
    }
    function = make_function(HOOKS, Runtime=RUNTIME, Environment={"Variables": mine})
    variables = invoke(lambda_client, function).value["variables"]
    assert {name: variables[name] for name in mine} == mine


def test_what_belongs_to_one_environment_is_not_in_its_variables(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make(make_function, HOOKS)
    publish(lambda_client, function)
    value = invoke(lambda_client, function, Qualifier="1").value
    variables = value["variables"]
    assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
    assert value["stream"] is None
    assert not variables.keys() & {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
    }
    assert variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == (
        f"http://{variables['AWS_LAMBDA_RUNTIME_API']}/2021-04-23/credentials"
    )
    assert variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]


def test_boto3_finds_its_credentials(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make(
        make_function,
        "import boto3\nclient = boto3.client('lambda')\n"
        "def handler(event, context):\n"
        "    return client.get_function(FunctionName=context.function_name)"
        "['Configuration']['FunctionArn']\n",
        Timeout=30,
    )
    publish(lambda_client, function)
    arn = invoke(lambda_client, function, Qualifier="1").value
    assert arn.endswith(f":{function}")


def test_the_log_tells_of_init_restore_and_why_no_snapshot_is_used(
    plain_node: Node, make_function: MakeFunction
) -> None:
    client, logs_client = plain_node.client(), plain_node.client("logs")
    function = make(make_function, HOOKS, client=client)
    publish(client, function)
    first = invoke(client, function, Qualifier="1", LogType="Tail").log
    second = invoke(client, function, Qualifier="1", LogType="Tail").log
    assert re.search(r"\tRestore Duration: \d+\.\d\d ms\tBilled Restore Duration: \d+ ms\t", first)
    assert "Init Duration" not in first
    assert "Restore" not in second
    messages = eventually(lambda: complete(log_messages(logs_client, f"/aws/lambda/{function}")))
    kinds = [re.split(r"[ \t]", message, maxsplit=1)[0] for message in messages]
    assert kinds.count("SNAPSHOT_UNUSABLE") == 1
    assert kinds.count("INIT_START") == kinds.count("INIT_REPORT") == 2
    assert kinds.count("RESTORE_START") == kinds.count("RESTORE_REPORT") == 1
    [obstacle] = [message for message in messages if message.startswith("SNAPSHOT_UNUSABLE")]
    assert "the isolation driver 'process' copies no process" in obstacle
    phases = [re.findall(r"Phase: (\S+)", m)[0] for m in messages if m.startswith("INIT_REPORT")]
    assert phases == ["snap-start", "init"]


def complete(messages: list[str]) -> list[str] | None:
    return messages if sum(m.startswith("REPORT ") for m in messages) == 2 else None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(
            "raise ValueError('no database')",
            "The function's initialization failed: ValueError: no database",
            id="init raises",
        ),
        pytest.param(
            "import os\nos._exit(3)",
            "The function's initialization failed: Runtime exited with error: exit status 3",
            id="init exits",
        ),
        pytest.param(
            "from snapshot_restore_py import register_before_snapshot\n"
            "register_before_snapshot(lambda: 1 / 0)\n"
            "def handler(event, context): pass",
            "The function's initialization failed: Runtime.BeforeSnapshotError: "
            "ZeroDivisionError: division by zero",
            id="a hook raises",
        ),
    ],
)
def test_a_version_whose_init_fails_is_failed_and_says_why(
    lambda_client: Any, make_function: MakeFunction, source: str, reason: str
) -> None:
    function = make(make_function, source)
    version = publish(lambda_client, function)
    assert (version["State"], version["StateReasonCode"]) == ("Failed", "FunctionError")
    assert version["StateReason"] == reason
    assert version["SnapStart"]["OptimizationStatus"] == "Off"
    with refused(
        Refusal(
            409,
            "ResourceConflictException",
            "The operation cannot be performed at this time. The function is currently in the "
            "following state: Failed",
        )
    ):
        invoke(lambda_client, function, Qualifier="1")


def test_an_after_restore_hook_that_fails_is_told_to_the_caller(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make(
        make_function,
        "from snapshot_restore_py import register_after_restore\n"
        "register_after_restore(lambda: 1 / 0)\n"
        "def handler(event, context): pass",
    )
    assert publish(lambda_client, function)["State"] == "Active"
    for _ in range(2):
        with refused(
            Refusal(
                400,
                "SnapStartException",
                "The afterRestore() runtime hook encountered an error. For more information, "
                "check the Amazon CloudWatch logs.",
            )
        ):
            invoke(lambda_client, function, Qualifier="1")

    def reported() -> list[str]:
        messages = log_messages(logs_client, f"/aws/lambda/{function}")
        return [message for message in messages if message.startswith("RESTORE_REPORT")]

    for report in eventually(reported):
        assert report.endswith("\tStatus: error\tError Type: Runtime.AfterRestoreError\n")


def test_a_pending_version_cannot_be_invoked_and_others_do_not_wait_for_it(
    lambda_client: Any, make_function: MakeFunction, gate: Gate
) -> None:
    function = make(
        make_function,
        f"import urllib.request\nurllib.request.urlopen({gate.url!r}).read()\n"
        "def handler(event, context): return 'ready'",
    )
    lambda_client.publish_version(FunctionName=function)
    gate.await_callers(1)
    with refused(
        Refusal(
            409,
            "ResourceConflictException",
            "The operation cannot be performed at this time. The function is currently in the "
            "following state: Pending",
        )
    ):
        invoke(lambda_client, function, Qualifier="1")
    make_function("def handler(event, context): return 'other'")  # waits until it is Active
    gate.release()
    await_active(lambda_client, f"{function}:1")
    assert invoke(lambda_client, function, Qualifier="1").value == "ready"


def test_a_version_that_is_deleted_while_its_init_runs_leaves_no_process(
    plain_node: Node, make_function: MakeFunction, gate: Gate
) -> None:
    client, logs_client = plain_node.client(), plain_node.client("logs")
    function = make(
        make_function,
        "import os, urllib.request\nprint('pid', os.getpid())\n"
        f"urllib.request.urlopen({gate.url!r}).read()\n"
        "def handler(event, context): pass",
        client=client,
    )
    client.publish_version(FunctionName=function)
    gate.await_callers(1)
    group = f"/aws/lambda/{function}"
    pids = eventually(
        lambda: [m.split()[1] for m in log_messages(logs_client, group) if m.startswith("pid ")]
    )
    client.delete_function(FunctionName=function, Qualifier="1")
    eventually(lambda: not os.path.exists(f"/proc/{pids[0]}"))


def test_a_users_own_copy_of_the_hooks_module_is_the_one_that_counts(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    own = (
        "hooks = []\n"
        "def register_after_restore(f, *args, **kwargs):\n    hooks.append((f, args, kwargs))\n"
        "def get_after_restore():\n    return hooks\n"
        "def get_before_snapshot():\n    return []\n"
    )
    function = make(
        make_function,
        {
            "app.py": (
                "import snapshot_restore_py as hooks\ncalls = []\n"
                "hooks.register_after_restore(calls.append, 'mine')\n"
                "def handler(event, context): return [calls, hooks.__file__]\n"
            ),
            "snapshot_restore_py.py": own,
        },
    )
    publish(lambda_client, function)
    calls, file = invoke(lambda_client, function, Qualifier="1").value
    assert calls == ["mine"]
    assert "bootstraps" not in file


def test_the_unmodified_runtime_interface_client_is_restored_over_http(
    plain_node: Node, make_function: MakeFunction
) -> None:
    packages = [Path(awslambdaric.__file__).parent.parent, *map(Path, site.getsitepackages())]
    search = os.pathsep.join(dict.fromkeys(map(str, packages)))
    files: dict[str, str | bytes] = {
        "wrap": f"#!/bin/sh\nexport PYTHONPATH={search}\n"
        f'exec {sys.executable} -m awslambdaric "$_HANDLER"\n',
        "app.py": HOOKS,
    }
    client = plain_node.client()
    function = make_function(
        files,
        client=client,
        Runtime=RUNTIME,
        SnapStart=SNAP_START,
        Timeout=10,
        Code={"ZipFile": zipped(files, executable=("wrap",))},
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}},
    )
    assert publish(client, function)["State"] == "Active"
    result = invoke(client, function, Qualifier="1", LogType="Tail")
    assert result.value["calls"] == ["before 2", "before 1", "after 1", "after 2"]
    assert "Restore Duration" in result.log


def test_a_runtime_that_knows_no_snapshots_runs_all_the_same(
    plain_node: Node, make_function: MakeFunction
) -> None:
    files: dict[str, str | bytes] = {
        "wrap": f"#!{sys.executable}\n{RUNTIME_WITHOUT_SNAPSHOTS}",
        "app.py": "",
    }
    client = plain_node.client()
    function = make_function(
        files,
        client=client,
        Runtime=RUNTIME,
        SnapStart=SNAP_START,
        Code={"ZipFile": zipped(files, executable=("wrap",))},
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}},
    )
    assert publish(client, function)["State"] == "Active"
    assert invoke(client, function, 5, Qualifier="1").value == 5
