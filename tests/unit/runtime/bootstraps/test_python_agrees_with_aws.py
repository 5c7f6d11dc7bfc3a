"""The Python bootstrap's parts and AWS's own runtime client, side by side on the same input."""

import importlib
import json
import logging
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from awslambdaric import bootstrap as aws
from awslambdaric.lambda_context import LambdaContext
from awslambdaric.lambda_runtime_exception import FaultException
from awslambdaric.lambda_runtime_log_utils import JsonFormatter
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from bootstrap_harness import ARN, BOOTSTRAPS, REQUEST_ID
from hypothesis import given, settings
from hypothesis import strategies as st

Pair = namedtuple("Pair", "first second")


class Colour(Enum):
    RED = 1


class Level(IntEnum):
    LOW = 1


class Described:
    def _asdict(self) -> dict[str, int]:
        return {"x": 1}


class NamedList(list[int]):
    def _asdict(self) -> dict[str, int]:
        return {"x": 1}


class Text(str):
    __slots__ = ()


def ours(name: str) -> ModuleType:
    return importlib.import_module(f"lambdabox_bootstrap.{name}")


@pytest.fixture(autouse=True, scope="module")
def _bootstrap_importable() -> Iterator[None]:
    sys.path.insert(0, str(BOOTSTRAPS / "python"))
    yield
    sys.path.remove(str(BOOTSTRAPS / "python"))


def outcome(compute: Any, *arguments: Any) -> object:
    """Return what is computed, or the error's text."""
    try:
        return compute(*arguments)
    except FaultException as fault:
        return fault.msg
    except Exception as error:
        return str(error)


def both_encode(value: object, environment: str) -> tuple[object, object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EXECUTION_ENV", environment)
        theirs = LambdaMarshaller()
    expected = outcome(lambda: theirs.marshal_response(value)[0])
    if isinstance(expected, str) and not expected.startswith("Unable to marshal response: "):
        expected = expected.encode()
    found = outcome(ours("payloads").Marshaller(environment).encode, value)
    if isinstance(found, str):
        found = f"Unable to marshal response: {found}"
    return expected, found


RESULTS: list[object] = [
    None, True, 1, 10**30, 1.0, 1e22, 1e-7, float("nan"), float("inf"), -0.0,
    "", 'q"\\/\b\f\n\r\t\x00\x1f\x7f', "é\u2028\u2029😀", b"raw\xff", [b"x\xc3\xa9"], [b"\xff"],
    [], {}, (), [()], {"a": []}, Pair(1, Pair(2, [Pair(3, 4)])), [NamedList([1])], Described(),
    {"k": Described()}, Text("s"), {Text("k"): Text("v")}, OrderedDict(a=1), {b"k": 1},
    {1: 1, 1.5: 2, None: 3, False: 4}, {Level.LOW: Level.LOW}, Colour.RED, {Colour.RED: 1},
    {(1,): 2}, {Decimal(1): 2}, Decimal("0.10"), [Decimal("1E+2"), Decimal("-Infinity")],
    {"n": Decimal("NaN"), "s": Decimal("sNaN")}, {1}, frozenset(), bytearray(b"x"),
    memoryview(b"x"), 1j, object, range(3), iter([]), ..., [{"deep": ({1: Pair("a", b"b")},)}],
]  # fmt: skip


@pytest.mark.parametrize("environment", ["AWS_Lambda_python3.11", "AWS_Lambda_python3.12", ""])
@pytest.mark.parametrize(
    "value", RESULTS, ids=lambda value: repr(value)[:40].partition(" at 0x")[0]
)
def test_results_are_encoded_alike(value: object, environment: str) -> None:
    expected, found = both_encode(value, environment)
    assert found == expected


def test_circular_results_fail_alike() -> None:
    rings: list[Any] = [[], {}]
    rings[0].append(Pair(1, rings[0]))
    rings[1]["again"] = [rings[1]]
    for ring in rings:
        expected, found = both_encode(ring, "AWS_Lambda_python3.12")
        assert found == expected == "Unable to marshal response: Circular reference detected"


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals()
    | st.text(st.characters(exclude_categories=["Cs"])) | st.binary() | st.just(Level.LOW)
)  # fmt: skip
keys = st.text(st.characters(exclude_categories=["Cs"])) | st.integers() | st.none()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.builds(Pair, inner, inner)
        | st.dictionaries(keys, inner)
    ),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(values)
def test_any_result_is_encoded_alike(value: object) -> None:
    expected, found = both_encode(value, "AWS_Lambda_python3.12")
    assert found == expected


@pytest.mark.parametrize(
    "event",
    [
        b'{"a": [1, -2.5e3, "\\u00e9\\ud83d\\ude00", null, true]}', b"\xef\xbb\xbf1", b" [ ] ",
        b'"\xc3\xa9"', b"1e999", b'"\\ud800"', b"", b" ", b"\xff", '{"a":1}'.encode("utf-16"),
        b'{"a" 1}', b'{"a":}', b'"abc', b"-", b"NaN", b"-Infinity", b'{"NaN": [1, Infinity]}',
        b'["\\"NaN", NaN]',
    ],
)  # fmt: skip
def test_events_are_decoded_alike(event: bytes) -> None:
    theirs, mine = LambdaMarshaller(), ours("payloads").Marshaller("")
    expected = outcome(theirs.unmarshal_request, event)
    found = outcome(mine.decode, event)
    failed = isinstance(expected, str) and expected.startswith("Unable to unmarshal input: ")
    assert (f"Unable to unmarshal input: {found}" if failed else found) == expected


