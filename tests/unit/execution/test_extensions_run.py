"""Real extensions beside a real function, written against the public documentation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.environments import CLIENT, ECHO, EXAMPLES, client, environment, layer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


PYTHON_EXAMPLE = EXAMPLES / "extension-python"
SHELL_EXAMPLE = EXAMPLES / "extension-shell"


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def types(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events if "type" in event]


async def test_a_python_extension_reads_the_functions_telemetry(tmp_path: Path) -> None:
    kept: list[dict[str, Any]] = []
    async with environment(tmp_path, layers=[PYTHON_EXAMPLE]) as bench:
        await bench.environment.initialize()
        for _ in range(2):
            outcome = await bench.invoke({"a": 1}, trace="Root=1-2-3;Parent=4;Sampled=1")
            assert outcome.function_error is None, bench.log
            await bench.free()
        file = bench.scratch / "telemetry.jsonl"
        # What it wrote is gone with the environment, so its end is watched in two steps.
        await bench.environment._discard("SPINDOWN")
        kept = written(file)
    *events, shutdown = kept
    assert shutdown["eventType"] == "SHUTDOWN"
    assert shutdown["shutdownReason"] == "SPINDOWN"
    assert types(events)[0] == "platform.initStart"
    assert types(events).count("platform.runtimeDone") == 2
    assert types(events).count("platform.report") == 2
    records = {event["type"]: event["record"] for event in events}
    assert records["function"] == "handling"
    assert records["extension"] == "watching hello"
    assert records["platform.telemetrySubscription"] == {
        "name": "telemetry-to-file",
        "state": "Subscribed",
        "types": ["platform", "function", "extension"],
    }
    assert records["platform.extension"] == {
        "name": "telemetry-to-file",
        "state": "Ready",
        "events": ["INVOKE", "SHUTDOWN"],
    }
    assert records["platform.start"]["tracing"]["value"].endswith("Sampled=1")
    done = [span["name"] for span in records["platform.runtimeDone"]["spans"]]
    assert done == ["responseLatency", "runtimeOverhead"]
    [overhead] = records["platform.report"]["spans"]
    assert overhead["name"] == "extensionOverhead"
    metrics = records["platform.report"]["metrics"]
    assert metrics["durationMs"] >= records["platform.runtimeDone"]["metrics"]["durationMs"]
    assert "TELEMETRY\tName: telemetry-to-file\tState: Subscribed" in bench.log
    assert "Types: [Platform, Function, Extension]\n" in bench.log
    ready = "EXTENSION\tName: telemetry-to-file\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n"
    assert bench.log.index(ready) < bench.log.index("START RequestId: request-1")


async def test_a_shell_extension_counts_events_until_the_environment_ends(tmp_path: Path) -> None:
    async with environment(tmp_path, layers=[SHELL_EXAMPLE]) as bench:
        await bench.environment.initialize()
        for _ in range(3):
            assert (await bench.invoke()).function_error is None, bench.log
            await bench.free()
        await bench.environment._discard("SPINDOWN")
        counted = (bench.scratch / "events-counted").read_text()
    assert counted.startswith('3 events, then {"eventType":"SHUTDOWN"')


async def test_a_later_layer_replaces_an_extension_of_the_same_name(tmp_path: Path) -> None:
    first = layer(tmp_path / "1", {"b": client("register(); print('old', flush=True)")})
    second = layer(
        tmp_path / "2",
        {
            "b": client("me = register(); print('new b', flush=True); following(me)"),
            "a": client("me = register(); print('new a', flush=True); following(me)"),
        },
    )
    async with environment(tmp_path, layers=[first, second]) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke()).function_error is None, bench.log
    assert "old" not in bench.log
    assert bench.log.index("EXTENSION\tName: a\t") < bench.log.index("EXTENSION\tName: b\t")


async def test_an_extension_sees_the_functions_variables_but_for_the_runtimes(
    tmp_path: Path,
) -> None:
    text = client("me = register(); print(json.dumps(dict(os.environ)), flush=True); following(me)")
    async with environment(
        tmp_path, layers=[layer(tmp_path / "1", {"a": text})], variables={"MINE": "yes"}
    ) as bench:
        await bench.environment.initialize()
        [line] = [line for line in bench.journal.lines if line.startswith("{")]
    seen = json.loads(line)
    assert seen["MINE"] == "yes"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "hello"
    withheld = ("_HANDLER", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_LOG_GROUP_NAME")
    assert not seen.keys() & set(withheld)
    assert not [name for name in seen if name.startswith(("AWS_XRAY", "LAMBDABOX_C"))]


async def test_a_caller_does_not_wait_for_extensions_and_the_environment_does(
    tmp_path: Path,
) -> None:
    text = """
