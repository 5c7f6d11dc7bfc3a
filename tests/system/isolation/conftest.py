"""A node for hostile functions, and the proof that they leave nothing behind."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.attacks import ATTACKER, Attack, at_rest
from support.functions import await_active, create, invoke
from support.node import Node, running
from support.processes import eventually
from support.programs import missing, needed
from support.traces import PATIENCE, leaves_nothing, traces_of


@pytest.fixture(scope="session")
def hostile_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with all that isolates, on which nothing may be left when it has stopped."""
    if os.geteuid() != 0:
        missing("sandboxes at full strength are made by root")
    needed("nft")
    data = tmp_path_factory.mktemp("hostile") / "data"
    with running(data, settings={"network": "isolated", "isolation": "namespaces"}) as node:
        yield node
    assert leaves_nothing(data), traces_of(data)


@pytest.fixture
def client(hostile_node: Node) -> Any:
    return hostile_node.client()


@pytest.fixture
def make(hostile_node: Node, client: Any) -> Iterator[Callable[..., str]]:
    """Make functions that are ready. After the test, nothing of them may be left."""
    names: list[str] = []

    def make(source: str = ATTACKER, **settings: Any) -> str:
        name = f"f{len(names)}"
        names.append(name)
        create(client, name, source, **{"MemorySize": 256, "Timeout": 20, **settings})
        await_active(client, name)
        return name

    yield make
    for name in names:
        with suppress(client.exceptions.ResourceNotFoundException):
            client.delete_function(FunctionName=name)
    left = at_rest(hostile_node.data_dir)
    assert eventually(lambda: not at_rest(hostile_node.data_dir), within=PATIENCE), left


@pytest.fixture
def attack(make: Callable[..., str], client: Any) -> Attack:
    """Run `attack()` of the given source inside a function; return what it returns."""

    def attack(source: str, **settings: Any) -> Any:
        name = make(**settings)
        result = invoke(client, name, source)
        assert result.error is None, result.payload
        return result.value

    return attack


@pytest.fixture
def data_dir(hostile_node: Node) -> Path:
    return hostile_node.data_dir