@pytest.mark.parametrize(
    ("source", "handler"),
    [
        ("", "nodot"),
        ("", ""),
        ("", "nosuchmodule.handler"),
        ("", "no/such/module.handler"),
        ("", "sys.handler"),
        ("", "_io.sub.handler"),
        ("x = 1", "{}.handler"),
        ("x = 1", "{}."),
        ("import nosuchdependency", "{}.handler"),
        ("from json import nosuchname", "{}.handler"),
        ("raise ImportError('my own')", "{}.handler"),
        ("def f(:\n  pass", "{}.handler"),
        ("if 1:\nx", "{}.handler"),
    ],
)
def test_handler_faults_are_alike(
    source: str, handler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"subject_{abs(hash((source, handler)))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FaultException) as expected:
        aws._get_handler(handler.format(name))
    sys.modules.pop(name, None)
    with pytest.raises(ours("faults").Fault) as found:
        ours("handlers").load(handler.format(name))
    sys.modules.pop(name, None)
    assert found.value.error_type == expected.value.exception_type
    assert found.value.message == expected.value.msg
    assert found.value.trace == (expected.value.trace or [])


def test_error_bodies_have_the_same_keys_in_the_same_order() -> None:
    expected = aws.make_error("m", "T", ["line"], REQUEST_ID)
    found = ours("faults").error_body("m", "T", ["line"], REQUEST_ID)
    assert list(found.items()) == list(expected.items())
    assert ours("faults").error_body("", "", [], "") == aws.make_error(None, None, None)


def failure(depth: int) -> Exception:
    """Return an error raised `depth` calls deep in this file."""

    def call(left: int) -> None:
        if left == 0:
            raise KeyError("lost", "é")
        call(left - 1)

    try:
        call(depth)
    except KeyError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("depth", [0, 3, 20])
def test_stack_traces_and_causes_are_alike(depth: int) -> None:
    error = failure(depth)
    report = ours("faults").describe(error, REQUEST_ID)
    frames = aws.extract_traceback(error.__traceback__)
    expected = aws.build_fault_result((type(error), error, error.__traceback__), None)
    assert report.error == {**expected, "requestId": REQUEST_ID}
    cause = aws.make_xray_fault("KeyError", str(error), str(Path.cwd()), frames)
    assert report.cause == cause


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log_error(self, lines: list[str]) -> None:
        self.lines += lines


@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize(("kind", "message"), [("T", "m"), ("", "m"), ("T", "")])
def test_uncaught_errors_are_logged_alike(depth: int, kind: str, message: str) -> None:
    trace = ours("faults").describe(failure(depth)).error["stackTrace"]
    error = aws.make_error(message, kind, trace, REQUEST_ID)
    sink = Lines()
    aws.log_error(error, sink)
    assert ours("logs").error_text(error).split("\n") == sink.lines


def record(
    severity: int, message: object, *arguments: object, **extra: object
) -> logging.LogRecord:
    made = logging.getLogger("some.name").makeRecord(
        "some.name", severity, "/task/app.py", 7, message, arguments, None, "handler", extra
    )
    made.aws_request_id = REQUEST_ID
    made.tenant_id = extra.get("tenant")
    return made


def failed_record() -> logging.LogRecord:
    made = record(logging.ERROR, "bad")
    error = failure(1)
    made.exc_info = (type(error), error, error.__traceback__)
    return made


@pytest.mark.parametrize(
    "make",
    [
        lambda: record(logging.INFO, "hello %s", "wörld"),
        lambda: record(logging.WARNING, {"a": [1, {2}]}),
        lambda: record(logging.WARNING, "%(a)s", {"a": 1}),
        lambda: record(35, "between levels"),
        lambda: record(99, "above all"),
        lambda: record(5, "below all"),
        lambda: record(logging.INFO, "x", order=1, none=None, odd=object, level="mine"),
        lambda: record(logging.INFO, "x", tenant="blue"),
        failed_record,
    ],
)
def test_json_records_are_alike(make: Any) -> None:
    first, second = make(), make()
    second.__dict__.update(first.__dict__)
    found = ours("logging_handler").JsonFormatter().format(first)
    expected = JsonFormatter().format(second)
    assert found == expected
    assert list(json.loads(found)) == list(json.loads(expected))


def test_contexts_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "app")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
    client = {
        "client": {"app_title": "t", "other": 1},
        "custom": {"k": "v"},
        "w3c": {"traceparent": "00", "tracestate": 5, "secret": "x"},
    }
    identity = {"cognitoIdentityId": "i"}
    theirs = LambdaContext(REQUEST_ID, json.loads(json.dumps(client)), identity, 1, ARN, "blue")
    head = "\0".join(
        [REQUEST_ID, "1", ARN, "trace", json.dumps(client), json.dumps(identity), "blue"]
    )
    invocation = ours("channel").Invocation(head, b"{}")
    mine = ours("context").LambdaContext(invocation, None, ours("context").Surroundings())
    assert repr(mine) == repr(theirs)
    assert mine.w3c() == theirs.w3c()
    assert mine.get_remaining_time_in_millis() == theirs.get_remaining_time_in_millis() == 0
    public = {name for name in dir(theirs) if not name.startswith("_")}
    assert public == {name for name in dir(mine) if not name.startswith("_")}


def test_an_invocation_without_a_context_gives_the_same_empty_context() -> None:
    theirs = LambdaContext(REQUEST_ID, None, None, 1, ARN, None)
    head = "\0".join([REQUEST_ID, "1", ARN, "", "", "", ""])
    mine = ours("context").LambdaContext(
        ours("channel").Invocation(head, b"{}"), None, ours("context").Surroundings()
    )
    assert repr(mine) == repr(theirs)
