"""Whatever arrives, for whichever operation, is read or refused with a client error."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import LAMBDA, LOGS, inputs, quick, request_of

from lambdabox.api.model import ServiceApi
from lambdabox.api.parse import Match
from lambdabox.api.service_model import Shape
from lambdabox.domain.errors import ApiError, SerializationException

DURABLE_ARN = "arn:aws:lambda:us-east-1:123456789012:function:f:1/durable-execution/a/b"
CREATE = LAMBDA.match("POST", b"/2015-03-31/functions", b"")

HOSTILE_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**18, -(10**40), 1e308, "", "x", "\x00", "é" * 3, [], [None],
    [[]], ["x", 1], [{}], {}, {"": None}, {"x": 1}, {"x": {"y": []}}, "=", "YQ", "YQ==YQ==", "NaN",
]  # fmt: skip

HOSTILE_BODIES = [
    b"nul", b"null", b"1", b'"x"', b"[]", b"[", b"{", b'{"a"', b'{"a":}', b"{}{}", b"\xff\xfe",
    b'{"FunctionName":NaN}', b'{"FunctionName":Infinity}', b'{"FunctionName":"\\ud800"}',
    b'{"FunctionName":"\xed\xa0\x80"}', b'{"Timeout":1e999}', b'{"Timeout":' + b"9" * 5_000 + b"}",
    b"[" * 100_000, b'{"Code":' * 100_000, b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    b"\xef\xbb\xbf{}", b"\x00", b"{'a': 1}", b'{"a":1,}', b"// no\n{}",
]  # fmt: skip


def _settles(api: ServiceApi, match: Match, headers: dict[str, str], body: bytes) -> None:
    """The request is read or refused; a refusal can always be told."""
    refused = _refusal(api, match, headers, body)
    if refused is not None:
        assert 400 <= refused.status < 500
        told = orjson.loads(api.serialize_error(refused).body)
        assert told["message"] == refused.message


def _refusal(
    api: ServiceApi, match: Match, headers: dict[str, str], body: bytes
) -> ApiError | None:
    try:
        api.parse(match, headers, body)
    except ApiError as refused:
        return refused
    return None


def _matches(api: ServiceApi, names: tuple[str, ...]) -> Iterator[Match]:
    for name in names:
        operation = api.operation(name)
        shape = operation.input_shape
        members = shape.members if shape is not None else {}
        labels = {
            member.serialization["name"]: "1"
            for member in members.values()
            if member.serialization.get("location") == "uri"
        }
        yield Match(operation, labels)


MATCHES = list(_matches(LAMBDA, LAMBDA.operation_names))
ALL = [pytest.param(LAMBDA, match, id=match.operation.name) for match in MATCHES] + [
    pytest.param(LOGS, match, id=f"logs {match.operation.name}")
    for match in _matches(LOGS, ("DescribeLogGroups", "FilterLogEvents", "PutLogEvents"))
]


@pytest.mark.parametrize(("api", "match"), ALL)
def test_a_wrong_type_in_any_member_is_refused(api: ServiceApi, match: Match) -> None:
    shape = match.operation.input_shape
    for name, member in shape.members.items() if shape is not None else ():
        for value in HOSTILE_VALUES:
            for nested in _nested(member, value):
                body = json.dumps({name: nested}).encode()
                _settles(api, match, {}, body)


@pytest.mark.parametrize(("api", "match"), ALL)
def test_random_bytes_headers_and_queries_are_refused(api: ServiceApi, match: Match) -> None:
    shape = match.operation.input_shape
    members = shape.members.values() if shape is not None else ()
    names = [m.serialization["name"] for m in members if "name" in m.serialization]
    texts = st.one_of(
        st.text(max_size=8), st.sampled_from(["1e9", "-0", "9" * 30, "٣", " 1", "True"])
    )
    name = st.sampled_from([*names, "other"])

    @quick(8)
    @given(
        body=st.one_of(st.binary(max_size=30), st.sampled_from(HOSTILE_BODIES)),
        headers=st.dictionaries(name.map(str.lower), texts, max_size=4),
        query=st.dictionaries(name, st.lists(texts, min_size=1, max_size=3), max_size=4),
        label=texts,
    )
    def check(
        body: bytes, headers: dict[str, str], query: dict[str, list[str]], label: str
    ) -> None:
        labels = dict.fromkeys(match.labels, label)
        _settles(api, Match(match.operation, labels, query), headers, body)

    check()


@pytest.mark.parametrize(
    "name", ["CreateFunction", "CreateEventSourceMapping", "PutFunctionEventInvokeConfig"]
)
def test_a_truncated_or_altered_body_is_refused(name: str) -> None:
    operation = LAMBDA.operation(name)

    @quick(30)
    @given(
        params=inputs(operation.input_shape), cut=st.floats(0, 0.999), byte=st.binary(max_size=1)
    )
    def check(params: dict[str, Any], cut: float, byte: bytes) -> None:
        request = request_of(operation, params)
        match = LAMBDA.match(request.method, request.path, request.query)
        at = int(len(request.body) * cut)
        if at:
            with pytest.raises(SerializationException):
                LAMBDA.parse(match, request.headers, request.body[:at])
        _settles(LAMBDA, match, {}, request.body[:at] + byte + request.body[at + 1 :])

    check()


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=lambda body: repr(body[:12]))
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        LAMBDA.parse(CREATE, {}, body)
    assert refused.value.status == 400
    assert len(refused.value.message) < 1_000


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"FunctionName": 1}, "NUMBER_VALUE can not be converted to a String"),
        ({"FunctionName": True}, "TRUE_VALUE can not be converted to a String"),
        ({"FunctionName": {}}, "Start of structure or map found where not expected."),
        ({"FunctionName": []}, "Start of list found where not expected."),
        ({"Timeout": "3"}, "STRING_VALUE can not be converted to an Integer"),
        ({"Timeout": 3.5}, "NUMBER_VALUE can not be converted to an Integer"),
        ({"Timeout": 2**31}, "NUMBER_VALUE can not be converted to an Integer"),
        ({"Publish": 1}, "NUMBER_VALUE can not be converted to a Boolean"),
        ({"Code": {"ZipFile": "YQ"}}, "STRING_VALUE can not be converted to a Blob"),
        ({"Code": {"ZipFile": "Y*Q=="}}, "STRING_VALUE can not be converted to a Blob"),
        ({"Layers": {}}, "Start of structure or map found where not expected."),
        ({"VpcConfig": "x"}, "STRING_VALUE"),
    ],
)
def test_a_wrong_type_is_told_as_aws_tells_it(document: dict[str, Any], message: str) -> None:
    with pytest.raises(SerializationException) as refused:
        LAMBDA.parse(CREATE, {}, json.dumps(document).encode())
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize(
    "body",
    [
        b'{"Layers":[' + b'"x",' * 200_000 + b'"x"]}',
        b'{"Other":[' + b"[1,1]," * 60_000 + b"1]}",
        b'{"Tags":{' + b",".join(b'"%d":"x"' % at for at in range(100_001)) + b"}}",
    ],
    ids=["elements", "unknown", "keys"],
)
def test_a_flood_of_values_is_refused_before_they_are_read(body: bytes) -> None:
    with pytest.raises(SerializationException, match="more than 100000 values"):
        LAMBDA.parse(CREATE, {}, body)


def test_a_large_payload_of_many_commas_is_no_flood() -> None:
    match = LAMBDA.match("POST", b"/2025-12-01/durable-executions/x/stop", b"")
    assert LAMBDA.parse(
        Match(match.operation, {"DurableExecutionArn": DURABLE_ARN}),
        {},
        json.dumps({"ErrorData": "1," * 500_000}).encode(),
    )["Error"] == {"ErrorData": "1," * 500_000}


def test_null_and_unknown_members_are_as_if_absent() -> None:
    document = {
        "FunctionName": "f",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Code": {"ZipFile": base64.b64encode(b"zip").decode(), "S3Bucket": None},
        "Description": None,
        "Nonsense": [{"deep": 1}],
    }
    assert LAMBDA.parse(CREATE, {}, json.dumps(document).encode()) == {
        "FunctionName": "f",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Code": {"ZipFile": b"zip"},
    }


def test_the_last_of_two_equal_keys_counts() -> None:
    match = LAMBDA.match("PUT", b"/2017-10-31/functions/f/concurrency", b"")
    body = b'{"ReservedConcurrentExecutions":1,"ReservedConcurrentExecutions":2}'
    assert LAMBDA.parse(match, {}, body)["ReservedConcurrentExecutions"] == 2


@pytest.mark.parametrize("query", [b"MaxItems=x", b"MaxItems=1_0", b"MaxItems=%201", b"MaxItems="])
def test_a_query_value_that_is_no_integer_is_refused(query: bytes) -> None:
    match = LAMBDA.match("GET", b"/2015-03-31/functions", query)
    with pytest.raises(SerializationException, match="can not be converted to an Integer"):
        LAMBDA.parse(match, {}, b"")


def test_the_first_of_two_equal_query_names_counts() -> None:
    match = LAMBDA.match("GET", b"/2015-03-31/functions", b"MaxItems=2&MaxItems=3")
    assert LAMBDA.parse(match, {}, b"") == {"MaxItems": 2}


def test_a_body_cannot_set_what_travels_in_the_path() -> None:
    match = LAMBDA.match("PUT", b"/2017-10-31/functions/mine/concurrency", b"")
    body = b'{"FunctionName":"yours","ReservedConcurrentExecutions":1}'
    assert LAMBDA.parse(match, {}, body)["FunctionName"] == "mine"


def test_an_invocation_without_a_body_has_no_payload() -> None:
    match = LAMBDA.match("POST", b"/2015-03-31/functions/f/invocations", b"")
    assert LAMBDA.parse(match, {}, b"") == {"FunctionName": "f"}


def _nested(shape: Shape, value: Any) -> Iterator[Any]:
    """`value` in the place of a member, and of everything inside it, one level a time."""
    yield value
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            for inner in _nested(member, value):
                yield {name: inner}
    elif shape.type_name == "list":
        for inner in _nested(shape.member, value):
            yield [inner]
    elif shape.type_name == "map":
        for inner in _nested(shape.value, value):
            yield {"key": inner}
