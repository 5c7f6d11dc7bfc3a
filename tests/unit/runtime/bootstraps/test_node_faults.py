"""How the Node.js bootstrap reports failures and writes the log."""

import json
import re
from pathlib import Path

import pytest
from bootstrap_harness import REQUEST_ID, Start, node_starter


@pytest.fixture
def node(tmp_path: Path) -> Start:
    return node_starter(tmp_path)


STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


NODE_24 = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}


NODE_20 = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}


ASYNC = "exports.handler = async (event) => event;\n"


def test_a_callbacks_error_is_the_functions_error(node: Start) -> None:
    source = "exports.handler = (e, c, cb) => cb(new TypeError('bad'))"
    with node(source, environment=NODE_20) as box:
        box.ready()
        answer = box.invoke()
    assert answer.error["errorType"] == "TypeError"
    assert answer.error["errorMessage"] == "bad"


@pytest.mark.parametrize(
    ("files", "handler", "kind", "message"),
    [
        ({"index.js": ASYNC}, "index", "MalformedHandlerName", r"Bad handler 'index': .*"),
        ({"index.js": ASYNC}, "../index.handler", "MalformedHandlerName", r"Bad handler .*"),
        ({}, "index.handler", "ImportModuleError", r"Error: Cannot find module 'index'"),
        (
            {"index.js": "require('nosuch')"},
            "index.handler",
            "ImportModuleError",
            r"Error: Cannot find module 'nosuch'\nRequire stack:\n- [^\n]*/task/index.js",
        ),
        (
            {"index.mjs": "import 'nosuch'"},
            "index.handler",
            "ImportModuleError",
            r"Error \[ERR_MODULE_NOT_FOUND\]: Cannot find package 'nosuch' imported from [^\n]*",
        ),
        ({"index.js": ASYNC}, "index.x", "HandlerNotFound", "index.x is undefined or not exported"),
        ({"index.js": "exports.x = 1"}, "index.x", "HandlerNotFound", "index.x is not a function"),
        (
            {"index.js": "exports.handler = ("},
            "index.handler",
            "UserCodeSyntaxError",
            "SyntaxError: .*",
        ),
        (
            {"index.mjs": "await new Promise(() => {}); export const handler = 1"},
            "index.handler",
            "NodejsExit",
            "The event loop ended .*",
        ),
        (
            {"index.js": "exports.handler = (e, c, cb) => cb()"},
            "index.handler",
            "CallbackHandlerDeprecated",
            "index.handler takes a callback.*",
        ),
    ],
)
def test_a_failed_init_is_reported_and_ends_the_process(
    node: Start, files: dict[str, str | bytes], handler: str, kind: str, message: str
) -> None:
    with node(files, handler=handler, environment=NODE_24) as box:
        frame = box.receive()
        assert frame is not None
        assert frame.kind == "X"
        assert box.status() == 1
        output = box.end()
    assert frame.error_type == f"Runtime.{kind}"
    assert list(frame.error) == ["errorType", "errorMessage", "trace"]
    assert frame.error["errorType"] == f"Runtime.{kind}"
    assert re.fullmatch(message, frame.error["errorMessage"]), frame.error
    assert re.match(rf"{STAMP}\tundefined\tERROR\tUncaught Exception \t\{{\"errorType\"", output)
    assert output.count("\n") == 1


def test_a_module_that_throws_is_a_failed_init(node: Start) -> None:
    with node("throw new RangeError('early')") as box:
        frame = box.receive()
        assert box.status() == 1
    assert frame is not None
    assert (frame.kind, frame.error["errorType"]) == ("X", "RangeError")


def test_an_error_is_reported_without_the_bootstraps_frames(node: Start, tmp_path: Path) -> None:
    source = (
        "exports.handler = async () => {\n  throw Object.assign(new TypeError('bäd'), {k: 1});\n}"
    )
    with node(source) as box:
        box.ready()
        answer = box.invoke()
        assert box.invoke().kind == "E"
        log = box.end().splitlines()
    assert answer.error_type == "TypeError"
    assert list(answer.error) == ["errorType", "errorMessage", "trace"]
    assert answer.error["errorType"] == "TypeError"
    assert answer.error["errorMessage"] == "bäd"
    assert answer.error["trace"][0] == "TypeError: bäd"
    assert f"{tmp_path}/task/index.js:2:" in answer.error["trace"][1]
    assert not [line for line in answer.error["trace"] if "bootstraps" in line]
    assert json.loads(answer.cause)["exceptions"][0]["stack"][0]["line"] == 2
    title, details = log[0].split("Invoke Error \t")
    assert re.fullmatch(rf"{STAMP}\t{REQUEST_ID}\tERROR\t", title)
    assert json.loads(details) == {
        "errorType": "TypeError",
        "errorMessage": "bäd",
        "k": 1,
        "stack": answer.error["trace"],
    }
    assert len(log) == 2


