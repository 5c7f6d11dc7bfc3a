"""How the Python bootstrap reports failures, on every interpreter this machine has."""

import json
from pathlib import Path

import pytest
from bootstrap_harness import (
    REQUEST_ID,
    Start,
    choosing,
    returning,
    running,
)

ECHO = "def handler(event, context):\n    return event\n"


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("client_context", "{", "Unable to parse Client Context JSON: Expecting property name"),
        ("identity", "x", "Unable to parse Cognito Identity JSON: Expecting value: line 1"),
        ("client_context", "[1]", "Unable to parse Client Context JSON: an object is expected"),
    ],
)
def test_a_header_that_is_not_json_fails_the_invocation(
    python: Start, field: str, text: str, message: str
) -> None:
    with python(ECHO) as box:
        box.ready()
        answer = box.invoke(b"{}", **{field: text})
    assert answer.error_type == "Runtime.LambdaContextUnmarshalError"
    assert answer.error["errorMessage"].startswith(message)


def test_an_exception_is_reported_with_the_users_frames_only(python: Start, tmp_path: Path) -> None:
    source = "def inner():\n    raise ValueError('bäd\\nthing')\ndef handler(e, c):\n    inner()\n"
    with python(source) as box:
        box.ready()
        answer = box.invoke()
    app = tmp_path / "task" / "app.py"
    assert answer.kind == "E"
    assert answer.error_type == "ValueError"
    assert list(answer.error.items()) == [
        ("errorMessage", "bäd\nthing"),
        ("errorType", "ValueError"),
        ("requestId", REQUEST_ID),
        (
            "stackTrace",
            [
                f'  File "{app}", line 4, in handler\n    inner()\n',
                f"  File \"{app}\", line 2, in inner\n    raise ValueError('bäd\\nthing')\n",
            ],
        ),
    ]
    cause = json.loads(answer.cause)
    assert cause["working_directory"] == str(tmp_path / "task")
    assert cause["paths"] == [str(app)]
    assert cause["exceptions"][0]["type"] == "ValueError"
    assert cause["exceptions"][0]["stack"][1] == {"label": "inner", "path": str(app), "line": 2}


@pytest.mark.parametrize(
    ("files", "handler", "kind", "message"),
    [
        pytest.param(
            {"app.py": ECHO},
            "app",
            "Runtime.MalformedHandlerName",
            "Bad handler 'app': not enough values to unpack (expected 2, got 1)",
            id="no dot",
        ),
        pytest.param(
            {},
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'app'",
            id="no module",
        ),
        pytest.param(
            {"app.py": "import nosuchthing"},
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nosuchthing'",
            id="no dependency",
        ),
        pytest.param(
            {"pkg/app.py": "from os import nosuchname"},
            "pkg/app.handler",
            "Runtime.ImportModuleError",
            None,
            id="no name",
        ),
        pytest.param(
            {"app.py": ECHO},
            "app.other",
            "Runtime.HandlerNotFound",
            "Handler 'other' missing on module 'app'",
            id="no function",
        ),
        pytest.param(
            {},
            "sys.handler",
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module",
            id="built-in module",
        ),
        pytest.param(
            {"app.py": "def handler(:\n"},
            "app.handler",
            "Runtime.UserCodeSyntaxError",
            None,
            id="syntax error",
        ),
        pytest.param(
            {"app.py": "raise KeyError('k')"}, "app.handler", "KeyError", "'k'", id="init raises"
        ),
    ],
)
def test_a_failed_init_is_reported_and_ends_the_process(
    python: Start, files: dict[str, str | bytes], handler: str, kind: str, message: str | None
) -> None:
    with python(files, handler=handler) as box:
        frame = box.receive()
        assert frame is not None
        assert frame.kind == "X"
        assert box.status() == 1
        output = box.end()
    assert frame.error_type == kind
    assert list(frame.error) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert frame.error["errorType"] == kind
    assert frame.error["requestId"] == ""
    if message is not None:
        assert frame.error["errorMessage"] == message
    start = f"[ERROR] {kind}: {frame.error['errorMessage']}\rTraceback (most recent call last):"
    assert output.startswith(start)
    assert output.count("\n") == 1


def test_a_syntax_error_names_its_place(python: Start, tmp_path: Path) -> None:
    with python("x = 1\ndef handler(:\n") as box:
        frame = box.receive()
    assert frame is not None
    message = frame.error["errorMessage"]
    assert message.startswith("Syntax error in module 'app': ")
    assert message.endswith("(app.py, line 2)")
    app = tmp_path / "task" / "app.py"
    assert frame.error["stackTrace"] == [f'  File "{app}" Line 2\n    def handler(:\n']


