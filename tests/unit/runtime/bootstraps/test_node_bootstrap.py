"""The Node.js bootstrap, on the Node.js that is installed."""

from pathlib import Path

import pytest
from bootstrap_harness import ARN, REQUEST_ID, Start, node_starter


@pytest.fixture
def node(tmp_path: Path) -> Start:
    return node_starter(tmp_path)


STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


NODE_24 = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}


NODE_20 = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}


ASYNC = "exports.handler = async (event) => event;\n"


def test_events_come_back_unchanged(node: Start) -> None:
    with node(ASYNC) as box:
        box.ready()
        for event in ('{"a":[1,2.5,null,true,"é😀"]}', "null", '"t"', '"' + "x" * 6_291_000 + '"'):
            assert box.invoke(event.encode()).body == event.encode()


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        pytest.param({"a/b.js": "exports.x = {y: async () => 1}"}, "a/b.x.y", id="nested"),
        pytest.param({"m.mjs": "export const h = async () => 1"}, "m.h", id="mjs"),
        pytest.param({"m.mjs": "export default {h: async () => 1}"}, "m.h", id="default export"),
        pytest.param({"m.cjs": "exports.h = async () => 1"}, "m.h", id="cjs"),
        pytest.param(
            {"package.json": '{"type":"module"}', "m.js": "export const h = async () => 1"},
            "m.h",
            id="package type",
        ),
        pytest.param(
            {"m.mjs": "const v = await Promise.resolve(1); export const h = async () => v"},
            "m.h",
            id="top-level await",
        ),
        pytest.param({"m/index.js": "exports.h = async () => 1"}, "m.h", id="directory"),
    ],
)
def test_a_handler_is_found(node: Start, files: dict[str, str | bytes], handler: str) -> None:
    with node(files, handler=handler) as box:
        box.ready()
        assert box.invoke().value == 1


def test_packages_come_from_layers(node: Start, tmp_path: Path) -> None:
    for number, kind in ((1, "nodejs/node_modules"), (2, "nodejs/node_modules")):
        package = tmp_path / f"layer{number}" / kind / "shared"
        package.mkdir(parents=True)
        (package / "index.js").write_text(f"module.exports = {number}")
    source = "const n = require('shared'); exports.handler = async () => n;"
    paths = {"LAMBDABOX_LAYER_PATHS": f"{tmp_path}/layer1:{tmp_path}/layer2"}
    with node(source, environment=paths) as box:
        box.ready()
        assert box.invoke().value == 1


def test_the_context_tells_everything_about_the_invocation(node: Start) -> None:
    source = (
        "exports.handler = async (e, c) => ({...c, left: c.getRemainingTimeInMillis(),"
        " trace: process.env._X_AMZN_TRACE_ID,"
        " own: Object.keys(process.env).filter((n) => n.startsWith('LAMBDABOX'))});"
    )
    with node(source, environment=NODE_20) as box:
        box.ready()
        value = box.invoke(
            tenant_id="blue",
            trace="Root=1",
            client_context='{"custom":{"a":1}}',
            identity='{"cognitoIdentityId":"i"}',
        ).value
        assert "trace" not in box.invoke().value
    assert 0 < value.pop("left") <= 3000
    assert value == {
        "functionVersion": "$LATEST",
        "functionName": "app",
        "memoryLimitInMB": "128",
        "logGroupName": "/aws/lambda/app",
        "logStreamName": "2026/01/01/[$LATEST]0",
        "clientContext": {"custom": {"a": 1}},
        "identity": {"cognitoIdentityId": "i"},
        "invokedFunctionArn": ARN,
        "awsRequestId": REQUEST_ID,
        "tenantId": "blue",
        "callbackWaitsForEmptyEventLoop": True,
        "trace": "Root=1",
        "own": [],
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("cb(null, 1)", 1),
        ("cb()", None),
        ("setTimeout(() => cb(null, 2), 5)", 2),
        ("c.succeed(3)", 3),
        ("c.done(null, 4)", 4),
        ("c.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1e6); cb(null, 5)", 5),
        ("setInterval(() => {}, 1e6); c.succeed(6)", 6),
        ("return 7", None),
        ("cb(null, 8); cb(null, 9)", 8),
    ],
)
def test_callback_handlers_of_node_22_and_before(
    node: Start, body: str, expected: int | None
) -> None:
    with node(f"exports.handler = (e, c, cb) => {{ {body} }}", environment=NODE_20) as box:
        box.ready()
        assert box.invoke().value == expected
        assert box.invoke().value == expected


def test_a_callbacks_result_waits_for_the_event_loop(node: Start) -> None:
    source = (
        "exports.handler = (e, c, cb) => {"
        " cb(null, 1); setTimeout(() => console.log('afterwards'), 20); }"
    )
    with node(source, environment=NODE_20) as box:
        box.ready()
        assert box.invoke().value == 1
        assert box.end().endswith("INFO\tafterwards\n")


def test_node_24_takes_the_returned_value_and_no_callback(node: Start) -> None:
    source = "exports.handler = (e, c) => [e, 'succeed' in c, arguments.length]"
    with node(source, environment=NODE_24) as box:
        box.ready()
        assert box.invoke(b"1").value[:2] == [1, False]


@pytest.mark.parametrize(
    ("result", "expected"),
    [("undefined", b"null"), ("() => 1", b"null"), ("NaN", b"null"), ("Buffer.from('a')", None)],
)
def test_results_are_what_json_stringify_makes_of_them(
    node: Start, result: str, expected: bytes | None
) -> None:
    with node(f"exports.handler = async () => ({result})") as box:
        box.ready()
        assert box.invoke().body == (expected or b'{"type":"Buffer","data":[97]}')


@pytest.mark.parametrize("status", [0, 3])
def test_process_exit_ends_without_an_answer(node: Start, status: int) -> None:
    with node(f"exports.handler = async () => process.exit({status})") as box:
        box.ready()
        box.send(b"{}")
        assert box.receive() is None
        assert box.status() == status


def test_user_timers_run_between_invocations(node: Start) -> None:
    source = (
        "let tell; const fired = new Promise((r) => { tell = r; });"
        "exports.handler = async (e) => {"
        "  if (e === 1) { setTimeout(() => { console.log('idle'); tell(2); }, 1); return 1; }"
        "  return fired; };"
    )
    with node(source) as box:
        box.ready()
        assert box.invoke(b"1").value == 1
        assert box.invoke(b"2").value == 2
        assert box.end().endswith("INFO\tidle\n")


def test_an_idle_process_stays_and_a_closed_channel_ends_it(node: Start) -> None:
    with node(ASYNC) as box:
        box.ready()
        assert box.process.poll() is None
        assert box.end() == ""
        assert box.status() == 0
