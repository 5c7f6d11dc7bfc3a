"""A node of an ordinary user: sandboxes all the same, and what is missing is said."""

import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.deploying import create, invoke
from support.node import PROGRAM, Node, running
from support.ordinary import Ordinary
from support.processes import eventually

LOOK = """
import os, signal, socket
def handler(event, context):
    os.makedirs("/tmp/kept", exist_ok=True)
    try:
        os.kill(1, signal.SIGKILL)
        killed = "sent"
    except OSError as exc:
        killed = str(exc)
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    return {
        "user": os.getuid(), "host": socket.gethostname(),
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "root": sorted(os.listdir("/")), "data": os.path.exists(event["data"]),
        "capabilities": status["CapEff"].strip(), "filter": status["Seccomp"].strip(),
        "privileges": status["NoNewPrivs"].strip(), "first": os.path.exists("/proc/1/environ"),
    }
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Ordinary:
    return Ordinary(tmp_path_factory.mktemp("rootless") / "home")


@pytest.fixture(scope="module")
def node(user: Ordinary) -> Iterator[Node]:
    settings = {"network": "auto"}
    with running(user.home / "data", settings=settings, prefix=user.prefix) as node:
        yield node
    assert not user.processes()


def health(node: Node) -> Any:
    with urllib.request.urlopen(f"{node.url}/_lambdabox/health") as response:
        return json.load(response)


def test_functions_are_held_in_namespaces(node: Node) -> None:
    client = node.client()
    create(client, "look", LOOK)
    event = json.dumps({"data": str(node.data_dir)}).encode()
    seen = json.loads(invoke(client, "look", event))
    assert (seen["user"], seen["host"]) == (993, "sandbox.localdomain")
    assert seen["processes"] == ["1", "2"]
    assert not seen["data"]
    assert {"home", "root", "work", "mnt", "srv"}.isdisjoint(seen["root"])
    assert int(seen["capabilities"], 16) == 0
    assert (seen["filter"], seen["privileges"]) == ("2", "1")
    assert invoke(client, "look", event)  # nor did it end process 1


def test_its_processes_are_the_users_and_nobody_elses(node: Node, user: Ordinary) -> None:
    create(node.client(), "sleeps", "def handler(event, context): return 1")
    assert invoke(node.client(), "sleeps") == b"1"
    assert Path(f"/proc/{node.pid}").stat().st_uid == user.user
    assert len(user.processes()) > 3  # the node, the warden, a fork server, a sandbox


def test_a_function_that_is_a_program_of_its_own_runs(node: Node) -> None:
    source = "def handler(event, context): return __import__('os').environ['PYTHONHASHSEED']"
    variables = {"Variables": {"PYTHONHASHSEED": "7"}}  # which takes a fresh interpreter
    create(node.client(), "fresh", source, Environment=variables)
    assert invoke(node.client(), "fresh") == b'"7"'


def test_what_is_missing_is_said_once_in_the_log_and_on_the_health_page(node: Node) -> None:
    said = health(node)
    assert (said["isolation"], said["network"]) == ("namespaces", "host")
    lacks = said["lacks"]
    assert [word for word in ("user id", "network", "limits", "/tmp") if word in str(lacks)] == [
        "user id", "network", "limits", "/tmp",
    ]  # fmt: skip
    for lack in lacks:
        assert node.log.count(lack) == 1
    assert "Isolation  namespaces, without root\n" in node.log


def test_functions_without_a_network_reach_nothing(tmp_path: Path) -> None:
    user = Ordinary(tmp_path / "home")
    source = """
import os, socket
def handler(event, context):
    with open("/proc/net/dev") as file:
        names = [line.split(":")[0].strip() for line in file if ":" in line]
    try:
        socket.create_connection(("127.0.0.1", event["port"]), 1)
        return names, "reached"
    except OSError as exc:
        return names, exc.strerror