@pytest.mark.parametrize(
    ("thrown", "kind", "message"),
    [
        ("'text'", "string", "text"),
        ("undefined", "undefined", "undefined"),
        ("null", "object", "null"),
        ("{toString() { throw 1 }}", "object", "an unprintable object"),
        ("Object.create(null)", "object", "an unprintable object"),
        ("new (class A extends Error { get message() { throw 1 } })()", "Error", None),
    ],
)
def test_anything_may_be_thrown(node: Start, thrown: str, kind: str, message: str | None) -> None:
    with node(f"exports.handler = async () => {{ throw {thrown}; }}") as box:
        box.ready()
        answer = box.invoke()
        assert box.invoke().kind == "E"
    assert answer.error["errorType"] == kind
    if message is not None:
        assert answer.error["errorMessage"] == message


@pytest.mark.parametrize("result", ["10n", "(() => { const x = {}; x.x = x; return x; })()"])
def test_a_result_that_json_lacks_is_an_error(node: Start, result: str) -> None:
    with node(f"exports.handler = async () => {result}") as box:
        box.ready()
        answer = box.invoke()
    assert answer.error["errorType"] == "Error"
    assert answer.error["errorMessage"] == "Unable to stringify response body"


def test_a_promise_that_nothing_can_settle_is_nodejs_exit(node: Start) -> None:
    with node("exports.handler = (e) => e ? new Promise(() => {}) : Promise.resolve(1)") as box:
        box.ready()
        answer = box.invoke(b"true")
        assert answer.error["errorType"] == "Runtime.NodejsExit"
        assert answer.error_type == "Runtime.NodejsExit"
        assert box.invoke(b"false").value == 1


@pytest.mark.parametrize(
    ("body", "kind", "message", "title", "status"),
    [
        (
            "Promise.reject(new Error('lost'))",
            "Runtime.UnhandledPromiseRejection",
            "Error: lost",
            "Unhandled Promise Rejection",
            128,
        ),
        (
            "setTimeout(() => { throw new RangeError('late') }, 1)",
            "RangeError",
            "late",
            "Uncaught Exception",
            129,
        ),
    ],
)
def test_what_nobody_catches_fails_the_invocation_and_ends_the_process(
    node: Start, body: str, kind: str, message: str, title: str, status: int
) -> None:
    source = f"exports.handler = () => {{ {body}; return new Promise((r) => setTimeout(r, 9e6)); }}"
    with node(source) as box:
        box.ready()
        box.send(b"{}")
        answer = box.receive()
        assert answer is not None
        assert box.receive() is None
        assert box.status() == status
        output = box.end()
    assert answer.kind == "E"
    assert answer.error["errorType"] == kind
    assert answer.error["errorMessage"] == message
    assert f"\t{REQUEST_ID}\tERROR\t{title} \t{{" in output


def test_console_calls_are_one_event_each_in_order(node: Start) -> None:
    source = (
        "exports.handler = async () => { console.log('a %s\\nb', 1, {k: 2});"
        " process.stdout.write('raw\\n'); console.warn('w'); console.error('e');"
        " console.debug('d');"
        " console.log('x'.repeat(300000)); }"
    )
    with node(source) as box:
        box.ready()
        box.invoke()
        lines = box.end().split("\n")
    expected = [("INFO", "a 1\rb { k: 2 }"), None, ("WARN", "w"), ("ERROR", "e"), ("DEBUG", "d")]
    for line, wanted in zip(lines, expected, strict=False):
        if wanted is None:
            assert line == "raw"
        else:
            level, text = wanted
            assert re.fullmatch(rf"{STAMP}\t{REQUEST_ID}\t{level}\t{re.escape(text)}", line)
    assert lines[5].endswith("\tINFO\t" + "x" * 300_000)


def test_json_logs_have_a_level_and_keep_objects(node: Start) -> None:
    source = (
        "exports.handler = async () => { console.debug('no'); console.log({k: [1]});"
        " console.error('bad', new TypeError('t')); console.log('n', 5);"
        " throw new RangeError('r'); }"
    )
    settings = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with node(source, environment=settings) as box:
        box.ready()
        box.invoke(tenant_id="blue")
        first, second, third, last = map(json.loads, box.end().splitlines())
    assert list(first) == ["timestamp", "level", "requestId", "tenantId", "message"]
    assert (first["level"], first["message"]) == ("INFO", {"k": [1]})
    assert first["requestId"] == REQUEST_ID
    assert second["level"] == "ERROR"
    assert (second["errorType"], second["errorMessage"]) == ("TypeError", "t")
    assert second["stackTrace"][0] == "TypeError: t"
    assert third["message"] == "n 5"
    assert (last["level"], last["errorType"]) == ("ERROR", "RangeError")