me = register("INVOKE")
following(me)
while not os.path.exists(SCRATCH + "/go"):
    time.sleep(0.01)
following(me)
"""
    async with environment(tmp_path, layers=[layer(tmp_path / "1", {"a": client(text)})]) as bench:
        await bench.environment.initialize()
        outcome = await bench.invoke({"a": 1})
        assert outcome.payload == b'{"a": 1}'
        assert bench.frees == 0
        assert "REPORT" not in bench.log
        (bench.scratch / "go").touch()
        await bench.free()
        assert "REPORT RequestId: request-1" in bench.log


async def test_an_internal_extension_hears_of_invocations_and_not_of_the_end(
    tmp_path: Path,
) -> None:
    handler = f"""
import threading
{CLIENT}
heard = []
refused = register("SHUTDOWN", name="inner")
me = register("INVOKE", name="inner")
def listen():
    while True:
        heard.append(following(me))
threading.Thread(target=listen, daemon=True).start()
def handler(event, context):
    return [refused, register("INVOKE", name="late"), [each["requestId"] for each in heard]]
"""
    async with environment(tmp_path, handler) as bench:
        await bench.environment.initialize()
        outcome = await bench.invoke()
        refused, late, heard = json.loads(outcome.payload)
        await bench.free()
    assert refused["errorType"] == "Extension.InvalidEventType"
    assert late["errorType"] == "Extension.RegistrationClosed"
    assert heard in ([], ["request-1"])
    assert "EXTENSION\tName: inner\tState: Ready\tEvents: [INVOKE]\n" in bench.log


async def test_a_runtime_with_an_extension_is_asked_to_end(tmp_path: Path) -> None:
    handler = """
import os, signal, sys
def end(*arguments):
    print("asked to end", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
def handler(event, context):
    return event
"""
    extension = client("me = register(); following(me)")
    async with environment(
        tmp_path, handler, layers=[layer(tmp_path / "1", {"a": extension})]
    ) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke()).function_error is None
        await bench.free()
    assert "asked to end" in bench.log


async def test_a_runtime_without_extensions_is_killed_at_once(tmp_path: Path) -> None:
    handler = ECHO + (
        "import signal, sys\n"
        "def end(*arguments):\n    print('asked to end', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
    )
    async with environment(tmp_path, handler) as bench:
        await bench.environment.initialize()
        assert (await bench.invoke()).function_error is None
    assert "asked to end" not in bench.log


async def test_after_a_timeout_extensions_hear_why_and_tmp_is_kept(tmp_path: Path) -> None:
    text = """
me = register("INVOKE", "SHUTDOWN")
while (event := following(me))["eventType"] == "INVOKE":
    pass
with open(SCRATCH + "/reasons", "a") as file:
    print(event["shutdownReason"], file=file)
"""
    handler = (
        "import os, time\n"
        "def handler(event, context):\n"
        "    if event == 'hang':\n        time.sleep(60)\n"
        "    return open(os.environ['TMPDIR'] + '/reasons').read()\n"
    )
    async with environment(
        tmp_path, handler, layers=[layer(tmp_path / "1", {"a": client(text)})], timeout_seconds=2
    ) as bench:
        await bench.environment.initialize()
        outcome = await bench.invoke("hang")
        assert outcome.error_type == "Sandbox.Timedout"
        await bench.free()
        outcome = await bench.invoke()
        assert json.loads(outcome.payload) == "TIMEOUT\n", bench.log
