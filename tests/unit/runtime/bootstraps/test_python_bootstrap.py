"""The Python bootstrap on every interpreter this machine has."""

import json
import os
from pathlib import Path

import pytest
from bootstrap_harness import (
    ARN,
    REQUEST_ID,
    Start,
    choosing,
    returning,
    running,
)

ECHO = "def handler(event, context):\n    return event\n"


EVENTS = ['{"a": [1, 2.5, null, true, "é😀"]}', "null", '"text"', "[" * 200 + "]" * 200]


def test_events_come_back_unchanged(python: Start) -> None:
    with python(ECHO) as box:
        box.ready()
        for event in EVENTS:
            assert box.invoke(event.encode()).value == json.loads(event)


def test_six_megabytes_pass_both_ways(python: Start) -> None:
    event = json.dumps("x" * 6_291_000).encode()
    with python(ECHO) as box:
        box.ready()
        assert box.invoke(event).body == event


def test_an_environment_serves_many_invocations(python: Start) -> None:
    with python(running("context.n = 1", "return [event, context.aws_request_id]")) as box:
        box.ready()
        for number in range(50):
            answer = box.invoke(str(number).encode(), request_id=f"id-{number}")
            assert answer.value == [number, f"id-{number}"]


def test_the_context_tells_everything_about_the_invocation(python: Start) -> None:
    source = running(
        "c = context",
        "names = 'function_name function_version invoked_function_arn memory_limit_in_mb "
        "aws_request_id log_group_name log_stream_name tenant_id'.split()",
        "return {",
        "  'fields': {n: getattr(c, n) for n in names},",
        "  'left': c.get_remaining_time_in_millis(),",
        "  'identity': [c.identity.cognito_identity_id, c.identity.cognito_identity_pool_id],",
        "  'client': [c.client_context.client.app_title, c.client_context.custom, "
        "c.client_context.env],",
        "  'w3c': c.w3c(), 'repr': repr(c), 'trace': __import__('os').environ['_X_AMZN_TRACE_ID']}",
    )
    with python(source) as box:
        box.ready()
        value = box.invoke(
            trace="Root=1-2;Sampled=1",
            tenant_id="blue",
            client_context='{"client":{"app_title":"t"},"custom":{"k":"v"},"env":{},'
            '"w3c":{"traceparent":"00-1","other":"x"}}',
            identity='{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
        ).value
    assert value["fields"] == {
        "function_name": "app",
        "function_version": "$LATEST",
        "invoked_function_arn": ARN,
        "memory_limit_in_mb": "128",
        "aws_request_id": REQUEST_ID,
        "log_group_name": "/aws/lambda/app",
        "log_stream_name": "2026/01/01/[$LATEST]0",
        "tenant_id": "blue",
    }
    assert 0 < value["left"] <= 3000
    assert value["identity"] == ["i", "p"]
    assert value["client"] == ["t", {"k": "v"}, {}]
    assert value["w3c"] == {"traceparent": "00-1"}
    assert value["trace"] == "Root=1-2;Sampled=1"
    assert value["repr"].startswith(f"LambdaContext([aws_request_id={REQUEST_ID},log_group_name=")


def test_what_the_invocation_does_not_have_is_none(python: Start) -> None:
    source = running(
        "import os",
        "return [context.client_context, context.tenant_id, context.identity.cognito_identity_id,",
        "        os.environ.get('_X_AMZN_TRACE_ID')]",
    )
    with python(source) as box:
        box.ready()
        assert box.invoke(trace="Root=1").value == [None, None, None, "Root=1"]
        assert box.invoke().value == [None, None, None, None]


@pytest.mark.parametrize("handler", ["pkg/mod.handler", "pkg.mod.handler"])
def test_a_handler_may_live_in_a_package(python: Start, handler: str) -> None:
    with python({"pkg/__init__.py": "", "pkg/mod.py": ECHO}, handler=handler) as box:
        box.ready()
        assert box.invoke(b"7").value == 7


RESULTS = {
    "[P(1, P(2, 3))]": b'[{"a": 1, "b": {"a": 2, "b": 3}}]',
    "{'x': [D('0.10'), D('1E+2'), D('NaN')]}": b'{"x": [0.10, 1E+2, NaN]}',
    "float('nan')": b"NaN",
    "[float('inf'), -float('inf')]": b"[Infinity, -Infinity]",
    "b'\\x00raw\\xff'": b"\x00raw\xff",
    "{'a': b'bytes', b'k': 1}": b'{"a": "bytes", "k": 1}',
    "(1, {1: 2, None: 3, True: 4.5})": b'[1, {"1": 4.5, "null": 3}]',
    "None": b"null",
}


def test_results_are_written_as_aws_writes_them(python: Start) -> None:
    head = "from collections import namedtuple as n\nfrom decimal import Decimal as D\n"
    with python(choosing(RESULTS, head=head + "P = n('P', 'a b')")) as box:
        box.ready()
        for number, (expression, expected) in enumerate(RESULTS.items()):
            answer = box.invoke(str(number).encode())
            assert (expression, answer.kind, answer.body) == (expression, "R", expected)


