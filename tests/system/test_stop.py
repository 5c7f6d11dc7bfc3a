"""A node that is told to stop answers what it has begun, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from support.deploying import create, invoke
from support.node import PROGRAM, Node
from support.processes import eventually, sandboxes_of
from support.starting import Start, starting


@pytest.fixture(autouse=True)
def _plain_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions here tell of themselves in files of the host, which a sandbox would not see."""
    monkeypatch.setenv("LAMBDABOX_ISOLATION", "process")


GATED = """
import os, time
def handler(event, context):
    open(os.path.join({directory!r}, 'started'), 'w').close()
    while not os.path.exists(os.path.join({directory!r}, 'go')):
        time.sleep(0.01)
    return 'answered'
"""
ENDLESS = """
import os, time
def handler(event, context):
    open(os.path.join({directory!r}, 'started'), 'w').close()
    while True: time.sleep(60)
"""
STOPPED_WITHIN = 8.0


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path / "data") as start:
        yield start


class Caller(threading.Thread):
    """Invokes a function once, and keeps the answer or the error."""

    def __init__(self, client: Any, name: str) -> None:
        super().__init__()
        self._client = client
        self._name = name
        self.answer: bytes | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.answer = invoke(self._client, self._name)
        except (AssertionError, BotoCoreError, ClientError) as exc:
            self.error = exc


def begin(node: Node, tmp_path: Path, source: str) -> Caller:
    """Create the function, call it, and return once it runs."""
    client = node.client()
    create(client, "slow", source.format(directory=str(tmp_path)), Timeout=300)
    caller = Caller(client, "slow")
    caller.start()
    assert eventually((tmp_path / "started").exists, within=15)
    return caller


def is_listening(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def check_nothing_is_left(node: Node) -> None:
    assert not sandboxes_of(node.data_dir)
    assert not is_listening(node.url)
    environments = node.data_dir / "environments"
    assert not environments.exists() or not os.listdir(environments)
    assert "Traceback" not in node.log


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=lambda sign: sign.name)
def test_an_invocation_in_flight_is_answered_before_the_node_ends(
    start_node: Start, tmp_path: Path, sign: signal.Signals
) -> None:
    node = start_node()
    invoke_idle(node)
    caller = begin(node, tmp_path, GATED)
    os.kill(node.pid, sign)
    assert eventually(lambda: not is_listening(node.url), within=5)
    assert caller.is_alive()
    (tmp_path / "go").touch()
    caller.join(10)
    assert caller.answer == b'"answered"', caller.error
    assert node.stop() == 0
    check_nothing_is_left(node)


def invoke_idle(node: Node) -> None:
    """Leave an environment that waits for its next event."""
    create(node.client(), "idle", "def handler(event, context): return 1")
    assert invoke(node.client(), "idle") == b"1"


def test_a_function_that_exits_while_the_node_stops_is_reported(
    start_node: Start, tmp_path: Path
) -> None:
    node = start_node()
    source = GATED.replace("return 'answered'", "os._exit(3)")
    caller = begin(node, tmp_path, source)
    os.kill(node.pid, signal.SIGTERM)
    assert eventually(lambda: not is_listening(node.url), within=5)
    (tmp_path / "go").touch()
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < STOPPED_WITHIN
    caller.join(10)
    assert "exit status 3" in str(caller.error)
    check_nothing_is_left(node)


def test_a_function_that_never_ends_does_not_hold_the_node_beyond_the_drain(
    start_node: Start, tmp_path: Path
) -> None:
    node = start_node({"drain_seconds": "1"})
    caller = begin(node, tmp_path, ENDLESS)
    began = time.monotonic()
    assert node.stop() == 0
    assert 1.0 <= time.monotonic() - began < STOPPED_WITHIN
    caller.join(10)
    assert "The node was stopped" in str(caller.error)
    check_nothing_is_left(node)


def test_an_event_that_never_ends_does_not_hold_the_node_either(
    start_node: Start, tmp_path: Path
) -> None:
    node = start_node({"drain_seconds": "1"})
    client = node.client()
    create(client, "slow", ENDLESS.format(directory=str(tmp_path)), Timeout=300)
    client.invoke(FunctionName="slow", InvocationType="Event")
    assert eventually((tmp_path / "started").exists, within=15)
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < STOPPED_WITHIN
    check_nothing_is_left(node)
    (tmp_path / "started").unlink()
    node.start()  # and it was not lost
    assert eventually((tmp_path / "started").exists, within=10)
    assert node.stop() == 0


def test_a_client_that_keeps_its_connection_open_does_not_hold_the_node(
    start_node: Start, tmp_path: Path
) -> None:
    node = start_node({"drain_seconds": "1"})
    host, _, port = node.url.removeprefix("http://").rpartition(":")
    with (
        socket.create_connection((host, int(port))) as silent,
        socket.create_connection((host, int(port))) as halfway,
    ):
        halfway.sendall(b"POST /2015-03-31/functions HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{")
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < STOPPED_WITHIN
        assert silent.recv(1) == b""
    check_nothing_is_left(node)


def test_a_node_told_to_stop_while_it_starts_stops(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with subprocess.Popen(
        [PROGRAM, "up", "--port", "0", "--data-dir", data],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # The lock is the first thing a starting node makes.
        assert eventually((data / "lock").exists, within=15)
        process.terminate()
        _, errors = process.communicate(timeout=15)
    # Ended by the signal itself, or in an orderly way if it was listening already.
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in errors
    node = Node(data).start()
    assert node.stop() == 0
