"""SnapStart with real snapshots: initialised functions forked into sandboxes of their own."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from support import networks
from support.functions import await_active, create, eventually, invoke, log_messages
from support.node import Node, running
from support.programs import needed
from support.sandboxes import named

RUNTIME = "python3.12"
SNAP_START = {"ApplyOn": "PublishedVersions"}

FUNCTION = """
import os, random, time
from snapshot_restore_py import register_after_restore
token, restored = os.urandom(8).hex(), []
register_after_restore(restored.append, "restored")
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    with open("/tmp/events", "a") as file: file.write("x")
    with open("/proc/net/dev") as devices: interfaces = devices.read().count(":")
    return {"token": token, "random": random.random(), "restored": restored,
            "events": os.path.getsize("/tmp/events"), "user": os.getuid(),
            "stream": context.log_stream_name, "interfaces": interfaces}
"""

DATABASE = """
import http.client, os, urllib.parse
from snapshot_restore_py import register_after_restore
address = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
def connect():
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("GET", "/_lambdabox/health")
    return connection, connection.getresponse().read()
connection, first = connect()
broken = None
@register_after_restore
def reconnect():
    global connection, broken
    old = connection
    try:
        old.sock.sendall(b"GET /_lambdabox/health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        broken = old.sock.recv(10) == b""
    except OSError as exc:
        broken = True
    connection, _ = connect()
def handler(event, context):
    connection.request("GET", "/_lambdabox/health")
    return [broken, connection.getresponse().status]
"""

THREADS = """
import threading, time
threading.Thread(target=time.sleep, args=(3600,), daemon=True, name="collector").start()
def handler(event, context):
    return "served"
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    networks.require_root()
    needed(RUNTIME)
    needed("nft")
    directory = tmp_path_factory.mktemp("snapshots")
    with running(directory / "data", settings={"network": "nat"}) as node:
        yield node


@pytest.fixture(scope="module")
def client(node: Node) -> Any:
    return node.client()


def published(client: Any, name: str, source: str, **settings: Any) -> str:
    """Create a SnapStart function, publish a version, and wait until it has a snapshot."""
    create(client, name, source, Runtime=RUNTIME, SnapStart=SNAP_START, **settings)
    await_active(client, name)
    version: str = client.publish_version(FunctionName=name)["Version"]

    def is_settled() -> bool:
        found = client.get_function_configuration(FunctionName=name, Qualifier=version)
        return bool(found["State"] != "Pending")

    eventually(is_settled)
    return version


def test_environments_share_an_init_and_nothing_else(client: Any) -> None:
    version = published(client, "shared-init", FUNCTION)
    with ThreadPoolExecutor(4) as threads:
        calls = [
            threads.submit(invoke, client, "shared-init", {"sleep": 0.3}, Qualifier=version)
            for _ in range(4)
        ]
        found = [call.result().value for call in calls]
    assert len({one["token"] for one in found}) == 1
    assert len({one["random"] for one in found}) == 4
    assert [one["restored"] for one in found] == [["restored"]] * 4
    assert [one["events"] for one in found] == [1] * 4
    assert {one["user"] for one in found} == {993}
    assert {one["interfaces"] for one in found} == {2}


def test_the_report_names_the_restore(client: Any) -> None:
    version = published(client, "reported", FUNCTION)
    result = invoke(client, "reported", {}, Qualifier=version, LogType="Tail")
    assert re.search(r"\tRestore Duration: [\d.]+ ms\tBilled Restore Duration: \d+ ms", result.log)
    assert "Init Duration" not in result.log
    again = invoke(client, "reported", {}, Qualifier=version, LogType="Tail")
    assert "Restore Duration" not in again.log
    assert again.value["events"] == 2


def test_a_connection_of_init_is_dead_after_a_restore_and_can_be_opened_again(client: Any) -> None:
    version = published(client, "connected", DATABASE)
    assert invoke(client, "connected", {}, Qualifier=version).value == [True, 200]


def test_a_function_whose_init_leaves_threads_runs_its_own_init_and_says_so(
    client: Any, node: Node
) -> None:
    version = published(client, "threaded", THREADS)
    assert invoke(client, "threaded", {}, Qualifier=version).value == "served"
    logs = node.client("logs")
    told = eventually(
        lambda: [
            line
            for line in log_messages(logs, "/aws/lambda/threaded")
            if "SNAPSHOT_UNUSABLE" in line
        ]
    )
    assert "1 thread running (collector)" in told[0]


@pytest.mark.parametrize("fault", ["ctypes.string_at(0)", "os._exit(3)", "sys.exit(4)"])
def test_a_clone_that_ends_is_told_and_replaced(client: Any, fault: str) -> None:
    name = "ends-" + re.sub(r"\W+", "-", fault).strip("-")
    body = f"    if event: {fault}\n    return 'ok'\n"
    version = published(
        client, name, f"import ctypes, os, sys\ndef handler(event, context):\n{body}"
    )
    assert invoke(client, name, {"now": 1}, Qualifier=version).error == "Unhandled"
    assert invoke(client, name, {}, Qualifier=version).value == "ok"


def test_a_clone_has_the_limits_of_any_sandbox(client: Any) -> None:
    source = """
import ctypes, os, resource
def attempt(what):
    try: what()
    except OSError as exc: return exc.errno
    return 0
def handler(event, context):
    libc = ctypes.CDLL(None, use_errno=True)
    unshare = libc.unshare(0x10000000)
    status = open("/proc/self/status").read()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {"unshare": unshare, "caps": fields["CapEff"].strip() + fields["CapPrm"].strip(),
            "privs": fields["NoNewPrivs"].strip(), "filters": fields["Seccomp"].strip(),
            "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            "processes": sorted(p for p in os.listdir("/proc") if p.isdigit()),
            "task": attempt(lambda: open("/var/task/x", "w"))}
"""
    version = published(client, "limited", source)
    found = invoke(client, "limited", {}, Qualifier=version).value
    assert found == {
        "unshare": -1,
        "caps": "0" * 32,
        "privs": "1",
        "filters": "2",
        "files": 1024,
        "processes": ["1"],
        "task": 30,
    }


def test_a_memory_bomb_ends_a_clone_and_not_its_template(client: Any) -> None:
    source = "def handler(event, context):\n    return len(bytearray(event)) if event else 'ok'\n"
    version = published(client, "bomb", source.replace("bytearray(event)", "b'x' * event"))
    result = invoke(client, "bomb", 600_000_000, Qualifier=version, LogType="Tail")
    assert result.error == "Unhandled"
    assert "Max Memory Used: 128 MB" in result.log
    assert invoke(client, "bomb", 0, Qualifier=version).value == "ok"


def test_a_template_that_is_killed_is_made_again(client: Any) -> None:
    source = "open('/proc/self/comm', 'w').write('lbxtemplate')\n" + FUNCTION
    version = published(client, "killed", source)
    before = invoke(client, "killed", {}, Qualifier=version).value["token"]
    for pid in named("lbxtemplate"):
        with suppress(ProcessLookupError):  # clones end with their template
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        result = invoke(client, "killed", {}, Qualifier=version)
        if result.error is None and result.value["token"] != before:
            return
    pytest.fail("the function never came back")


def test_deleting_the_function_ends_its_template(client: Any) -> None:
    source = "open('/proc/self/comm', 'w').write('lbxdeleted')\n" + FUNCTION
    version = published(client, "deleted", source)
    invoke(client, "deleted", {}, Qualifier=version)
    assert named("lbxdeleted")
    client.delete_function(FunctionName="deleted")
    eventually(lambda: not named("lbxdeleted"))
