"""What is read of a log's report and of a failure's stack trace."""

import json

import pytest

from lambdabox.console.report import Report, read_report
from lambdabox.console.stack_trace import Frame, read_failure

WARM = (
    "START RequestId: 1 Version: $LATEST\nREPORT RequestId: 1\tDuration: 3.01 ms\t"
    "Billed Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n"
)
COLD = WARM.replace("36 MB\t", "36 MB\tInit Duration: 9.03 ms\t")


def test_the_last_report_counts() -> None:
    other = WARM.replace("3.01", "5.50")
    assert read_report(other + WARM) == Report(3.01, 4, 128, 36)


def test_init_and_restore_come_before_the_run() -> None:
    cold = read_report(COLD)
    assert cold == Report(3.01, 4, 128, 36, init_ms=9.03)
    assert (cold.start_percent, cold.memory_percent) == (75.0, 28.1)
    restored = read_report(COLD.replace("Init", "Restore"))
    assert restored == Report(3.01, 4, 128, 36, restore_ms=9.03)


def test_a_report_in_json_is_read_too() -> None:
    metrics = {"durationMs": 3.01, "billedDurationMs": 13, "memorySizeMB": 128,
               "maxMemoryUsedMB": 36, "initDurationMs": 9.5}  # fmt: skip
    line = json.dumps({"type": "platform.report", "record": {"metrics": metrics}})
    assert read_report(f'{line}\n{{"message": "bye"}}') == Report(3.01, 13, 128, 36, init_ms=9.5)


@pytest.mark.parametrize(
    "log",
    ["", "hello", "REPORT RequestId: 1", '{"type": "platform.report"}', '"platform.report"',
     '"platform.report" {', '{"type":"platform.report","record":{"metrics":{"durationMs":"x"}}}',
     WARM.replace("3.01", "1.2.3"), WARM.replace("128 MB", "x MB")],
)  # fmt: skip
def test_what_only_looks_like_a_report_is_none(log: str) -> None:
    assert read_report(log) is None


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
