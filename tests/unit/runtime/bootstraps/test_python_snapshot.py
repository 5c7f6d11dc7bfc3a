"""The Python bootstrap at its restore point: hooks, randomness, and forks of it."""

import json
import socket
import time
from pathlib import Path

import pytest
from bootstrap_harness import (
    BOOTSTRAPS,
    Frame,
    Start,
    python_interpreter,
    returning,
    running,
    sandbox,
)

SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
SNAPSHOT, READY = Frame("S", b""), Frame("N", b"")
PATIENCE = 20.0

HOOKS = """
from snapshot_restore_py import register_after_restore, register_before_snapshot
calls = []
def note(*args, **kwargs):
    calls.append([*args, *kwargs.values()])
assert register_before_snapshot(note, 'before', more=1) is note
register_before_snapshot(note, 'before', 2)
register_after_restore(note, 'after', 1)
@register_after_restore
def last():
    calls.append('last')
"""


def test_hooks_run_around_the_restore_point(python: Start) -> None:
    with python(returning("calls", head=HOOKS), environment=SNAP_START) as box:
        assert box.receive() == SNAPSHOT
        box.restore()
        box.ready()
        assert box.invoke().value == [["before", 2], ["before", 1], ["after", 1], "last"]


def test_without_snap_start_no_hook_runs(python: Start) -> None:
    with python(returning("calls", head=HOOKS)) as box:
        box.ready()
        assert box.invoke().value == []


def test_a_function_without_hooks_stops_there_too(python: Start) -> None:
    source = returning("[os.environ['GIVEN'], 'random' in sys.modules]", head="import os, sys")
    with python(source, environment=SNAP_START) as box:
        assert box.receive() == SNAPSHOT
        box.restore(GIVEN="é")
        box.ready()
        assert box.invoke().value == ["é", False]


@pytest.mark.parametrize(
    ("hook", "kind", "error_type", "status"),
    [
        ("before_snapshot", "X", "Runtime.BeforeSnapshotError", 64),
        ("after_restore", "H", "Runtime.AfterRestoreError", 65),
    ],
)
def test_a_hook_that_raises_ends_the_process(
    python: Start, hook: str, kind: str, error_type: str, status: int
) -> None:
    head = (
        f"from snapshot_restore_py import register_{hook}\n"
        f"@register_{hook}\ndef broken():\n    raise ValueError('no database')\n"
    )
    with python(returning("1", head=head), environment=SNAP_START) as box:
        if kind == "H":
            assert box.receive() == SNAPSHOT
            box.restore()
        answer = box.receive()
        assert answer is not None
        assert (answer.kind, answer.error_type) == (kind, error_type)
        assert answer.error["errorType"] == "ValueError"
        assert "in broken" in answer.error["stackTrace"][0]
        assert box.status() == status
        assert "[ERROR] ValueError: no database" in box.end()


def test_a_node_that_goes_away_at_the_restore_point_ends_the_process(python: Start) -> None:
    with python(returning("1"), environment=SNAP_START) as box:
        assert box.receive() == SNAPSHOT
        box.end()
        assert box.process.returncode == 0


def test_the_module_that_the_function_brings_is_used(python: Start) -> None:
    own = (
        "hooks = []\n"
        "def get_before_snapshot():\n    return []\n"
        "def get_after_restore():\n    return hooks\n"
    )
    app = returning(
        "calls",
        head="import snapshot_restore_py as s\ncalls = []\n"
        "s.hooks.append((calls.append, ('own',), {}))",
    )
    files = {"app.py": app, "snapshot_restore_py.py": own}
    with python(files, environment=SNAP_START) as box:
        assert box.receive() == SNAPSHOT
        box.restore()
        box.ready()
        assert box.invoke().value == ["own"]


def test_prints_of_hooks_are_in_the_log_in_order(python: Start) -> None:
    head = (
        "import snapshot_restore_py as s\nprint('init')\n"
        "s.register_before_snapshot(print, 'before')\ns.register_after_restore(print, 'after')"
    )
    with python(running("print('event')", head=head), environment=SNAP_START) as box:
        assert box.receive() == SNAPSHOT
        box.restore()
        box.ready()
        box.invoke()
        assert box.end() == "init\nbefore\nafter\nevent\n"


