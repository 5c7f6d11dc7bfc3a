"""Every event that was accepted is run at least once, however often the node dies meanwhile."""

import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.deploying import create
from support.functions import ACCOUNT
from support.load import Clients, Ledger, send_events
from support.node import Node
from support.processes import eventually
from support.starting import Start, starting

ROUNDS = 4
SENDERS = 4
MOST_BEFORE_KILL = 150
SETTLED_WITHIN = 60.0
SETTINGS = {"isolation": "process", "async_retry_delays": "0.05,0.1"}

# Fails for a third of the events, and for good: those end with the listener.
WORK = """
import os, pathlib, zlib
def handler(event, context):
    if isinstance(event, dict):
        event = event["requestPayload"]
        pathlib.Path({folder!r}, "told", event).touch()
    else:
        pathlib.Path({folder!r}, "run", event).touch()
        if zlib.crc32(event.encode()) % 3 == 0:
            raise ValueError(event)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path / "data") as start:
        yield start


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_accepted_event_is_lost_by_kills_under_load(start: Start, tmp_path: Path) -> None:
    run, told = tmp_path / "run", tmp_path / "told"
    run.mkdir()
    told.mkdir()
    node = start(SETTINGS)
    _deploy(node.client(), tmp_path)
    ledger, chance = Ledger(), random.Random(20261123)  # noqa: S311  # when to kill is no secret
    for number in range(ROUNDS):
        _send_until_killed(node, ledger, f"round{number}", chance.randrange(MOST_BEFORE_KILL))
        node.start()
    failing = {event for event in ledger.events if _fails(event)}
    assert len(ledger.events) > ROUNDS * SENDERS
    assert failing
    assert eventually(lambda: ledger.events <= names(run), within=SETTLED_WITHIN), (
        f"{len(ledger.events - names(run))} of {len(ledger.events)} events were never run"
    )
    assert eventually(lambda: failing <= names(told), within=SETTLED_WITHIN), (
        f"{len(failing - names(told))} of {len(failing)} failures were never told"
    )
    assert not ledger.wrong


def _fails(event: str) -> bool:
    return zlib.crc32(event.encode()) % 3 == 0


def _deploy(client: Any, folder: Path) -> None:
    source = WORK.format(folder=str(folder))
    create(client, "listener", source, Timeout=30)
    create(client, "work", source, Timeout=30)
    client.put_function_event_invoke_config(
        FunctionName="work",
        MaximumRetryAttempts=1,
        DestinationConfig={
            "OnFailure": {"Destination": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:listener"}
        },
    )


def _send_until_killed(node: Node, ledger: Ledger, prefix: str, further: int) -> None:
    """Kill the node once it has accepted so many events more, and one for each sender."""
    clients, before = Clients(ledger), len(ledger.events)
    client = node.client()
    for number in range(SENDERS):
        clients.add(send_events, client, "work", f"{prefix}-{number}", ledger)
    assert eventually(lambda: len(ledger.events) - before >= further + SENDERS, within=60)
    node.kill()
    clients.join()
