"""What the Python bootstrap writes to the log, on every interpreter this machine has."""

import json
import re
from pathlib import Path

import pytest
from bootstrap_harness import (
    REQUEST_ID,
    Start,
    running,
)

ECHO = "def handler(event, context):\n    return event\n"


def test_an_uncaught_error_is_one_event_of_the_log(python: Start, tmp_path: Path) -> None:
    with python("def handler(e, c):\n    raise ValueError('a\\nb')\n") as box:
        box.ready()
        box.invoke()
        output = box.end()
    app = tmp_path / "task" / "app.py"
    assert output == (
        "[ERROR] ValueError: a\rb\rTraceback (most recent call last):\r"
        f'\u00a0\u00a0File "{app}", line 2, in handler\r'
        "\u00a0\u00a0\u00a0\u00a0raise ValueError('a\\nb')\n"
    )


def test_an_uncaught_error_is_one_object_of_a_json_log(python: Start) -> None:
    with python(
        "def handler(e, c):\n    raise ValueError('a\\nb')\n",
        environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"},
    ) as box:
        box.ready()
        answer = box.invoke()
        output = box.end()
    entry = json.loads(output)
    assert list(entry)[:2] == ["timestamp", "level"]
    assert entry.pop("level") == "ERROR"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.pop("timestamp"))
    assert entry == answer.error


def test_an_exception_that_cannot_be_printed_is_still_reported(python: Start) -> None:
    head = "class Bad(Exception):\n    def __str__(self):\n        raise TypeError('no')\n"
    with python(running("raise Bad()", head=head)) as box:
        box.ready()
        answer = box.invoke()
    assert answer.error["errorType"] == "Bad"
    assert answer.error["errorMessage"] == "<unprintable Bad object>"


def test_prints_and_log_records_keep_their_order(python: Start) -> None:
    source = running(
        "print('one', end='')",
        "print(' 1')",
        "log.warning('two\\n2')",
        "print('three', file=sys.stderr)",
        "context.log('four\\n4')",
        "sys.stdout.buffer.write(b'five\\n')",
        "os.write(2, b'six\\n') if sys.stdout.flush() is None else 0",
        "sys.stdout.buffer.write(b'seven\\n')",
        "return 1",
        head="import logging, os, sys\nlog = logging.getLogger()\n",
    )
    with python(source) as box:
        box.ready()
        box.invoke()
        output = box.end()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    expected = (
        rf"one 1\n\[WARNING\]\t{stamp}\t{REQUEST_ID}\ttwo\r2\nthree\nfour\r4\nfive\nsix\nseven\n"
    )
    assert re.fullmatch(expected, output), output


def test_what_was_printed_before_a_crash_is_kept(python: Start) -> None:
    with python(running("print('dots', end='')", "os._exit(1)", head="import os")) as box:
        box.ready()
        box.send(b"{}")
        assert box.status() == 1
        assert box.end() == "dots"


def test_a_huge_print_arrives_whole(python: Start) -> None:
    with python(running("print('x' * 3_000_000)", "return len(event)")) as box:
        box.ready()
        assert box.invoke(b'"abc"').value == 3
        assert box.end() == "x" * 3_000_000 + "\n"


@pytest.mark.parametrize(
    "vandalism",
    [
        "sys.stdout.close()",
        "sys.stdout = None",
        "sys.stdout = io.StringIO()",
        "sys.stdout = object()",
        "os.close(1)",
        "sys.stderr.close()",
    ],
)
def test_the_log_and_the_answer_survive_a_vandalised_stdout(python: Start, vandalism: str) -> None:
    source = running(vandalism, "log.error('still here')", "return 'fine'",
                     head="import io, logging, os, sys\nlog = logging.getLogger()\n")  # fmt: skip
    with python(source) as box:
        box.ready()
        assert box.invoke().value == "fine"
        assert "still here\n" in box.end()


def test_a_text_log_level_drops_what_is_below(python: Start) -> None:
    source = running("import logging", "logging.error('no')", "logging.critical('yes')")
    with python(source, environment={"AWS_LAMBDA_LOG_LEVEL": "FATAL"}) as box:
        box.ready()
        box.invoke()
        assert box.end().splitlines()[0].startswith("[CRITICAL]\t")


def test_json_records_carry_extras_errors_and_the_request(python: Start) -> None:
    source = running(
        "log.info('hello %s', 'wörld', extra={'order': 7, 'thing': {1, }})",
        "log.info({'k': 'v'})",
        "try:\n        1 / 0\n    except ZeroDivisionError:\n        log.exception('bad')",
        head="import logging\nlog = logging.getLogger('my.log')",
    )
    settings = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with python(source, environment=settings) as box:
        box.ready()
        box.invoke(tenant_id="blue")
        first, second, third = map(json.loads, box.end().splitlines())
    assert list(first) == [
        "timestamp", "level", "message", "logger", "requestId", "tenantId", "order", "thing",
    ]  # fmt: skip
    assert first["message"] == "hello wörld"
    assert first["logger"] == "my.log"
    assert first["requestId"] == REQUEST_ID
    assert first["order"] == 7
    assert first["thing"] == "{1}"
    assert second["message"] == {"k": "v"}
    assert third["errorType"] == "ZeroDivisionError"
    assert third["errorMessage"] == "division by zero"
    assert third["stackTrace"][0].endswith("1 / 0\n") or "1 / 0" in third["stackTrace"][0]
    assert re.search(r"/app\.py:handler:\d+$", third["location"])
