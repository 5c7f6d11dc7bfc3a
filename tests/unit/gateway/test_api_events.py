"""Requests to APIs become events, and results become responses, whatever either holds."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_url_requests import BYTES, HEADERS, no_body
from test_url_responses import JSON_VALUES, RESPONSES, check_sendable

from lambdabox.domain.arn import Scope
from lambdabox.domain.http_apis import Api, ApiKind, Integration, Match, Route, Stage
from lambdabox.gateway.api_requests import ApiCall, api_event, api_target
from lambdabox.gateway.api_responses import api_response
from lambdabox.gateway.url_requests import UrlTarget, joined, url_call
from lambdabox.gateway.url_responses import BadResponseError

Pairs = list[tuple[bytes, bytes]]


def call_of(
    path: bytes = b"/",
    query: bytes = b"",
    headers: Pairs | None = None,
    *,
    kind: ApiKind = ApiKind.REST,
    payload: str = "1.0",
    binary_types: tuple[str, ...] = (),
) -> ApiCall:
    scope = {
        "method": "POST",
        "raw_path": path,
        "query_string": query,
        "http_version": "1.1",
        "client": ("203.0.113.9", 50_000),
        "server": ("127.0.0.1", 4566),
        "headers": headers or [],
    }
    call = url_call(scope, joined(headers or []), UrlTarget("a1", path), no_body, "request-id")
    route = Route("ANY", "/{proxy+}", Integration("arn", payload, 29), "resource")
    api = Api("a1", Scope("111111111111", "r"), kind, [route], {}, binary_types=binary_types)
    return ApiCall(call, api, Stage("prod"), Match(route, {}), path, "Root=1;Parent=2")


def event_of(asked: ApiCall, body: bytes = b"") -> dict[str, Any]:
    event: dict[str, Any] = json.loads(api_event(asked, body, now=1e9))
    return event


@given(
    path=BYTES.map(lambda path: b"/" + path),
    query=BYTES,
    headers=HEADERS,
    body=BYTES,
    kind=st.sampled_from(ApiKind),
    payload=st.sampled_from(["1.0", "2.0"]),
)
@example(b'/\xff%\r\n\x00"\\', b"%=&+=%ff&&=", [(b"\xff", b"\xff")], b"\xff", ApiKind.REST, "1.0")
def test_any_bytes_become_an_event(
    path: bytes, query: bytes, headers: Pairs, body: bytes, kind: ApiKind, payload: str
) -> None:
    event = event_of(call_of(path, query, headers, kind=kind, payload=payload), body)
    assert event.get("version") == {"2.0": "2.0"}.get(
        payload, "1.0" if kind is ApiKind.HTTP else None
    )


def test_headers_sent_twice_are_all_there_and_the_last_counts() -> None:
    headers = [
        (b"x-own", b"1"), (b"x-own", b"2"), (b"x-forwarded-for", b"9.9.9.9"),
        (b"cookie", b"a=b"), (b"connection", b"close"),
    ]  # fmt: skip
    event = event_of(call_of(b"/", b"", headers))
    assert event["headers"] == {
        "X-Own": "2",
        "Cookie": "a=b",
        "X-Forwarded-For": "9.9.9.9, 203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Port": "4566",
        "X-Amzn-Trace-Id": "Root=1",
    }
    assert event["multiValueHeaders"]["X-Own"] == ["1", "2"]
    assert event["headers"].keys() == event["multiValueHeaders"].keys()


@pytest.mark.parametrize(
    ("types", "content_type", "is_base64"),
    [
        ((), "image/png", False),
        (("image/png",), "image/png; q=1", True),
        (("image/*",), "IMAGE/PNG", True),
        (("image/png",), "text/plain", False),
        (("*/*",), "", True),
    ],
)
def test_a_rest_api_is_told_which_bodies_are_binary(
    types: tuple[str, ...], content_type: str, is_base64: bool
) -> None:
    headers = [(b"content-type", content_type.encode())] if content_type else []
    event = event_of(call_of(headers=headers, binary_types=types), b"\xff")
    expected = base64.b64encode(b"\xff").decode() if is_base64 else "\ufffd"
    assert (event["body"], event["isBase64Encoded"]) == (expected, is_base64)


@given(
    result=RESPONSES | JSON_VALUES,
    several=st.dictionaries(st.text(max_size=9), st.lists(JSON_VALUES) | JSON_VALUES),
    kind=st.sampled_from(ApiKind),
)
@example({"statusCode": 200, "headers": {"A": "\n"}}, {"\ud800": ["\ud800"]}, ApiKind.REST)
@example({"body": "\ud800"}, {"content-type": ["a", None, [["b"]]]}, ApiKind.REST)
def test_any_result_is_a_response_or_refused(
    result: Any, several: dict[str, Any], kind: ApiKind
) -> None:
    if isinstance(result, dict):
        result = {**result, "multiValueHeaders": several}
    with suppress(BadResponseError):
        check_sendable(api_response(call_of(kind=kind), json.dumps(result).encode()))


@pytest.mark.parametrize(
    "result",
    ["[]", '"text"', "null", "not JSON", '{"more":1}', '{"statusCode":"abc"}', '{"body":{}}',
     '{"headers":[]}', '{"multiValueHeaders":{"a":"b"}}'],
)  # fmt: skip
def test_a_rest_api_refuses_what_is_malformed(result: str) -> None:
    with pytest.raises(BadResponseError):
        api_response(call_of(), result.encode())


def test_an_http_api_wants_a_status() -> None:
    with pytest.raises(BadResponseError):
        api_response(call_of(kind=ApiKind.HTTP), b'{"body":"x"}')
    assert api_response(call_of(kind=ApiKind.HTTP), b'{"statusCode":201,"more":1}').status == 201


def test_a_rest_api_needs_no_member_at_all() -> None:
    response = api_response(call_of(), b"{}")
    assert (response.status, response.headers, response.body) == (
        200,
        [(b"content-type", b"application/json")],
        b"",
    )


def test_headers_of_both_kinds_are_merged() -> None:
    result = {
        "headers": {"A": "1", "B": "2", "C": "3"},
        "multiValueHeaders": {"a": ["1", "4"], "b": ["5"], "Content-Type": ["text/plain"]},
    }
    response = api_response(call_of(), json.dumps(result).encode())
    assert sorted(response.headers) == [
        (b"a", b"1"), (b"a", b"4"), (b"b", b"2"), (b"b", b"5"), (b"c", b"3"),
        (b"content-type", b"text/plain"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("types", "accept", "body"),
    [
        ((), "*/*", b"aGk="),
        (("image/png",), "image/png, */*", b"hi"),
        (("text/plain",), "", b"hi"),
        (("*/*",), "", b"hi"),
        (("image/gif",), "image/png", b"aGk="),
    ],
)
def test_a_rest_api_decodes_only_what_it_was_told_is_binary(
    types: tuple[str, ...], accept: str, body: bytes
) -> None:
    result = {"body": "aGk=", "isBase64Encoded": True, "headers": {"content-type": "text/plain"}}
    headers = [(b"accept", accept.encode())] if accept else []
    asked = call_of(headers=headers, binary_types=types)
    assert api_response(asked, json.dumps(result).encode()).body == body


def test_a_target_is_named_by_host_or_by_path() -> None:
    assert api_target("a1.execute-api.r.localhost:4566", b"") == UrlTarget("a1", b"/", region="r")
    assert api_target("localhost", b"/_lambdabox/api/a1/prod/x") == UrlTarget(
        "a1", b"/prod/x", is_by_path=True
    )
    assert api_target("localhost", b"/_lambdabox/api/a1") == UrlTarget("a1", b"/", is_by_path=True)
    assert api_target("localhost", b"/restapis") is None
