"""A node that has worked goes back to what it was before: nothing piles up."""

import json
import os
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.deploying import create, invoke
from support.node import Node, running
from support.processes import (
    children_of,
    eventually,
    memory_kib,
    sandboxes_of,
    threads_of,
)

CYCLES = 200
TIMEOUTS = 50
WARM_UP = 20
AT_ONCE = 8
GROWTH_KIB = 16 * 1024
"""For 200 functions: each leaked environment or package would cost more than 100 KiB."""
ENDLESS = "import time\ndef handler(event, context): time.sleep(600)"


@dataclass(frozen=True, slots=True)
class Footprint:
    descriptors: int
    children: int
    threads: int
    environments: int
    staged: int


def footprint(node: Node) -> Footprint:
    return Footprint(
        open_beside_databases(node.pid),
        len(children_of(node.pid)),
        threads_of(node.pid),
        _entries(node.data_dir / "environments"),
        _entries(node.data_dir / "staged"),
    )


def open_beside_databases(pid: int) -> int:
    """How many descriptors are open, but for a database's: its readers come on demand."""
    opened = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            opened += re.search(r"\.db(-wal|-shm)?$", os.readlink(link)) is None
    return opened


def _entries(directory: Path) -> int:
    return sum(path.is_dir() for path in directory.iterdir()) if directory.exists() else 0


def is_at_rest(node: Node, *, functions: int) -> bool:
    """Whether nothing runs, and only the code of functions that exist is unpacked."""
    now = footprint(node)
    # Sandboxes are no children of the node, but of the one that it keeps for making them.
    children = 1 if isolation_of(node) == "namespaces" else 0
    return (now.children, now.environments, now.staged) == (children, 0, functions)


def isolation_of(node: Node) -> str:
    with urllib.request.urlopen(f"{node.url}/_lambdabox/health") as response:
        name: str = json.load(response)["isolation"]
    return name


def cycle(client: Any, number: int) -> None:
    name = f"cycle-{number}"
    create(client, name, f"def handler(event, context): return {number}")
    assert invoke(client, name) == str(number).encode()
    client.delete_function(FunctionName=name)


def time_out(client: Any) -> None:
    response = client.invoke(FunctionName="endless")
    assert b"Task timed out after 1.00 seconds" in response["Payload"].read()


@pytest.mark.timeout(240)
def test_work_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path / "data") as node:
        client = node.client()
        create(client, "endless", ENDLESS, Timeout=1)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda number: cycle(client, number), range(WARM_UP)))
            assert eventually(lambda: is_at_rest(node, functions=1), within=10), footprint(node)
            before, memory = footprint(node), memory_kib(node.pid)

            list(threads.map(lambda number: cycle(client, number), range(CYCLES)))
            assert eventually(lambda: is_at_rest(node, functions=1), within=10), footprint(node)
            # The same clients hold the same connections, so there is no reason for more.
            assert footprint(node).descriptors <= before.descriptors

        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda _: time_out(client), range(TIMEOUTS)))
        client.delete_function(FunctionName="endless")
        assert eventually(lambda: is_at_rest(node, functions=0), within=10), footprint(node)
        assert not sandboxes_of(node.data_dir)
        after = footprint(node)
        assert after.descriptors <= before.descriptors
        assert after.threads <= before.threads + 8  # workers come on demand, a bounded number
        assert memory_kib(node.pid) - memory < GROWTH_KIB
        with urllib.request.urlopen(f"{node.url}/_lambdabox/health") as response:
            assert json.load(response)["environments"] == 0
