"""`lambdabox dev` for real: a file is saved, and the function that answers is the new one."""

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.functions import eventually, invoke
from support.node import PROGRAM, Node, running

WAIT_SECONDS = 60.0


class Dev:
    """A running `lambdabox dev --json`, whose lines are read as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: queue.Queue[Mapping[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(json.loads(line))

    def told(self, event: str, containing: str = "") -> Mapping[str, Any]:
        """The next line of this kind; others on the way are passed over."""
        while True:
            line = self._lines.get(timeout=WAIT_SECONDS)
            if line["Event"] == event and containing in str(line):
                return line

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(WAIT_SECONDS)
        self._reader.join()
        return status


@contextmanager
def developing(node: Node, source: Path, *options: str) -> Iterator[Dev]:
    process = subprocess.Popen(
        [PROGRAM, "dev", source, "--endpoint", node.url, "--json", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    dev = Dev(process)
    try:
        yield dev
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("dev") / "node") as node:
        yield node


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    name: str = request.node.name
    root = tmp_path / name.replace("_", "-")[:40]
    root.mkdir()
    save(root, 1)
    return root


def save(source: Path, number: int) -> None:
    text = f"def handler(event, context):\n    print('in version {number}')\n    return {number}\n"
    (source / "app.py").write_text(text)


def test_a_save_is_what_runs_next_and_its_log_is_shown(node: Node, source: Path) -> None:
    client = node.client()
    with developing(node, source) as dev:
        name = dev.told("ready")["FunctionName"]
        assert invoke(client, name).value == 1
        dev.told("log", "in version 1")
        save(source, 2)
        updated = dev.told("updated")
        assert updated["Files"] == ["app.py"]
        assert updated["Milliseconds"] > 0
        assert invoke(client, name).value == 2
        dev.told("log", "in version 2")
        assert dev.end(signal.SIGINT) == 0
        dev.told("ended")
    assert invoke(client, name).value == 2


def test_a_save_is_invoked_where_an_event_is_given(node: Node, source: Path) -> None:
    with developing(node, source, "--template", "s3-put") as dev:
        dev.told("ready")
        (source / "app.py").write_text(
            "def handler(event, context):\n    return event['Records'][0]['eventSource']\n"
        )
        assert dev.told("invoked") == {"Event": "invoked", "Payload": '"aws:s3"', "Error": None}
        (source / "app.py").write_text("def handler(event, context):\n    return 1 / 0\n")
        assert dev.told("invoked")["Error"] == "ZeroDivisionError: division by zero"
        assert dev.end(signal.SIGTERM) == 0


def test_what_cannot_be_deployed_is_told_and_the_next_save_is(node: Node, source: Path) -> None:
    client = node.client()
    with developing(node, source) as dev:
        name = dev.told("ready")["FunctionName"]
        (source / "outside").symlink_to("/etc/hostname")
        assert "outside the directory" in dev.told("problem")["Message"]
        assert invoke(client, name).value == 1
        (source / "outside").unlink()
        save(source, 3)
        eventually(lambda: invoke(client, name).value == 3)
        assert dev.end(signal.SIGINT) == 0


def test_what_was_saved_while_the_node_was_away_is_deployed_after(
    tmp_path: Path, source: Path
) -> None:
    with ExitStack() as stack:
        own = Node(tmp_path / "data").start()
        stack.callback(own.kill)
        dev = stack.enter_context(developing(own, source))
        name = dev.told("ready")["FunctionName"]
        port = own.url.rpartition(":")[2]
        assert own.stop() == 0
        dev.told("problem", "cannot reach a node")
        save(source, 4)
        again = Node(tmp_path / "data", options=["--port", port]).start()
        stack.callback(again.kill)
        dev.told("updated")
        assert invoke(again.client(), name).value == 4
        assert dev.end(signal.SIGINT) == 0
        assert again.stop() == 0
