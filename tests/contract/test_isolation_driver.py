"""What every isolation driver promises, asked of each of them with real processes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.sandboxes import (
    DAEMON,
    SetUp,
    children,
    daemons,
    descriptors,
    is_running,
    numbers,
    prepared,
    read_all,
    read_until,
    readable,
    started,
)

from lambdabox.ports import (
    CHANNEL_FD_VARIABLE,
    Exit,
    InvalidEntrypointError,
    IsolationDriver,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


def start_sleeper(*, new_session: bool) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"], start_new_session=new_session)


async def test_a_status_is_reported(driver: IsolationDriver, spec: SetUp) -> None:
    async with started(driver, spec("exit 3")) as sandbox:
        assert await sandbox.wait() == Exit(status=3)
        assert await sandbox.wait() == Exit(status=3)


async def test_a_signal_is_reported(driver: IsolationDriver, spec: SetUp) -> None:
    async with started(driver, spec("kill -SEGV $$")) as sandbox:
        assert await sandbox.wait() == Exit(signal=signal.SIGSEGV)


async def test_what_was_written_before_the_exit_can_be_read_after_it(
    driver: IsolationDriver, spec: SetUp
) -> None:
    text = f"""
import os
os.write(int(os.environ["{CHANNEL_FD_VARIABLE}"]), b"answer")
print("out", flush=True)
os.write(2, b"err")
"""
    async with started(driver, spec(text, python=True)) as sandbox:
        assert await sandbox.wait() == Exit(status=0)
        assert sandbox.channel.recv(100) == b"answer"
        assert sandbox.channel.recv(100) == b""
        assert await read_all(sandbox) == b"out\nerr"


async def test_the_channel_carries_both_ways(driver: IsolationDriver, spec: SetUp) -> None:
    text = f"""
import os
fd = int(os.environ["{CHANNEL_FD_VARIABLE}"])
while data := os.read(fd, 100):
    os.write(fd, data[::-1])
"""
    async with started(driver, spec(text, python=True)) as sandbox:
        sandbox.channel.send(b"abc")
        await readable(sandbox.channel.fileno())
        assert sandbox.channel.recv(100) == b"cba"
        assert not sandbox.channel.getblocking()


async def test_the_runtime_api_is_reachable(driver: IsolationDriver, spec: SetUp) -> None:
    text = """
import os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
socket.create_connection((host, int(port))).sendall(b"hello")
"""
    async with started(driver, spec(text, python=True)) as sandbox:
        await readable(sandbox.listener.fileno())
        connection, _ = sandbox.listener.accept()
        with connection:
            connection.setblocking(False)
            await readable(connection.fileno())
            assert connection.recv(100) == b"hello"


async def test_only_the_given_environment_is_seen(
    driver: IsolationDriver, spec: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_SECRET", "do-not-tell")
    async with started(driver, spec("env; pwd", environment={"GIVEN": "yes"})) as sandbox:
        output = await read_all(sandbox)
    assert b"GIVEN=yes\n" in output
    assert b"AWS_LAMBDA_RUNTIME_API=" in output
    assert b"do-not-tell" not in output


async def test_it_starts_in_its_code_with_nothing_to_read(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with started(driver, spec("ls; wc -c; echo end")) as sandbox:
        assert (await read_all(sandbox)).split() == [b"bootstrap", b"0", b"end"]


async def test_temporary_files_stay_for_the_next_sandbox_of_the_environment(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with started(driver, spec("echo kept > ${TMPDIR:-/tmp}/made")) as sandbox:
        await sandbox.wait()
    async with started(driver, spec("cat ${TMPDIR:-/tmp}/made")) as sandbox:
        assert await read_all(sandbox) == b"kept\n"


async def test_no_other_descriptor_of_the_node_is_inherited(
    driver: IsolationDriver, spec: SetUp
) -> None:
    secret = os.open("/etc/hostname", os.O_RDONLY)
    try:
        os.set_inheritable(secret, True)
        async with started(driver, spec("ls -l /proc/self/fd")) as sandbox:
            output = (await read_all(sandbox)).decode()
    finally:
        os.close(secret)
    opened = [line.split(" -> ")[1] for line in output.splitlines() if " -> " in line]
    allowed = ("/dev/null", "pipe:", "socket:", "/proc/")
    assert all(name.startswith(allowed) for name in opened)
    assert len(opened) == 5  # 0, 1, 2, the channel, and the listing itself


async def test_the_limits_are_those_of_lambda(driver: IsolationDriver, spec: SetUp) -> None:
    # A plain process gets them from outside, a moment after its start.
    text = 'until [ "$(ulimit -n)" = 1024 ]; do :; done; ulimit -n; ulimit -c'
    async with started(driver, spec(text)) as sandbox:
        assert (await read_all(sandbox)).split() == [b"1024", b"0"]


async def test_peak_memory_is_measured_and_kept(driver: IsolationDriver, spec: SetUp) -> None:
    text = """
block = bytearray(60_000_000)
for place in range(0, len(block), 4096):
    block[place] = 1
