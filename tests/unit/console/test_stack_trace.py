"""What is read of a failure's stack trace."""

import json

import pytest

from lambdabox.console.stack_trace import Frame, read_failure

PYTHON = {
    "errorType": "ValueError",
    "errorMessage": "no",
    "stackTrace": [
        '  File "/var/task/app.py", line 4, in handler\n    helper()\n',
        '  File "/var/lang/lib/python3.13/json/decoder.py", line 3, in decode\n',
        '  File "/var/task/gone.py", line 9, in helper\n',
    ],
}


def test_only_places_in_the_functions_own_files_are_linked() -> None:
    failure = read_failure(json.dumps(PYTHON).encode(), {"app.py", "json/decoder.py"})
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "no")
    assert [frame.path for frame in failure.frames] == ["app.py", None, None, None]
    assert failure.frames[0].line == 4


@pytest.mark.parametrize(
    ("line", "path", "number"),
    [
        ("    at handler (/var/task/index.mjs:3:9)", "index.mjs", 3),
        ("    at file:///var/task/lib/tools.mjs:12:5", "lib/tools.mjs", 12),
        (f'  File "/data/staged/{"ab" * 32}/app.py", line 7, in f', "app.py", 7),
        ("/var/task/app.rb:2:in `handler'", "app.rb", 2),
        ('  File "/var/task/app.py", line 99999999999999999999', "app.py", 9_999_999),
    ],
)
def test_every_runtimes_places_are_found(line: str, path: str, number: int) -> None:
    payload = json.dumps({"errorType": "Error", "trace": [line]}).encode()
    failure = read_failure(payload, {"index.mjs", "lib/tools.mjs", "app.py", "app.rb"})
    assert failure is not None
    assert failure.frames == [Frame(line, path, number)]


@pytest.mark.parametrize(
    "payload", [b"", b"no JSON", b"[]", b"{}", b'"text"', b'{"message": "mine"}', b"\xff"]
)
def test_a_payload_of_another_form_is_no_failure(payload: bytes) -> None:
    assert read_failure(payload, set()) is None


def test_a_hostile_trace_is_survived() -> None:
    error = {"errorType": ["x"], "errorMessage": None, "stackTrace": [1, None, {"a": 2}, "ok"]}
    failure = read_failure(json.dumps(error).encode(), set())
    assert failure is not None
    assert [frame.text for frame in failure.frames] == ["ok"]
    strange = read_failure(b'{"errorType": "E", "stackTrace": 7}', set())
    assert strange is not None
    assert strange.frames == []
