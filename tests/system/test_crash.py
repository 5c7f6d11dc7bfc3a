"""A node that is killed loses nothing it has answered for, and leaves nothing behind."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.deploying import create as create_active
from support.deploying import invoke, settle
from support.load import (
    Clients,
    Ledger,
    create_and_delete,
    create_many,
    invoke_forever,
    marking,
    send_events,
    update_forever,
)
from support.node import Node
from support.packages import python_package
from support.processes import eventually, sandboxes_of
from support.starting import starting


@pytest.fixture(autouse=True)
def _plain_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions here tell of themselves in files of the host, which a sandbox would not see."""
    monkeypatch.setenv("LAMBDABOX_ISOLATION", "process")


ROUNDS = 3
ANSWERS_BEFORE_KILL = 60
REPEATED_WITHIN = 10.0

HELLO = "def handler(event, context): return 'hello'"
DAEMON = """
import os, time
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(60)
        os._exit(0)
"""
ENDLESS = "import time\ndef handler(event, context): time.sleep(600)"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with starting(tmp_path / "data") as start:
        yield start()


def test_what_was_answered_survives_kills_under_load(node: Node, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    client = node.client()
    create_active(client, "mark", marking(marks), Timeout=30)
    create_active(client, "hello", HELLO)
    ledger = Ledger()
    for number in range(ROUNDS):
        _work_until_killed(node, ledger, f"round{number}")
        left = sandboxes_of(node.data_dir)
        node.start()
        _check_functions(node.client(), ledger)
        assert not [process for process in left if process.is_alive()]
        assert eventually(
            lambda: ledger.events <= set(os.listdir(marks)), within=REPEATED_WITHIN
        ), ledger.events - set(os.listdir(marks))
    assert not ledger.wrong


def _work_until_killed(node: Node, ledger: Ledger, prefix: str) -> None:
    clients = Clients(ledger)
    before = ledger.count
    client = node.client()
    clients.add(create_many, client, f"{prefix}-new", ledger)
    clients.add(create_and_delete, client, f"{prefix}-gone", ledger)
    clients.add(update_forever, client, f"{prefix}-changed-a", ledger)
    clients.add(update_forever, client, f"{prefix}-changed-b", ledger)
    clients.add(invoke_forever, client, "hello", b'"hello"', ledger)
    clients.add(send_events, client, "mark", prefix, ledger)
    enough = before + ANSWERS_BEFORE_KILL
    assert eventually(lambda: ledger.count >= enough or bool(ledger.wrong), within=30)
    assert not ledger.wrong
    node.kill()
    clients.join()


def _check_functions(client: Any, ledger: Ledger) -> None:
    pages = client.get_paginator("list_functions").paginate()
    found = {function["FunctionName"] for page in pages for function in page["Functions"]}
    assert ledger.answered.keys() <= found
    assert not ledger.deleted & found
    for name in found - {"mark", "hello"}:
        settled = settle(client, name)
        assert (settled["State"], settled["LastUpdateStatus"]) == ("Active", "Successful")
    changed = {name for name in ledger.answered if "changed" in name}
    new = sorted(ledger.answered.keys() - changed)[:3]
    for name in (*changed, *new):
        _check_function(client, name, ledger)


def _check_function(client: Any, name: str, ledger: Ledger) -> None:
    possible = {ledger.answered[name], ledger.asked.get(name, ledger.answered[name])}
    answer = invoke(client, name)
    [found] = [wanted for wanted in possible if wanted.answer == answer]
    function = client.get_function(FunctionName=name)
    shown = function["Configuration"]
    assert shown["Environment"]["Variables"] == {"SETTING": str(found.setting)}
    assert shown["CodeSize"] == len(found.package)
    if name not in ledger.asked:
        assert function["Tags"] == {"made": "here"}
    ledger.answered[name] = found
    ledger.asked.pop(name, None)


def test_no_process_of_a_killed_node_is_left_after_the_restart(node: Node) -> None:
    client = node.client()
    create_active(client, "daemon", DAEMON)
    invoke(client, "daemon")
    # The runtime, and what escaped from its process group.
    assert eventually(lambda: len(sandboxes_of(node.data_dir)) == 2, within=5)
    left = sandboxes_of(node.data_dir)
    node.kill()
    node.start()
    assert not [process for process in left if process.is_alive()]


def test_scratch_code_and_blobs_that_nothing_refers_to_are_gone_after_the_restart(
    node: Node,
) -> None:
    client = node.client()
    create_active(client, "kept", HELLO)
    create_active(client, "deleted", "def handler(event, context): return 'deleted'")
    invoke(client, "kept")
    invoke(client, "deleted")
    client.delete_function(FunctionName="deleted")
    node.kill()
    data = node.data_dir
    (data / "blobs" / "incoming" / "half").write_bytes(b"half a package")
    (data / "staged" / ".unpacking-0123").mkdir()
    orphan = hashlib.sha256(b"orphan").hexdigest()
    (data / "blobs" / orphan[:2] / orphan[2:4]).mkdir(parents=True, exist_ok=True)
    (data / "blobs" / orphan[:2] / orphan[2:4] / orphan).write_bytes(b"orphan")
    staged = data / "staged" / hashlib.sha256(python_package(HELLO)).hexdigest()
    staged.rename(data / "staged" / ".removed-0123")
    node.start()
    kept = hashlib.sha256(python_package(HELLO)).hexdigest()
    assert [path.name for path in (data / "blobs").rglob("*") if path.is_file()] == [kept]
    assert not [path for path in (data / "staged").iterdir() if path.is_dir()]
    environments = data / "environments"
    assert not environments.exists() or not list(environments.iterdir())
    assert invoke(node.client(), "kept") == b'"hello"'  # unpacked again
    assert [path.name for path in (data / "staged").iterdir() if path.is_dir()] == [kept]


def test_an_event_that_was_running_when_the_node_died_runs_again(
    node: Node, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    starts.mkdir()
    source = (
        "import os, time, uuid\n"
        "def handler(event, context):\n"
        f"    open(os.path.join({str(starts)!r}, uuid.uuid4().hex), 'x').close()\n"
        "    time.sleep(event)\n"
    )
    client = node.client()
    create_active(client, "slow", source, Timeout=60)
    client.invoke(FunctionName="slow", InvocationType="Event", Payload=b"30")
    assert eventually(lambda: len(os.listdir(starts)) == 1, within=10)
    node.kill()
    node.start()
    assert eventually(lambda: len(os.listdir(starts)) == 2, within=REPEATED_WITHIN)
