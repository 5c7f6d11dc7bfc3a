"""Extensions that fail, lie, hang and shout beside a real function."""

import json
from pathlib import Path

import anyio
import pytest
from support.environments import ECHO, PATIENCE, client, environment, layer

from lambdabox.domain import limits
from lambdabox.domain.invocations import Outcome

pytestmark = pytest.mark.anyio

GOOD = client("me = register('INVOKE')\nwhile True:\n    following(me)\n")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


def fault(outcome: Outcome) -> tuple[str, str]:
    body = json.loads(outcome.payload)
    return body["errorType"], body["errorMessage"]


@pytest.mark.parametrize(
    ("text", "error_type", "message", "state"),
    [
        pytest.param("sys.exit(0)", "Extension.Crash", "exit code 0", "Exited", id="exits at once"),
        pytest.param(
            "register(); sys.exit(3)", "Extension.Crash", "exit status 3", "Exited", id="exits"
        ),
        pytest.param(
            "os.kill(os.getpid(), 9)", "Extension.Crash", "signal: killed", "Exited", id="is killed"
        ),
        pytest.param(
            "me = register('SHUTDOWN'); fail(me, 'init', 'Mine.Bad'); following(me)",
            "Extension.InitError",
            "extension bad reported Mine.Bad",
            "InitError",
            id="reports init/error",
        ),
        pytest.param(
            "me = register(); fail(me, 'exit', 'Mine.Bad'); time.sleep(60)",
            "Extension.ExitError",
            "extension bad reported Mine.Bad",
            "ExitError",
            id="reports exit/error",
        ),
    ],
)
async def test_an_extension_that_fails_in_init_fails_the_function(
    tmp_path: Path, text: str, error_type: str, message: str, state: str
) -> None:
    extensions = layer(tmp_path / "1", {"bad": client(text)})
    async with environment(tmp_path, layers=[extensions]) as bench:
        await bench.environment.initialize()
        assert f"Phase: init\tStatus: error\tError Type: {error_type}" in bench.log
        outcome = await bench.invoke()
        await bench.free()
    assert fault(outcome) == (error_type, f"RequestId: request-1 Error: {message}")
    assert f"EXTENSION\tName: bad\tState: {state}\t" in bench.log


async def test_extensions_that_cannot_be_started_are_named(tmp_path: Path) -> None:
    for number, (text, mode, kind, reason) in enumerate(
        [
            ("#!/bin/sh\n", 0o644, "PermissionDenied", "permission denied"),
            ("not a program", 0o755, "UnknownError", "exec format error"),
        ]
    ):
        root = tmp_path / str(number)
        extensions = layer(root / "layer", {"bad": text}, mode=mode)
        async with environment(root, layers=[extensions]) as bench:
            await bench.environment.initialize()
            outcome = await bench.invoke()
            await bench.free()
        error_type, message = fault(outcome)
        assert error_type == "Extension.LaunchError"
        assert "fork/exec /opt/extensions/bad: " in message
        assert reason in message
        line = f"EXTENSION\tName: bad\tState: LaunchError\tEvents: []\tError Type: {kind}\n"
        assert line in bench.log


async def test_ten_extensions_run_and_an_eleventh_fails_the_function(tmp_path: Path) -> None:
    names = [f"e{number:02}" for number in range(limits.EXTENSIONS)]
    script = (
        "#!/bin/sh\n"
        'curl -s -D $TMPDIR/${0##*/} -H "Lambda-Extension-Name: ${0##*/}" -d "{}" '
        "http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension/register\n"
        "me=$(sed -n 's/^[Ll]ambda-[Ee]xtension-[Ii]dentifier: //p' $TMPDIR/${0##*/})\n"
        'exec curl -s -H "Lambda-Extension-Identifier: ${me%?}" '
        "http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension/event/next\n"
    )
    ten = layer(tmp_path / "ten", dict.fromkeys(names, script))
    async with environment(tmp_path / "a", layers=[ten]) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke()).function_error is None, bench.log
        assert bench.log.count("State: Ready") == limits.EXTENSIONS
    more = layer(tmp_path / "more", {"e99": script})
    async with environment(tmp_path / "b", layers=[ten, more]) as bench:
        outcome = await bench.invoke()
        await bench.free()
    assert fault(outcome)[0] == "Extension.LaunchError"
    assert "Name: e99\tState: LaunchError\tEvents: []\tError Type: TooManyExtensions" in bench.log


@pytest.mark.parametrize(
    "text",
    ["time.sleep(60)", "register(); time.sleep(60)"],
    ids=["never registers", "never asks for an event"],
)
async def test_an_extension_that_keeps_init_waiting_ends_in_a_timeout(
    tmp_path: Path, text: str
) -> None:
    extensions = layer(tmp_path / "1", {"bad": client(text)})
    async with environment(tmp_path, layers=[extensions], timeout_seconds=1) as bench:
        outcome = await bench.invoke()
        await bench.free()
    assert outcome.error_type == "Sandbox.Timedout"
    assert "Phase: invoke\tStatus: timeout" in bench.log


async def test_registering_twice_is_refused_and_harmless(tmp_path: Path) -> None:
    text = "me = register('INVOKE'); print(json.dumps(register()), flush=True)\n"
    text += "while True:\n    following(me)\n"
    extensions = layer(tmp_path / "1", {"twice": client(text)})
    async with environment(tmp_path, layers=[extensions]) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke()).function_error is None
        await bench.free()
    assert "Extension.InvalidExtensionState" in bench.log
    assert "State transition from Registered to Registered failed" in bench.log


