"""Provisioned concurrency with real environments."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.executor import Bench, bench
from support.processes import eventually, sandboxes_of

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Outcome
from lambdabox.domain.provisioned import INIT_FAILURE, Provisioned

pytestmark = pytest.mark.anyio

WHO = """
import os, time
TYPE = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
def handler(event, context):
    if event.get("exit"):
        os._exit(3)
    time.sleep(event.get("sleep", 0))
    return {"pid": os.getpid(), "type": TYPE}
"""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, idle_seconds=0.2) as stand:
        yield stand
    assert eventually(lambda: not sandboxes_of(tmp_path / "data"), within=5)


async def until(stand: Bench, function: Deployment, expected: Provisioned) -> None:
    def is_so() -> bool:
        return stand.executor.provisioned(function) == expected

    reached = await anyio.to_thread.run_sync(lambda: eventually(is_so, within=30))
    assert reached, stand.executor.provisioned(function)


async def gone(stand: Bench, left: int) -> None:
    def is_so() -> bool:
        return stand.executor.environment_count == left

    assert await anyio.to_thread.run_sync(lambda: eventually(is_so, within=10))


def value(outcome: Outcome) -> dict[str, object]:
    assert outcome.function_error is None, outcome.payload
    answer: dict[str, object] = json.loads(outcome.payload)
    return answer


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode()


async def test_environments_wait_ready_and_outlive_their_idleness(stand: Bench) -> None:
    function = await stand.deploy({"app.py": WHO})
    stand.executor.provision(function, 2)
    await until(stand, function, Provisioned(2, 2, 2))
    starts = await stand.journal.starting("INIT_START", 2)
    reports = await stand.journal.starting("INIT_REPORT", 2)
    assert len(starts) == len(reports) == 2
    assert all("Phase: init\tStatus: success" in line for line in reports)
    other = await stand.deploy({"app.py": WHO})
    await stand.run(other)
    await gone(stand, 2)  # the one on demand has been idle for too long
    first = value(await stand.run(function))
    assert first["type"] == "provisioned-concurrency"
    [_, report] = await stand.journal.starting("REPORT", 2)
    assert "Init Duration: " in report
    [_, usage] = stand.journal.usages
    assert usage.init_ms is not None
    assert usage.billed_ms >= usage.init_ms
    assert value(await stand.run(function))["pid"] == first["pid"]
    assert len(await stand.journal.starting("INIT_START", 3)) == 3


async def test_what_exceeds_them_runs_on_demand(stand: Bench) -> None:
    function = await stand.deploy({"app.py": WHO})
    stand.executor.provision(function, 1)
    await until(stand, function, Provisioned(1, 1, 1))
    types = []

    async def run() -> None:
        types.append(value(await stand.run(function, event(sleep=0.5)))["type"])

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(run)
    assert sorted(map(str, types)) == ["on-demand", "provisioned-concurrency"]


async def test_one_that_exits_in_its_event_is_replaced(stand: Bench) -> None:
    function = await stand.deploy({"app.py": WHO})
    stand.executor.provision(function, 1)
    await until(stand, function, Provisioned(1, 1, 1))
    assert (await stand.run(function, event(exit=1))).error_type == "Runtime.ExitError"
    await stand.journal.starting("INIT_REPORT", 2)
    await until(stand, function, Provisioned(1, 1, 1))
    assert value(await stand.run(function))["type"] == "provisioned-concurrency"
    assert len(await stand.journal.starting("INIT_START", 2)) == 2


async def test_one_that_is_killed_while_it_waits_is_replaced(stand: Bench, tmp_path: Path) -> None:
    function = await stand.deploy({"app.py": WHO})
    stand.executor.provision(function, 1)
    await until(stand, function, Provisioned(1, 1, 1))
    [process] = sandboxes_of(tmp_path / "data")
    os.kill(process.pid, signal.SIGKILL)
    await stand.journal.starting("INIT_REPORT", 2)
    await until(stand, function, Provisioned(1, 1, 1))
    assert value(await stand.run(function))["pid"] != process.pid
    assert len(list((tmp_path / "data/environments").iterdir())) == 1


@pytest.mark.parametrize(
    "source", ["raise ValueError('never')\n", "import os\nos._exit(1)\n", "import missing\n"]
)
async def test_a_failing_init_is_a_status_and_not_a_loop(
    stand: Bench, tmp_path: Path, source: str
) -> None:
    function = await stand.deploy({"app.py": source})
    stand.executor.provision(function, 3)
    await stand.journal.starting("INIT_REPORT")
    await until(stand, function, Provisioned(3, 0, 0, INIT_FAILURE))
    [report, *_] = await stand.journal.starting("INIT_REPORT")
    assert "Phase: init\tStatus: error\tError Type: Runtime." in report
    assert len(await stand.journal.starting("INIT_START")) <= 3
    stand.executor.provision(function, 0)
    await until(stand, function, Provisioned())


@pytest.mark.slow
async def test_an_init_may_take_longer_than_one_on_demand(stand: Bench) -> None:
    slow = "import time\ntime.sleep(10.5)\n" + WHO
    function = await stand.deploy({"app.py": slow}, timeout_seconds=1)
    stand.executor.provision(function, 1)
    await until(stand, function, Provisioned(1, 1, 1))
    assert value(await stand.run(function))["type"] == "provisioned-concurrency"


async def test_letting_go_and_retiring_leave_nothing(stand: Bench, tmp_path: Path) -> None:
    function = await stand.deploy({"app.py": WHO})
    other = await stand.deploy({"app.py": WHO}, version="2")
    for deployment in (function, other):
        stand.executor.provision(deployment, 2)
        await until(stand, deployment, Provisioned(2, 2, 2))
    stand.executor.provision(function, 0)
    stand.executor.retire(other.key, number="2")

    def is_clean() -> bool:
        data = tmp_path / "data"
        return not sandboxes_of(data) and not list((data / "environments").iterdir())

    assert await anyio.to_thread.run_sync(lambda: eventually(is_clean, within=10))
    assert stand.executor.environment_count == 0