# A process that forks at its restore point, as a fork server makes it do.

FORKING = """
import os, select, socket, sys
from pathlib import Path

here, directory = sys.argv[1:]
sys.path.insert(0, here)
from lambdabox_bootstrap import snapshot
from lambdabox_bootstrap.server import serve

def fork_at(channel):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(directory + "/door")
    listener.listen()
    number = 0
    while True:
        readable, _, _ = select.select([listener, channel], [], [])
        if channel in readable:
            return None
        connection, _ = listener.accept()
        number += 1
        if os.fork() == 0:
            listener.close()
            output = os.open(f"{directory}/output{number}", os.O_CREAT | os.O_WRONLY)
            os.dup2(output, 1)
            os.dup2(output, 2)
            return connection.detach()
        connection.close()

snapshot.fork_point = fork_at
sys.path.remove(here)
sys.exit(serve(int(os.environ["LAMBDABOX_CHANNEL_FD"])))
"""

FUNCTION = """
import os, random, sys
import logging
from snapshot_restore_py import register_after_restore
state, seen = random.getstate(), []
register_after_restore(lambda: seen.append(random.getstate() != state))
class FakeNumpyRandom:
    seeded = 0
    def seed(self):
        FakeNumpyRandom.seeded += 1
sys.modules['numpy.random'] = FakeNumpyRandom()
def handler(event, context):
    print('printed', os.environ['NAME'])
    logging.warning('logged')
    return {'random': random.random(), 'reseeded': seen, 'name': os.environ['NAME'],
            'pid': os.getpid(), 'numpy': FakeNumpyRandom.seeded}
"""


class Fork:
    """The node's side of one fork's channel."""

    def __init__(self, door: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._socket.connect(str(door))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < deadline, "nobody listens at the door"

    def send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(len(body).to_bytes(4) + kind + body)

    def receive(self) -> Frame:
        head = self._socket.recv(5, socket.MSG_WAITALL)
        length = int.from_bytes(head[:4])
        body = self._socket.recv(length, socket.MSG_WAITALL) if length else b""
        return Frame(chr(head[4]), body)

    def close(self) -> None:
        self._socket.close()


def test_each_fork_goes_on_by_itself(python_version: str, tmp_path: Path) -> None:
    interpreter = python_interpreter(python_version)
    if interpreter is None:
        pytest.skip(f"no Python {python_version} on this machine")
    (tmp_path / "task").mkdir()
    script = tmp_path / "forking.py"
    script.write_text(FORKING)
    command = [interpreter, "-S", str(script), str(BOOTSTRAPS / "python"), str(tmp_path)]
    values = []
    with sandbox(
        command,
        tmp_path / "task",
        {"app.py": FUNCTION},
        handler="app.handler",
        environment=SNAP_START,
    ) as template:
        assert template.receive() == SNAPSHOT
        for name in ("one", "two"):
            fork = Fork(tmp_path / "door")
            fork.send(b"T", json.dumps({"NAME": name}).encode())
            assert fork.receive() == READY
            head = "\0".join(("id", str(2**41), "arn", "", "", "", "")).encode()
            fork.send(b"I", len(head).to_bytes(4) + head + b"{}")
            values.append(fork.receive().value)
            assert fork.receive() == READY
            fork.close()
        # The process itself can still be restored, and serves on the channel it had.
        template.restore(NAME="template")
        template.ready()
        values.append(template.invoke().value)
        assert "printed template" in template.end()
    assert [value["name"] for value in values] == ["one", "two", "template"]
    assert all(value["reseeded"] == [True] for value in values)
    assert all(value["numpy"] == 1 for value in values)
    assert len({value["random"] for value in values}) == 3
    assert len({value["pid"] for value in values}) == 3
    for number, name in enumerate(("one", "two"), start=1):
        output = (tmp_path / f"output{number}").read_text()
        assert output.startswith(f"printed {name}\n[WARNING]\t")
