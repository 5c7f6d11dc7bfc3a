"""What is the process driver's alone: leftovers of a killed node, and old kernels."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from lambdabox.isolation import strays
from lambdabox.isolation.process import MARKER_VARIABLE, ProcessDriver
from lambdabox.ports import Exit, Sandbox, SandboxSpec

pytestmark = pytest.mark.anyio

PATIENCE = 20


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


def make_spec(tmp_path: Path, command: list[str]) -> SandboxSpec:
    return SandboxSpec(
        id="0",
        command=command,
        environment={"PATH": "/usr/bin:/bin"},
        code=tmp_path,
        layers=[],
        scratch=tmp_path,
        memory_mib=128,
        ephemeral_storage_mib=512,
        runtime_files=tmp_path,
    )


async def launched(driver: ProcessDriver, spec: SandboxSpec) -> Sandbox:
    sandbox = await driver.start(spec)
    await sandbox.launch()
    return sandbox


NODE = """
import asyncio, os, signal, sys
from pathlib import Path
from lambdabox.isolation.process import ProcessDriver
from lambdabox.ports import SandboxSpec

async def main():
    root = Path(sys.argv[1])
    spec = SandboxSpec("0", ["sh", "-c", sys.argv[2]], {"PATH": "/usr/bin:/bin"}, root, [], root,
                       128, 512, root)
    sandbox = await ProcessDriver(root).start(spec)
    await sandbox.launch()
    output = b""
    os.set_blocking(sandbox.output, True)
    while output.count(b"\\n") < 2:
        output += os.read(sandbox.output, 100)
    os.write(1, output)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def run_node_until_killed(data: Path) -> int:
    """Return the id of the daemon that a sandbox of the node left behind."""
    text = "setsid sh -c 'echo daemon $$; exec sleep 60' & echo leader $$; exec sleep 60"
    node = subprocess.run(
        [sys.executable, "-c", NODE, str(data), text], capture_output=True, check=False, timeout=20
    )
    assert node.returncode == -signal.SIGKILL, node.stderr
    pids = dict(line.split() for line in node.stdout.decode().splitlines())
    return int(pids["daemon"])


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_dead(pid: int) -> bool:
    """Wait for the end of a process; a zombie has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], PATIENCE)[0])
    finally:
        os.close(pidfd)


@pytest.fixture
def no_orphans() -> Iterator[None]:
    """Reap what the tests' nodes left to us, as the nearest subreaper."""
    yield
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            pass


@pytest.mark.usefixtures("no_orphans")
async def test_a_killed_nodes_leftovers_are_swept_and_no_others(tmp_path: Path) -> None:
    mine, others = tmp_path / "mine", tmp_path / "others"
    mine.mkdir()
    others.mkdir()
    daemon = await anyio.to_thread.run_sync(run_node_until_killed, mine)
    spared = await anyio.to_thread.run_sync(run_node_until_killed, others)
    try:
        assert command_of(daemon).startswith(b"sleep")
        assert await ProcessDriver(mine).sweep_leftovers() >= 1
        assert is_dead(daemon)
        assert command_of(spared).startswith(b"sleep")
        assert await ProcessDriver(mine).sweep_leftovers() == 0
        assert command_of(spared).startswith(b"sleep")
    finally:
        os.kill(spared, signal.SIGKILL)
        assert is_dead(spared)


@pytest.mark.usefixtures("no_orphans")
async def test_a_sandboxs_first_process_dies_with_its_node(tmp_path: Path) -> None:
    node = NODE.replace('while output.count(b"\\n") < 2', 'while output.count(b"\\n") < 1')
    dead = await anyio.run_process(
        [sys.executable, "-c", node, str(tmp_path), "echo $$; exec sleep 60"], check=False
    )
    assert is_dead(int(dead.stdout))


async def test_a_marked_process_of_another_origin_is_spared(tmp_path: Path) -> None:
    async with await anyio.open_process(
        ["sleep", "60"], env={MARKER_VARIABLE: "another", "PATH": "/usr/bin:/bin"}
    ) as other:
        assert await ProcessDriver(tmp_path).sweep_leftovers() == 0
        assert other.returncode is None
        other.kill()


async def test_without_pidfds_exits_are_still_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    driver = ProcessDriver(tmp_path)
    with anyio.fail_after(PATIENCE):
        sandbox = await launched(driver, make_spec(tmp_path, ["sh", "-c", "exit 7"]))
        assert await sandbox.wait() == Exit(status=7)
        await sandbox.destroy()
        daemon = "setsid sleep 60 & exec sleep 60"
        sandbox = await launched(driver, make_spec(tmp_path, ["sh", "-c", daemon]))
        await sandbox.destroy()
        assert await sandbox.wait() == Exit(signal=signal.SIGKILL)


async def test_without_setpriv_sandboxes_start_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambdabox.isolation.process._SETPRIV_PATH", str(tmp_path))
    spec = make_spec(tmp_path, ["sh", "-c", "exit 7"])
    sandbox = await launched(ProcessDriver(tmp_path), spec)
    with anyio.fail_after(PATIENCE):
        assert await sandbox.wait() == Exit(status=7)
    await sandbox.destroy()


def test_marks_in_use_are_not_given_out_again() -> None:
    first = strays.free_mark(set(), 5)
    assert first is not None
    second = strays.free_mark({first}, 5)
    assert second is not None
    assert second != first
    assert strays.free_mark({first}, 5 + strays.MARKS) == second


async def test_every_channel_has_the_number_the_driver_kept_for_it(tmp_path: Path) -> None:
    driver = ProcessDriver(tmp_path)
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
    numbers = set()
    for _ in range(2):
        command = ["sh", "-c", "echo $LAMBDABOX_CHANNEL_FD"]
        sandbox = await launched(driver, make_spec(tmp_path, command))
        with anyio.fail_after(PATIENCE):
            await sandbox.wait()
        numbers.add(int(os.read(sandbox.output, 100)))
        await sandbox.destroy()
    for descriptor in others:
        os.close(descriptor)
    assert len(numbers) == 1
    assert numbers.pop() < min(others)
