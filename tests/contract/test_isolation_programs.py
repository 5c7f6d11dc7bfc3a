"""What every isolation driver promises of the programs that run beside a runtime."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping

import anyio
import pytest
from support.sandboxes import (
    DAEMON,
    PATIENCE,
    SetUp,
    children,
    daemons,
    descriptors,
    is_running,
    numbers,
    prepared,
    read_until,
    readable,
    started,
)

from lambdabox.ports import (
    CHANNEL_FD_VARIABLE,
    Exit,
    InvalidEntrypointError,
    IsolationDriver,
    Program,
    Sandbox,
    SandboxGoneError,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


VARIABLES: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


async def sh(sandbox: Sandbox, text: str, **environment: str) -> Program:
    return await sandbox.run(["sh", "-c", text], {**VARIABLES, **environment})


async def output_of(program: Program) -> bytes:
    output = b""
    with anyio.fail_after(PATIENCE):
        while True:
            await readable(program.output)
            chunk = os.read(program.output, 65536)
            if not chunk:
                return output
            output += chunk


async def test_nothing_runs_before_launch(driver: IsolationDriver, spec: SetUp) -> None:
    before = children()
    async with prepared(driver, spec("echo started; exec sleep 60")) as sandbox:
        assert children() == before
        await sandbox.launch()
        await read_until(sandbox, b"started")
    assert children() == before


async def test_a_sandbox_is_launched_once(driver: IsolationDriver, spec: SetUp) -> None:
    async with started(driver, spec("exec sleep 60")) as sandbox:
        with pytest.raises(RuntimeError):
            await sandbox.launch()


async def test_a_program_runs_before_the_runtime_and_prints_apart_from_it(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with prepared(driver, spec("echo runtime; exec sleep 60")) as sandbox:
        program = await sh(sandbox, "echo $GIVEN; echo error >&2; exit 4", GIVEN="value")
        assert await output_of(program) == b"value\nerror\n"
        assert await program.wait() == Exit(status=4)
        await sandbox.launch()
        assert await read_until(sandbox, b"\n") == b"runtime\n"


async def test_a_program_runs_beside_a_runtime(driver: IsolationDriver, spec: SetUp) -> None:
    async with started(driver, spec("exec sleep 60")) as sandbox:
        program = await sh(sandbox, "kill -SEGV $$")
        assert await program.wait() == Exit(signal=signal.SIGSEGV)


async def test_a_program_has_the_runtime_api_and_not_the_channel(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with prepared(driver, spec("exit 0", environment={"SECRET": "no"})) as sandbox:
        program = await sh(sandbox, "env; ls -l /proc/self/fd; ulimit -n")
        output = (await output_of(program)).decode()
    assert "AWS_LAMBDA_RUNTIME_API=" in output
    assert CHANNEL_FD_VARIABLE not in output
    assert "SECRET" not in output
    assert "socket:" not in output
    assert output.splitlines()[-1] == "1024"


async def test_the_end_of_a_program_is_not_the_end_of_the_sandbox(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with started(driver, spec("read -r line; echo here; exec sleep 60")) as sandbox:
        program = await sh(sandbox, "exit 0")
        await program.wait()
        assert await read_until(sandbox, b"\n") == b"here\n"


async def test_a_program_that_cannot_run_is_refused_and_the_sandbox_goes_on(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with prepared(driver, spec("echo on")) as sandbox:
        before = descriptors(), children()
        with pytest.raises(InvalidEntrypointError, match="no-such"):
            await sandbox.run(["./no-such"], VARIABLES)
        assert (descriptors(), children()) == before
        await sandbox.launch()
        assert await read_until(sandbox, b"on\n")


async def test_programs_and_their_daemons_end_with_the_sandbox(
    driver: IsolationDriver, spec: SetUp
) -> None:
    before = descriptors(), children()
    text = DAEMON + "print('done', flush=True)\nimport time; time.sleep(60)\n"
    number = next(numbers)
    made = spec(text, python=True)
    async with prepared(driver, made) as sandbox:
        await sandbox.run(["./bootstrap"], {**VARIABLES, "DAEMON": str(number)})
        found = await daemons(number)
    assert not any(is_running(pid) for pid in found)
    assert (descriptors(), children()) == before


async def test_terminate_reaches_the_runtime_and_not_the_programs(
    driver: IsolationDriver, spec: SetUp
) -> None:
    async with started(driver, spec("trap 'exit 5' TERM; echo on; while :; do :; done")) as sandbox:
        await read_until(sandbox, b"on\n")
        program = await sh(sandbox, "trap 'echo term' TERM; echo on; read -r line; exec sleep 60")
        await readable(program.output)
        sandbox.terminate()
        assert await sandbox.wait() == Exit(status=5)
        assert os.read(program.output, 100) == b"on\n"


async def test_terminate_never_raises(driver: IsolationDriver, spec: SetUp) -> None:
    async with prepared(driver, spec("exit 0")) as sandbox:
        sandbox.terminate()
        await sandbox.launch()
        await sandbox.wait()
        sandbox.terminate()
    sandbox.terminate()


LISTENER = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection = server.accept()[0]
connection.sendall(connection.recv(100)[::-1])
"""


async def test_a_port_inside_can_be_connected_to(driver: IsolationDriver, spec: SetUp) -> None:
    loop = asyncio.get_running_loop()
    async with started(driver, spec(LISTENER, python=True)) as sandbox:
        port = int(await read_until(sandbox, b"\n"))
        with await sandbox.connect(port) as connection:
            assert not connection.getblocking()
            await loop.sock_sendall(connection, b"abc")
            assert await loop.sock_recv(connection, 100) == b"cba"


async def test_a_port_where_nobody_listens_is_an_error(
    driver: IsolationDriver, spec: SetUp
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with started(driver, spec("exec sleep 60")) as sandbox:
        with pytest.raises(ConnectionRefusedError):
            await sandbox.connect(port)
        before = descriptors()
        with pytest.raises(ConnectionRefusedError):
            await sandbox.connect(port)
        assert descriptors() == before


async def test_a_destroyed_sandbox_starts_nothing(driver: IsolationDriver, spec: SetUp) -> None:
    before = descriptors(), children()
    sandbox = await driver.start(spec("exit 0"))
    await sandbox.destroy()
    assert await sandbox.wait() == Exit()
    with pytest.raises(SandboxGoneError):
        await sandbox.launch()
    with pytest.raises(SandboxGoneError):
        await sh(sandbox, "exit 0")
    assert (descriptors(), children()) == before
