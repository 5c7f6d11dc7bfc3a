"""kill -9 of each part, at each phase: the rest goes on, or ends and leaves nothing."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from support.attacks import at_rest
from support.functions import ECHO, await_active, create, eventually, invoke
from support.node import Node, running
from support.programs import missing, node_runtime
from support.traces import (
    NONE,
    cgroups_of,
    fork_servers_of,
    inmates_of,
    leaves_nothing,
    processes_of,
    traces_of,
    warden_of,
)

from lambdabox.isolation.warden.users import base_of

SETTINGS = {"network": "isolated", "isolation": "namespaces"}
SLOW_INIT = "import time\ntime.sleep(60)\ndef handler(event, context): pass\n"
SLOW_EVENT = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event\n"
NODE_ECHO = "exports.handler = async (event) => event;\n"
PHASES = ["idle", "init", "invocation"]


class Background:
    """An invocation that somebody else waits for."""

    def __init__(self, node: Node, name: str, event: Any) -> None:
        self.error: str | None = None
        self._thread = threading.Thread(target=self._invoke, args=(node.client(), name, event))
        self._thread.start()

    def _invoke(self, client: Any, name: str, event: Any) -> None:
        try:
            self.error = invoke(client, name, event).error or "none"
        except (ClientError, BotoCoreError) as exc:
            self.error = type(exc).__name__

    def join(self) -> str:
        self._thread.join(30)
        assert self.error is not None, "the invocation does not end"
        return self.error


@pytest.fixture
def busy(hostile_node: Node, make: Callable[..., str]) -> Callable[[str], tuple[str, Background]]:
    def busy(phase: str) -> tuple[str, Background]:
        return begin(hostile_node, make, phase)

    return busy


def begin(node: Node, make: Callable[..., str], phase: str) -> tuple[str, Background]:
    """Make a function, and have a sandbox of it in that phase."""
    before = {inmate.namespace for inmate in assigned(node)}
    name = make(SLOW_INIT if phase == "init" else SLOW_EVENT, Timeout=3 if phase == "init" else 60)
    event = 30 if phase == "invocation" else 0
    background = Background(node, name, event)
    if phase == "idle":
        background.join()
    eventually(lambda: {inmate.namespace for inmate in assigned(node)} - before)
    return name, background


def assigned(node: Node) -> set[Any]:
    """The inmates whose sandbox has been given to a function."""
    found = set()
    for inmate in inmates_of(node.data_dir):
        try:
            mounts = Path(f"/proc/{inmate.pid}/mountinfo").read_text()
        except OSError:
            continue
        if " /var/task " in mounts:
            found.add(inmate)
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_fork_server_is_replaced_and_its_sandboxes_go_on(
    busy: Callable[[str], tuple[str, Background]],
    hostile_node: Node,
    make: Callable[..., str],
    client: Any,
    phase: str,
) -> None:
    name, background = busy(phase)
    kept = assigned(hostile_node)
    before = fork_servers_of(hostile_node.data_dir)
    for pid in before:
        kill(pid)
    assert invoke(client, make(ECHO), "new").value == "new"
    assert fork_servers_of(hostile_node.data_dir) - before
    assert kept <= assigned(hostile_node)
    if phase == "idle":
        assert invoke(client, name, 0).value == 0
    client.delete_function(FunctionName=name)
    for inmate in kept:
        end(inmate.pid)
    background.join()


def end(pid: int) -> None:
    try:
        kill(pid)
    except ProcessLookupError:
        return


def test_fork_servers_killed_again_and_again_fail_nobody_for_long(
    hostile_node: Node, make: Callable[..., str], client: Any
) -> None:
    names = [make(ECHO) for _ in range(6)]
    running = [Background(hostile_node, name, 1) for name in names]
    for _ in range(5):
        for pid in fork_servers_of(hostile_node.data_dir):
            end(pid)
    for one in running:
        one.join()
    for name in names:
        assert invoke(client, name, 2).value == 2


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("whom", ["init", "everyone"])
def test_a_sandbox_that_is_killed_from_outside_is_replaced(
    busy: Callable[[str], tuple[str, Background]],
    hostile_node: Node,
    client: Any,
    phase: str,
    whom: str,
) -> None:
    name, background = busy(phase)
    inside = sorted(assigned(hostile_node), key=lambda inmate: inmate.user)
    for inmate in inside[:1] if whom == "init" else inside:
        end(inmate.pid)
    if phase != "idle":
        # In the next init it would sleep again, so its caller may wait for that one.
        client.delete_function(FunctionName=name)
        for inmate in assigned(hostile_node):
            end(inmate.pid)
    else:
        # Who is frozen dies only when it is thawed, which may be for the next event.
        invoke(client, name, 0)
        assert invoke(client, name, 0).value == 0
    background.join()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("whom", ["node", "warden"])
def test_nothing_is_left_of_a_killed_node_or_warden_after_the_next_start(
    tmp_path: Path, phase: str, whom: str
) -> None:
    if os.geteuid() != 0:
        missing("sandboxes at full strength are made by root")
    data = tmp_path / "data"
    node = Node(data, settings={**SETTINGS, "network": "nat"}).start()
    client = node.client()

    def make(source: str, **settings: Any) -> str:
        create(client, "f", source, **settings)
        await_active(client, "f")
        return "f"

    _, background = begin(node, make, phase)
    if whom == "node":
        node.kill()
    else:
        kill(warden_of(data))
        eventually(lambda: not inmates_of(data) or None)
    # Whoever waited is told, at the latest when the node is gone.
    if whom == "warden":
        eventually(lambda: node.has_ended or None)
        assert node.stop() != 0
        assert "Start the node again" in node.log
    background.join()
    eventually(lambda: not processes_of(data) or None)
    with running(data, settings={**SETTINGS, "network": "nat"}) as again:
        await_active(again.client(), "f")
        eventually(lambda: not at_rest(data) or None)
    assert leaves_nothing(data), traces_of(data)


def test_what_the_kernel_keeps_of_a_killed_node_is_empty(tmp_path: Path) -> None:
    """Directories of control groups and a table; no process, mount or interface."""
    if os.geteuid() != 0:
        missing("sandboxes at full strength are made by root")
    data = tmp_path / "data"
    node = Node(data, settings={**SETTINGS, "network": "nat"}).start()
    node.kill()
    eventually(lambda: not processes_of(data) or None)
    left = traces_of(data)
    assert replace(left, cgroups=NONE.cgroups, tables=NONE.tables) == NONE
    assert all(not (path / "cgroup.procs").read_text() for path in cgroups_of(data))
    with running(data, settings=SETTINGS):
        pass
    assert leaves_nothing(data), traces_of(data)


@pytest.mark.parametrize("language", ["python", "node"])
def test_runtimes_that_were_killed_while_they_waited_are_given_to_nobody(
    make: Callable[..., str], client: Any, hostile_node: Node, language: str
) -> None:
    make_one = partial(make, {"app.js": NODE_ECHO}, Runtime=node_runtime())
    name = make(ECHO) if language == "python" else make_one()
    assert invoke(client, name, "old").value == "old"
    eventually(lambda: waiting_runtimes(hostile_node, language))
    killed = waiting_runtimes(hostile_node, language)
    for pid in killed:
        kill(pid)
    eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in killed))
    other = make(ECHO) if language == "python" else make_one()
    assert invoke(client, other, "new").value == "new"


def waiting_runtimes(node: Node, language: str) -> set[int]:
    """The runtimes of that language whose sandboxes belong to no function yet."""
    inits = base_of(node.data_dir) % 2
    return {
        inmate.pid
        for inmate in set(inmates_of(node.data_dir)) - assigned(node)
        if inmate.user % 2 != inits and language in program_of(inmate.pid)
    }


def program_of(pid: int) -> str:
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""
