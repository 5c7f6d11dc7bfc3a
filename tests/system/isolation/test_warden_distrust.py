"""A node that has been taken over asks the warden for what it must not have."""

import os
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.processes import eventually
from support.programs import missing
from support.traces import (
    cgroups_of,
    descriptors_by_kind,
    fork_servers_of,
    inmates_of,
    leaves_nothing,
    traces_of,
    warden_of,
)
from support.wardens import running_warden

from lambdabox.domain.errors import ServiceException
from lambdabox.isolation.guest import messages
from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.warden_client import WardenError
from lambdabox.ports import SandboxSpec

pytestmark = pytest.mark.anyio

CYCLES = 1_000
AT_ONCE = 8
STARTS = 6
MOST_AT_ONCE = 40
"""Descriptors that the warden needs for one start, at the very most."""
KIND: dict[str, Any] = {"account": "", "interpreter": None, "python": None, "preload": []}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        missing("sandboxes at full strength are made by root")
    data = tmp_path / "data"
    (data / "staged" / "code").mkdir(parents=True)
    bootstrap = data / "staged" / "code" / "bootstrap"
    bootstrap.write_text("#!/bin/sh\nexec sleep 60\n")
    bootstrap.chmod(0o755)
    return data


@pytest.fixture
def null() -> Iterator[int]:
    with open(os.devnull) as file:
        yield file.fileno()


@pytest.fixture
async def driver(data: Path) -> AsyncIterator[NamespaceDriver]:
    async with running_warden(data) as connection:
        driver = NamespaceDriver(connection, data / "staged")
        yield driver
        driver.close()
    assert await anyio.to_thread.run_sync(leaves_nothing, data), traces_of(data)


def spec_of(data: Path, number: int) -> SandboxSpec:
    return SandboxSpec(
        id=f"{number:016x}",
        command=["./bootstrap"],
        environment={"PATH": "/usr/bin:/bin"},
        code=data / "staged" / "code",
        layers=[],
        scratch=data / "environments" / f"{number:016x}",
        memory_mib=128,
        ephemeral_storage_mib=512,
        runtime_files=data,
    )


async def works(driver: NamespaceDriver, data: Path) -> None:
    sandbox = await driver.start(spec_of(data, 0))
    await sandbox.launch()
    await sandbox.destroy()
    await driver.remove_scratch(data / "environments" / f"{0:016x}")


async def settles(look: Any) -> bool:
    return await anyio.to_thread.run_sync(lambda: eventually(look, within=10))


START = {
    "do": "start", "kind": KIND, "code": "code", "layers": [], "volume": "v",
    "storage_mib": 512, "memory_mib": 128, "template": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"code": "../../../etc"},
        {"code": "link"},
        {"code": "code/bootstrap"},
        {"code": "absent"},
        {"layers": ["link"]},
        {"layers": ["code", "link"]},
        {"volume": "../volume"},
        {"storage_mib": 10**9},
        {"memory_mib": 10**9},
        {"kind": KIND | {"interpreter": "/"}},
        {"kind": KIND | {"interpreter": "/root"}},
        {"kind": KIND | {"python": "/bin/sh"}},
    ],
    ids=repr,
)
async def test_what_is_not_the_nodes_is_not_shown(
    driver: NamespaceDriver, data: Path, change: dict[str, Any]
) -> None:
    (data / "staged" / "link").symlink_to("/etc")
    answer, ends = await driver.warden.ask(START)
    for end in ends:
        os.close(end)
    driver.warden.tell({"do": "end", "sandbox": answer["sandbox"]})
    driver.warden.tell({"do": "forget", "volume": "v"})
    with pytest.raises(WardenError):
        await driver.warden.ask(START | change)
    await works(driver, data)


async def test_an_interpreter_in_the_data_directory_is_not_executed(
    driver: NamespaceDriver, data: Path
) -> None:
    root = data / "staged" / "evil"
    (root / "bin").mkdir(parents=True)
    (root / "lib" / "python3.11").mkdir(parents=True)
    program = root / "bin" / "python3"
    program.write_text(f"#!/bin/sh\ntouch {data}/executed\n")
    program.chmod(0o755)
    kind = KIND | {"interpreter": str(root), "python": str(program)}
    with pytest.raises(WardenError, match="data directory"):
        await driver.warden.ask(START | {"kind": kind})
    assert not (data / "executed").exists()


