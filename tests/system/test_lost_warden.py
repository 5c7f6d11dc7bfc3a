"""A node without the process that makes sandboxes is none: it ends, and can start again."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.deploying import create, invoke
from support.node import Node
from support.ordinary import Ordinary
from support.processes import children_of, eventually


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def descendants(pid: int) -> set[int]:
    found = children_of(pid)
    return found.union(*(descendants(child) for child in found))


@pytest.fixture(params=["root", "rootless"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    user = Ordinary(tmp_path / "home")
    prefix = user.prefix
    settings = {"network": "auto"}
    if request.param == "root":
        node = Node(tmp_path / "data", settings=settings)
    else:
        node = Node(user.home / "data", settings=settings, prefix=prefix)
    yield node
    node.kill()


@pytest.mark.parametrize("which", ["outer", "inner"])
def test_a_node_whose_warden_is_killed_ends_with_everything_and_starts_again(
    node: Node, which: str
) -> None:
    node.start()
    create(node.client(), "one", "def handler(event, context): return 1")
    assert invoke(node.client(), "one") == b"1"
    [outer] = children_of(node.pid)
    [inner] = children_of(outer)
    others = descendants(inner)
    assert others  # fork servers and sandboxes
    os.kill(outer if which == "outer" else inner, signal.SIGKILL)
    # It ends by itself: `stop` would make an orderly end of it.
    assert node.wait() == 1
    assert "the process that makes sandboxes has ended" in node.log
    assert "Traceback" not in node.log
    assert eventually(lambda: not any(map(is_alive, {outer, inner, *others})), within=10)
    node.start()
    assert invoke(node.client(), "one") == b"1"
    assert node.stop() == 0


def test_a_node_told_to_stop_while_its_warden_starts_leaves_nothing(tmp_path: Path) -> None:
    user = Ordinary(tmp_path / "home")
    command = [*user.prefix, *Node(user.home / "data").command]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert eventually(lambda: len(user.processes()) > 1, within=20)
            process.terminate()
            process.communicate(timeout=20)
        assert eventually(lambda: not user.processes(), within=10)