def test_recent_pythons_leave_other_scripts_unescaped(python: Start, python_version: str) -> None:
    with python(returning("'é😀'")) as box:
        box.ready()
        body = box.invoke().body
    recent = int(python_version.removeprefix("3.")) >= 12
    assert body == ('"é😀"'.encode() if recent else b'"\\u00e9\\ud83d\\ude00"')


def test_the_default_level_is_warning_in_text(python: Start) -> None:
    with python(running("import logging", "logging.info('no')", "return 1")) as box:
        box.ready()
        box.invoke()
        assert box.end() == ""


def test_user_code_cannot_see_the_bootstrap(python: Start) -> None:
    source = running(
        "return [[k for k in os.environ if 'LAMBDABOX' in k],",
        "        [p for p in sys.path if 'bootstraps' in p]]",
        head="import os, sys",
    )
    with python(source) as box:
        box.ready()
        assert box.invoke().value == [[], []]


def test_modules_named_like_the_bootstraps_own_are_the_users(python: Start) -> None:
    names = ["bootstrap", "channel", "context", "faults", "handlers", "logs", "output", "paths"]
    files: dict[str, str | bytes] = {f"{name}.py": "MINE = True\n" for name in names}
    imports = f"import {', '.join(names)}"
    mine = f"MINE = [{', '.join(f'{name}.MINE' for name in names)}]"
    files["app.py"] = returning("MINE", head=f"{imports}\n{mine}")
    with python(files) as box:
        box.ready()
        assert box.invoke().value == [True] * len(names)


@pytest.mark.parametrize("module", ["logging", "json", "os", "importlib"])
def test_a_users_module_does_not_replace_the_standard_librarys(python: Start, module: str) -> None:
    files: dict[str, str | bytes] = {f"{module}.py": "", "app.py": returning(
        f"{module}.__file__", head=f"import {module}")}  # fmt: skip
    with python(files) as box:
        box.ready()
        assert "/task/" not in box.invoke().value


def test_imports_come_from_task_layers_pythonpath_and_runtime_in_that_order(
    python: Start, python_version: str, tmp_path: Path
) -> None:
    packages, extra, layer = tmp_path / "packages", tmp_path / "extra", tmp_path / "layer"
    with python(
        returning("__import__('sys').path"),
        environment={"PYTHONPATH": str(extra), "LAMBDABOX_RUNTIME_PACKAGES": str(packages)},
    ) as box:
        box.ready()
        found = box.invoke().value
    assert found[:5] == [
        str(tmp_path / "task"),
        f"{layer}/python/lib/python{python_version}/site-packages",
        f"{layer}/python",
        str(extra),
        str(packages),
    ]
    assert found[5].endswith(f"python{python_version.replace('.', '')}.zip")


def test_layers_are_searched_in_the_given_order(python: Start, tmp_path: Path) -> None:
    for number in (1, 2):
        directory = tmp_path / f"layer{number}" / "python"
        directory.mkdir(parents=True)
        (directory / "shared.py").write_text(f"N = {number}\n")
        (directory / f"only{number}.py").write_text("")
    paths = f"{tmp_path}/layer1{os.pathsep}{tmp_path}/layer2"
    source = returning("shared.N", head="import shared, only1, only2")
    with python(source, environment={"LAMBDABOX_LAYER_PATHS": paths}) as box:
        box.ready()
        assert box.invoke().value == 1


def test_a_safe_path_setting_does_not_stop_the_bootstrap(python: Start) -> None:
    with python(ECHO, environment={"PYTHONSAFEPATH": "1"}) as box:
        box.ready()
        assert box.invoke(b"1").value == 1


def test_child_processes_do_not_inherit_the_channel(python: Start) -> None:
    source = running(
        "out = subprocess.run(['ls', '-l', '/proc/self/fd'], capture_output=True, close_fds=False)",
        "return out.stdout.decode()",
        head="import subprocess",
    )
    with python(source) as box:
        box.ready()
        assert "socket:" not in box.invoke().value


def test_threads_go_on_after_the_answer(python: Start) -> None:
    source = (
        "import threading\nstart, done = threading.Event(), threading.Event()\n"
        "def work():\n    start.wait()\n    print('from the thread')\n    done.set()\n"
        "def handler(event, context):\n"
        "    if event == 1:\n        threading.Thread(target=work, daemon=True).start()\n"
        "        start.set()\n        return 1\n"
        "    return done.wait(10)\n"
    )
    with python(source) as box:
        box.ready()
        assert box.invoke(b"1").value == 1
        assert box.invoke(b"2").value is True
        assert box.end() == "from the thread\n"


def test_a_channel_that_closes_ends_the_process_quietly(python: Start) -> None:
    with python(ECHO) as box:
        box.ready()
        assert box.end() == ""
        assert box.status() == 0
