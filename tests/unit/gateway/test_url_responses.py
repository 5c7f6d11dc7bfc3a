"""Whatever a function answers becomes one response that can be sent, or is refused."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE

from lambdabox.api.serialize import WireResponse
from lambdabox.gateway.url_responses import (
    BadResponseError,
    response_of,
    streamed_type,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
RESPONSES = st.fixed_dictionaries(
    {"statusCode": st.integers(100, 600) | JSON_VALUES},
    optional={
        "headers": st.dictionaries(st.text(max_size=9), JSON_VALUES) | JSON_VALUES,
        "cookies": st.lists(st.text(max_size=20)) | JSON_VALUES,
        "body": JSON_VALUES,
        "isBase64Encoded": st.booleans() | JSON_VALUES,
    },
)


def check_sendable(response: WireResponse) -> None:
    assert 200 <= response.status <= 599
    for name, value in response.headers:
        assert name == name.lower()
        assert not HEADER_RE.search(name)
        assert not HEADER_VALUE_RE.search(value)
    names = [name for name, _ in response.headers]
    assert b"content-length" not in names
    assert b"transfer-encoding" not in names
    if response.status in (204, 304):
        assert response.body == b""


@given(result=RESPONSES)
@example({"statusCode": 200, "headers": {"\ud800": "\ud800"}, "body": "\ud800"})
@example({"statusCode": 200, "headers": {"a": "\ud800", "b": [[["c"]]]}})
@example({"statusCode": 200, "body": 1e400})
def test_any_result_with_a_status_can_be_sent_or_is_refused(result: Any) -> None:
    try:
        response = response_of(json.dumps(result).encode())
    except BadResponseError:
        return
    check_sendable(response)


@given(payload=st.binary(max_size=60) | JSON_VALUES.map(lambda v: json.dumps(v).encode()))
@example(b"")
@example(bytes(8))
@example(b"{" + bytes(9))
@example(b'{"statusCode": 204}' + bytes(8) + b"body")
@example(b"[" * 100_000)
def test_any_payload_can_be_sent_or_is_refused(payload: bytes) -> None:
    try:
        check_sendable(response_of(payload))
    except BadResponseError:
        return


@given(value=JSON_VALUES, indent=st.none() | st.integers(0, 3))
@example(2**70, None)
@example({"\ud800": [1, 2]}, 1)
def test_compacting_changes_nothing_but_space(value: Any, indent: int | None) -> None:
    written = json.dumps(value, indent=indent).encode()
    body = response_of(written).body
    if isinstance(value, str):
        assert body == value.encode()
    else:
        assert json.loads(body) == json.loads(written)
        assert len(body) <= len(written)


@pytest.mark.parametrize("depth", [100, 1_000, 10_000, 1_000_000])
def test_nesting_without_end_is_no_failure(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    assert response_of(nested.encode()).body == nested.encode()
    deep = '{"statusCode":200,"body":' + nested + "}"
    try:
        check_sendable(response_of(deep.encode()))
    except BadResponseError:
        assert depth > 100


@pytest.mark.parametrize(
    ("given_type", "sent"),
    [
        ("text/html", b"text/html"),
        ("", b"application/octet-stream"),
        ("a\r\nb: c", b"application/octet-stream"),
        ("text/ä", "text/ä".encode("latin-1")),
        ("text/\u20ac", b"text/?"),
    ],
)
def test_the_type_of_a_stream_is_one_line(given_type: str, sent: bytes) -> None:
    assert streamed_type(given_type) == sent