async def test_a_crash_during_an_event_fails_it_and_the_next_event_has_a_new_environment(
    tmp_path: Path,
) -> None:
    text = """
me = register("INVOKE")
following(me)
if not os.path.exists(SCRATCH + "/crashed"):
    open(SCRATCH + "/crashed", "w")
    sys.exit(1)
while True:
    following(me)
"""
    handler = (
        "import os, time\n"
        "def handler(event, context):\n"
        "    if event == 'wait':\n        time.sleep(60)\n"
        "    return os.path.exists(os.environ['TMPDIR'] + '/crashed')\n"
    )
    extensions = layer(tmp_path / "1", {"bad": client(text)})
    async with environment(tmp_path, handler, layers=[extensions]) as bench:
        await bench.environment.initialize()
        outcome = await bench.invoke("wait")
        assert fault(outcome) == (
            "Extension.Crash",
            "RequestId: request-1 Error: exit status 1",
        )
        assert "Status: error\tError Type: Extension.Crash\t\n" in bench.log
        await bench.free()
        assert (await bench.invoke()).payload == b"true", bench.log
        await bench.free()


async def test_a_crash_after_the_answer_leaves_the_answer_alone(tmp_path: Path) -> None:
    text = """
me = register("INVOKE")
following(me)
while not os.path.exists(SCRATCH + "/go"):
    time.sleep(0.01)
sys.exit(1)
"""
    extensions = layer(tmp_path / "1", {"bad": client(text)})
    async with environment(tmp_path, layers=[extensions]) as bench:
        await bench.environment.initialize()
        outcome = await bench.invoke({"a": 1})
        assert outcome.payload == b'{"a": 1}'
        (bench.scratch / "go").touch()
        await bench.free()
        assert "END RequestId: request-1" in bench.log


async def test_an_extension_that_never_comes_back_is_ended_at_the_deadline(
    tmp_path: Path,
) -> None:
    text = "me = register('INVOKE'); following(me); time.sleep(60)"
    extensions = layer(tmp_path / "1", {"slow": client(text)})
    async with environment(tmp_path, layers=[extensions], timeout_seconds=1) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke({"a": 1})).payload == b'{"a": 1}'
        await bench.free()
        assert bench.environment._process is None


async def test_an_extension_that_ignores_its_end_is_killed(tmp_path: Path) -> None:
    text = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
me = register("SHUTDOWN")
following(me)
print("I stay", flush=True)
while True:
    time.sleep(60)
"""
    extensions = layer(tmp_path / "1", {"stays": client(text)})
    async with environment(tmp_path, layers=[extensions]) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke()).function_error is None
        with anyio.fail_after(limits.EXTERNAL_SHUTDOWN_SECONDS + limits.KILL_SECONDS + 5):
            await bench.environment.close()
    assert "I stay\n" in bench.log


async def test_an_extension_that_prints_without_end_holds_nobody_up(tmp_path: Path) -> None:
    text = """
me = register("INVOKE")
import threading
def shout():
    while True:
        os.write(1, b"x" * 65536)
threading.Thread(target=shout, daemon=True).start()
while True:
    following(me)
"""
    extensions = layer(tmp_path / "1", {"loud": client(text)})
    async with environment(tmp_path, layers=[extensions]) as bench:
        await bench.environment.initialize()
        for _ in range(3):
            assert (await bench.invoke({"a": 1})).payload == b'{"a": 1}'
            await bench.free()
            bench.journal.lines.clear()


async def test_a_runtime_that_fails_in_init_does_not_wait_for_extensions(tmp_path: Path) -> None:
    extensions = layer(tmp_path / "1", {"good": GOOD})
    async with environment(tmp_path, "import os\nos._exit(4)\n", layers=[extensions]) as bench:
        with anyio.fail_after(PATIENCE):
            outcome = await bench.invoke()
        await bench.free()
    assert fault(outcome)[0] == "Runtime.ExitError"


async def test_an_environment_may_be_closed_while_its_extensions_start(tmp_path: Path) -> None:
    text = client("print('started', flush=True); time.sleep(60)")
    extensions = layer(tmp_path / "1", {"slow": text})
    async with (
        environment(tmp_path, ECHO, layers=[extensions]) as bench,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(bench.environment.initialize)
        await bench.journal.logged("started")
        await bench.environment.close()


async def test_a_crash_between_events_costs_the_next_event_an_init_and_no_more(
    tmp_path: Path,
) -> None:
    text = """
me = register("SHUTDOWN")
if not os.path.exists(SCRATCH + "/go"):
    os.mkfifo(SCRATCH + "/go")
    import threading
    threading.Thread(target=following, args=[me], daemon=True).start()
    open(SCRATCH + "/go").read()
    os._exit(1)
following(me)
"""
    extensions = layer(tmp_path / "1", {"bad": client(text)})
    async with environment(tmp_path, layers=[extensions]) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke({"a": 1})).payload == b'{"a": 1}'
        process = bench.environment._running
        await anyio.to_thread.run_sync((bench.scratch / "go").write_text, "now")
        with anyio.fail_after(PATIENCE):
            await process._programs.gone(["bad"])
        assert (await bench.invoke({"a": 2})).payload == b'{"a": 2}', bench.log
        assert bench.environment._running is not process