"""
    settings = {"network": "isolated"}
    with running(user.home / "data", settings=settings, prefix=user.prefix) as node:
        create(node.client(), "alone", source)
        port = int(node.url.rpartition(":")[2])
        answer = json.loads(invoke(node.client(), "alone", b'{"port": %d}' % port))
        assert answer == [["lo"], "Connection refused"]
        assert health(node)["network"] == "isolated"
    assert not user.processes()


@pytest.mark.parametrize(
    ("mode", "advice"),
    [
        ("no-namespaces", "`sysctl user.max_user_namespaces=15000`"),
        ("covered-proc", "systempaths=unconfined"),
    ],
)
def test_where_namespaces_are_refused_functions_are_plain_processes_and_it_says_so(
    tmp_path: Path, mode: str, advice: str
) -> None:
    user = Ordinary(tmp_path / "home", mode)
    with running(user.home / "data", prefix=user.prefix) as node:
        create(node.client(), "open", "def handler(event, context): return 'ran'")
        assert invoke(node.client(), "open") == b'"ran"'
        [lack] = health(node)["lacks"]
        assert health(node)["isolation"] == "process"
        assert "nothing is isolated" in lack
        assert advice in lack
        assert f"WARNING lambdabox: {lack}" in node.log
    assert not user.processes()


def run(user: Ordinary, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*user.prefix, PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("mode", "option", "reason"),
    [
        ("no-namespaces", ("--isolation", "namespaces"), "the kernel refuses user namespaces"),
        ("no-namespaces", ("--network", "isolated"), "the kernel refuses user namespaces"),
        ("all", ("--network", "nat"), "a network of their own takes root"),
    ],
)
def test_what_is_asked_for_and_cannot_be_had_is_refused(
    tmp_path: Path, mode: str, option: tuple[str, str], reason: str
) -> None:
    user = Ordinary(tmp_path / "home", mode)
    done = run(user, "up", "--port", "0", "--data-dir", user.home / "data", *option)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
    assert not user.processes()


def test_the_doctor_says_what_this_user_has_and_what_root_would_have(tmp_path: Path) -> None:
    user = Ordinary(tmp_path / "home")
    done = run(user, "doctor", "--json", "--endpoint", "http://127.0.0.1:1")
    found = json.loads(done.stdout)["isolation"]
    assert found["isolation"] == "namespaces, without root"
    assert found["network"].startswith("host")
    assert any("limits" in lack for lack in found["lacks"])
    refused = run(replace(user, mode="no-namespaces"), "doctor", "--endpoint", "http://127.0.0.1:1")
    assert "none: functions are plain processes" in refused.stdout
    assert "sysctl user.max_user_namespaces=15000" in refused.stdout
    assert not user.processes()


def test_the_doctor_tells_of_a_node_that_runs(node: Node) -> None:
    done = subprocess.run(
        [PROGRAM, "doctor", "--endpoint", node.url], capture_output=True, text=True, check=True
    )
    assert "Its isolation  namespaces, network host" in done.stdout
    json_ = subprocess.check_output([PROGRAM, "doctor", "--json", "--endpoint", node.url])
    shown = json.loads(json_)
    assert shown["node"]["health"]["lacks"] == health(node)["lacks"]


def test_a_directory_of_a_root_node_is_refused_with_a_reason(tmp_path: Path) -> None:
    prefix = Ordinary(tmp_path / "home").prefix
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # so that what refuses is the data directory itself
        data = Path(place, "data")
        with running(data):
            pass
        command = [*prefix, PROGRAM, "up", "--port", "0", "--data-dir", data]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "It belongs to a node that was started as root" in done.stderr
    assert "Traceback" not in done.stderr


def test_killed_nodes_of_an_ordinary_user_leave_no_process(tmp_path: Path) -> None:
    user = Ordinary(tmp_path / "home")
    node = Node(user.home / "data", prefix=user.prefix).start()
    create(node.client(), "one", "def handler(event, context): return 1")
    assert invoke(node.client(), "one") == b"1"
    node.kill()
    assert eventually(lambda: not user.processes(), within=10)