print("ready", flush=True)
del block
input()
"""
    async with started(driver, spec(text, python=True)) as sandbox:
        await read_until(sandbox, b"ready")
        peak = sandbox.peak_memory_bytes()
        assert 60_000_000 < peak < 200_000_000
        await sandbox.wait()
        assert sandbox.peak_memory_bytes() >= peak
    assert sandbox.peak_memory_bytes() >= peak


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda path: path.unlink(), "does not exist", id="missing"),
        pytest.param(lambda path: path.chmod(0o644), "is not executable", id="no x bit"),
        pytest.param(lambda path: path.write_text("exit 0\n"), "exec format error", id="no #!"),
        pytest.param(lambda path: path.write_bytes(b""), "exec format error", id="empty"),
        pytest.param(
            lambda path: path.write_text("#!/no/such/shell\n"), "interpreter", id="interpreter"
        ),
        pytest.param(lambda path: path.write_text("#!/bin/sh\r\n"), "CR LF", id="CR LF"),
        pytest.param(
            lambda path: path.write_bytes(b"\x7fELF\2\1\1" + bytes(11) + b"\x16\0" + bytes(40)),
            "built for 22",
            id="another processor",
        ),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), "not a file", id="directory"),
    ],
)
async def test_a_bootstrap_that_cannot_run_is_refused_and_leaves_nothing(
    driver: IsolationDriver, spec: SetUp, make: Callable[[Path], Any], reason: str
) -> None:
    bad = spec("exit 0")
    make(bad.code / "bootstrap")
    before = descriptors(), children()
    async with prepared(driver, bad) as sandbox:
        with pytest.raises(InvalidEntrypointError, match=reason):
            await sandbox.launch()
    assert (descriptors(), children()) == before


async def test_a_missing_code_directory_leaves_nothing(
    driver: IsolationDriver, spec: SetUp
) -> None:
    made = spec("exit 0")
    (made.code / "bootstrap").unlink()
    made.code.rmdir()
    with pytest.raises(InvalidEntrypointError):
        async with started(driver, replace(made, command=["sh"])):
            pass


async def test_ignoring_sigterm_is_no_defence(driver: IsolationDriver, spec: SetUp) -> None:
    text = "trap '' TERM HUP INT QUIT; echo $$; while :; do sleep 60; done"
    async with started(driver, spec(text)) as sandbox:
        await read_until(sandbox, b"\n")
        before = time.monotonic()
        await sandbox.destroy()
        assert time.monotonic() - before < 2
        assert await sandbox.wait() == Exit(signal=signal.SIGKILL)


async def test_destroy_may_be_called_twice_and_at_once(
    driver: IsolationDriver, spec: SetUp
) -> None:
    sandbox = await driver.start(spec("sleep 60"))
    await sandbox.launch()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sandbox.destroy)
        tasks.start_soon(sandbox.destroy)
    await sandbox.destroy()
    assert await sandbox.wait() == Exit(signal=signal.SIGKILL)


async def test_destroy_goes_ahead_while_its_caller_is_cancelled(
    driver: IsolationDriver, spec: SetUp
) -> None:
    before = children()
    sandbox = await driver.start(spec("sleep 60"))
    await sandbox.launch()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sandbox.destroy()
    assert children() == before


@pytest.mark.parametrize("end", ["sys.exit(0)", "import time; time.sleep(60)"])
async def test_daemonised_grandchildren_die_with_the_sandbox(
    driver: IsolationDriver, spec: SetUp, end: str
) -> None:
    before = children()
    text = DAEMON + f"print('done', flush=True)\n{end}\n"
    number = next(numbers)
    made = spec(text, python=True, environment={"DAEMON": str(number)})
    async with started(driver, made) as sandbox:
        await read_until(sandbox, b"done")
        found = await daemons(number)
    assert not any(is_running(pid) for pid in found)
    assert children() == before


async def test_a_daemon_of_another_sandbox_and_the_nodes_own_children_are_spared(
    driver: IsolationDriver, spec: SetUp
) -> None:
    text = DAEMON + "print('done', flush=True)\nimport time; time.sleep(60)\n"
    own, own_session = (start_sleeper(new_session=new) for new in (False, True))
    try:
        number, another = next(numbers), next(numbers)
        made = spec(text, python=True, environment={"DAEMON": str(number)})
        async with started(driver, made):
            found = await daemons(number)
            made = spec(text, python=True, environment={"DAEMON": str(another)})
            async with started(driver, made):
                await daemons(another)
            assert all(is_running(pid) for pid in found)
            assert own.poll() is None
            assert own_session.poll() is None
    finally:
        for process in (own, own_session):
            process.kill()
            process.wait()


async def test_output_without_end_does_not_hold_up_destroy(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with started(driver, spec("cat /dev/zero & exec cat /dev/zero")) as sandbox:
        await readable(sandbox.output)
        before = time.monotonic()
        await sandbox.destroy()
        assert time.monotonic() - before < 2


async def test_two_hundred_lives_leave_nothing_behind(driver: IsolationDriver, spec: SetUp) -> None:
    made = spec("sleep 60 & echo started; wait")
    async with started(driver, made):
        pass
    before = descriptors(), children()
    for cycle in range(200):
        sandbox = await driver.start(made)
        await sandbox.launch()
        if cycle % 20 == 0:
            await read_until(sandbox, b"started")
        await sandbox.destroy()
    assert (descriptors(), children()) == before


async def test_sandboxes_started_together_do_not_disturb_each_other(
    driver: IsolationDriver, spec: SetUp
) -> None:
    made = spec("read -r line; echo $$; exec sleep 60")
    sandboxes = [await driver.start(made) for _ in range(10)]
    try:
        for sandbox in sandboxes:
            await sandbox.launch()
        for sandbox in sandboxes[::2]:
            await sandbox.destroy()
        for sandbox in sandboxes[1::2]:
            pid = int(await read_until(sandbox, b"\n"))
            assert is_running(pid)
    finally:
        for sandbox in sandboxes:
            await sandbox.destroy()