def test_the_trace_of_a_failed_init_ends_in_the_users_module(python: Start, tmp_path: Path) -> None:
    with python("1 / 0\n") as box:
        frame = box.receive()
    assert frame is not None
    trace = frame.error["stackTrace"]
    assert "importlib" in trace[0]
    assert trace[-1] == f'  File "{tmp_path}/task/app.py", line 1, in <module>\n    1 / 0\n'
    assert "lambdabox_bootstrap" not in "".join(trace)


NOT_JSON = {
    "{1, 2}": "Object of type set is not JSON serializable",
    "datetime.datetime(2026, 1, 1)": "Object of type datetime is not JSON serializable",
    "bytearray(b'x')": "Object of type bytearray is not JSON serializable",
    "{(1, 2): 3}": "keys must be str, int, float, bool or None, not tuple",
    "{D(1): 3}": "keys must be str, int, float, bool or None, not Decimal",
    "{'a': b'\\xff'}": "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    "ring": "Circular reference detected",
    "asynchronous()": "Object of type coroutine is not JSON serializable",
}


def test_a_result_that_json_lacks_is_a_marshal_error(python: Start) -> None:
    head = (
        "import datetime\nfrom decimal import Decimal as D\nring = []\nring.append(ring)\n"
        "async def asynchronous(): pass"
    )
    with python(choosing(NOT_JSON, head=head)) as box:
        box.ready()
        for number, text in enumerate(NOT_JSON.values()):
            assert box.invoke(str(number).encode()).error == {
                "errorMessage": f"Unable to marshal response: {text}",
                "errorType": "Runtime.MarshalError",
                "requestId": REQUEST_ID,
                "stackTrace": [],
            }


def test_a_result_with_half_a_surrogate_is_a_marshal_error_or_escaped(
    python: Start, python_version: str
) -> None:
    with python(returning("'\\ud800'")) as box:
        box.ready()
        answer = box.invoke()
        assert box.invoke(b"1").kind == answer.kind
    if int(python_version.removeprefix("3.")) >= 12:
        assert answer.error_type == "Runtime.MarshalError"
    else:
        assert answer.body == b'"\\ud800"'


NOT_EVENTS = {
    b"": "Expecting value: line 1 column 1 (char 0)",
    b"\xff\x00": "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    b'{"NaN": [1, NaN]}': "Expecting value: line 1 column 13 (char 12)",
    b'{"a"': "Expecting ':' delimiter: line 1 column 5 (char 4)",
    b"[" * 200_000: None,
}


def test_an_event_that_is_not_json_is_an_unmarshal_error(python: Start) -> None:
    with python(ECHO) as box:
        box.ready()
        for event, text in NOT_EVENTS.items():
            answer = box.invoke(event)
            assert answer.error_type == "Runtime.UnmarshalError"
            assert answer.error["stackTrace"] == []
            message = answer.error["errorMessage"]
            assert message.startswith(f"Unable to unmarshal input: {text or ''}")
        assert box.invoke(b"1").value == 1


def test_endless_recursion_is_an_error_of_the_invocation(python: Start) -> None:
    with python("def handler(event, context):\n    return handler(event, context)\n") as box:
        box.ready()
        answer = box.invoke()
        assert box.invoke().kind == "E"
    assert answer.error_type == "RecursionError"
    assert any("Previous line repeated" in line for line in answer.error["stackTrace"])


@pytest.mark.parametrize("reason", ["sys.exit(3)", "exit(3)", "quit(3)", "os._exit(3)"])
def test_exiting_in_the_handler_ends_the_process_without_an_answer(
    python: Start, reason: str
) -> None:
    with python(running(reason, head="import sys, os")) as box:
        box.ready()
        box.send(b"{}")
        assert box.receive() is None
        assert box.status() == 3


@pytest.mark.parametrize("status", [0, 4])
def test_exiting_at_import_ends_the_process_without_a_report(python: Start, status: int) -> None:
    with python(f"import sys\nsys.exit({status})\n") as box:
        assert box.receive() is None
        assert box.status() == status


def test_other_base_exceptions_end_the_process(python: Start) -> None:
    with python(running("raise GeneratorExit('x')")) as box:
        box.ready()
        box.send(b"{}")
        assert box.receive() is None
        assert box.status() == 1


def test_a_zero_byte_in_an_error_type_does_not_break_the_frame(python: Start) -> None:
    head = (
        "class Meta(type):\n    __name__ = property(lambda cls: 'A\\0B' + 'x' * 9999)\n"
        "class Odd(Exception, metaclass=Meta): pass\n"
    )
    with python(running("raise Odd('m')", head=head)) as box:
        box.ready()
        answer = box.invoke()
    assert answer.error_type == "AB" + "x" * 254
    assert answer.error["errorMessage"] == "m"