async def test_noise_on_the_socket_does_not_end_the_warden(
    driver: NamespaceDriver, data: Path, null: int
) -> None:
    await works(driver, data)
    connection = driver.warden._connection
    before = descriptors_by_kind(warden_of(data))
    for noise in (b"{", b"[]", b"\xff", b"[" * 100_000, b'{"do":"end"}', b'{"do":{}}', b"{}"):
        connection.send(noise)
    messages.send(connection, {"do": "end", "sandbox": 99}, [null] * 20)
    await works(driver, data)
    assert await settles(
        lambda: (
            descriptors_by_kind(warden_of(data)).get("/dev/null", 0) == before.get("/dev/null", 0)
        )
    )


async def test_a_warden_without_descriptors_refuses_and_recovers(
    driver: NamespaceDriver, data: Path
) -> None:
    await works(driver, data)
    warden = warden_of(data)
    limits = resource.prlimit(warden, resource.RLIMIT_NOFILE)
    refused = []
    # Each room lets it get one step further before it fails.
    for room in [*range(MOST_AT_ONCE), *range(MOST_AT_ONCE)]:
        limit_descriptors(warden, room)
        refused.append(await starts_refused(driver))
        resource.prlimit(warden, resource.RLIMIT_NOFILE, limits)
        for volume in range(STARTS):
            driver.warden.tell({"do": "forget", "volume": str(volume)})
    assert any(refused)
    assert await answers(driver, data)


async def test_a_warden_that_may_open_nothing_at_all_refuses_and_recovers(
    driver: NamespaceDriver, data: Path
) -> None:
    await works(driver, data)
    warden = warden_of(data)
    limits = resource.prlimit(warden, resource.RLIMIT_NOFILE)
    # Less than it has open.
    resource.prlimit(warden, resource.RLIMIT_NOFILE, (3, limits[1]))
    for _ in range(6):
        assert await starts_refused(driver) == STARTS
    resource.prlimit(warden, resource.RLIMIT_NOFILE, limits)
    assert await answers(driver, data)


async def starts_refused(driver: NamespaceDriver) -> int:
    """Start some and end them; return how many were not made."""
    refused = 0
    for number in range(STARTS):
        # Every other /tmp is of a size that none is made of ahead.
        order = START | {"volume": str(number), "storage_mib": 512 + number % 2}
        try:
            answer, ends = await driver.warden.ask(order)
        except WardenError:
            refused += 1
            continue
        for end in ends:
            os.close(end)
        driver.warden.tell({"do": "end", "sandbox": answer["sandbox"]})
    return refused


def limit_descriptors(pid: int, room: int) -> None:
    """Let a process open `room` descriptors more than it has."""
    numbers = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    limit = 0
    while room or limit in numbers:
        room -= limit not in numbers
        limit += 1
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


async def answers(driver: NamespaceDriver, data: Path) -> bool:
    """Whether it makes sandboxes again; a fork server that failed rests for a moment first."""
    with anyio.move_on_after(10):
        while True:
            try:
                await works(driver, data)
            except ServiceException:
                await anyio.sleep(0.1)
            else:
                return True
    return False


async def test_a_flood_of_starts_that_nobody_waits_for_leaves_nothing(
    driver: NamespaceDriver, data: Path
) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(60):
            tasks.start_soon(driver.warden.ask, START)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    driver.warden.tell({"do": "forget", "volume": "v"})
    await works(driver, data)


async def test_a_thousand_sandboxes_leave_nothing(driver: NamespaceDriver, data: Path) -> None:
    await works(driver, data)

    async def cycles(first: int) -> None:
        for number in range(first, CYCLES, AT_ONCE):
            spec = spec_of(data, number)
            sandbox = await driver.start(spec)
            await sandbox.launch()
            await sandbox.destroy()
            await driver.remove_scratch(spec.scratch)

    own = len(os.listdir("/proc/self/fd"))
    async with anyio.create_task_group() as tasks:
        for first in range(AT_ONCE):
            tasks.start_soon(cycles, first)
    assert len(os.listdir("/proc/self/fd")) == own
    warden = warden_of(data)
    assert len(fork_servers_of(data)) == 1

    def accounted() -> bool:
        """Whether each thing there is belongs to a sandbox that waits to be used."""
        kinds, ready = descriptors_by_kind(warden), len(inmates_of(data)) // 2
        groups = sum(path.name.isdigit() for path in cgroups_of(data) if "pids" in str(path))
        return (
            kinds["user"] == ready
            and kinds["mnt"] == ready + 1  # its own
            and groups in (0, ready)
            and ready <= 32
            and kinds["net"] <= ready + 64 + 1
        )

    assert await settles(accounted), (descriptors_by_kind(warden), len(inmates_of(data)))
