"""Whatever a client sends to a function URL becomes an event, and never a failure."""

import base64
import json
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdabox.gateway.url_requests import (
    UrlCall,
    UrlCaller,
    UrlTarget,
    event_of,
    joined,
    url_call,
    url_target,
)

URL_ID = "a1" * 16
HOST = f"{URL_ID}.lambda-url.us-east-1.localhost:4566"


async def no_body(limit: int) -> bytes:
    return b""


def call_of(
    path: bytes = b"/",
    query: bytes = b"",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> UrlCall:
    scope = {
        "method": "POST",
        "raw_path": path,
        "query_string": query,
        "http_version": "1.1",
        "client": ("203.0.113.9", 50_000),
        "server": ("127.0.0.1", 4566),
    }
    found = joined(headers or [])
    return url_call(scope, found, UrlTarget(URL_ID, path), no_body, "request-id")


BYTES = st.binary(max_size=40)
HEADERS = st.lists(
    st.tuples(st.sampled_from([b"cookie", b"x-own", b"content-type", b"host"]) | BYTES, BYTES),
    max_size=6,
)


@given(path=BYTES.map(lambda path: b"/" + path), query=BYTES, headers=HEADERS, body=BYTES)
@example(b'/\xff%\r\n\x00"\\', b"%=&+=%ff&&=", [(b"\xff", b"\xff"), (b"cookie", b";\xff;")], b"")
def test_any_bytes_become_an_event(
    path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    call = call_of(path, query, headers)
    event = json.loads(event_of(call, "us-east-1", body, caller=None, trace="Root=1", now=1e9))
    assert unquote_to_bytes(event["rawPath"]) == unquote_to_bytes(path)
    assert event["rawPath"].isascii()
    assert event["rawPath"].isprintable()
    assert event["rawQueryString"].isascii()
    assert all(isinstance(value, str) for value in event["headers"].values())
    assert all(isinstance(value, str) for value in event.get("cookies", []))
    assert all(isinstance(v, str) for v in event.get("queryStringParameters", {}).values())
    if not body:
        assert "body" not in event
    elif event["isBase64Encoded"]:
        assert base64.b64decode(event["body"]) == body
    else:
        assert event["body"].encode() == body


def test_time_is_told_as_aws_does() -> None:
    event = event_of(
        call_of(), "us-east-1", b"", caller=UrlCaller("AKIA", "1" * 12), trace="", now=1795413600.5
    )
    context = json.loads(event)["requestContext"]
    assert context["time"] == "23/Nov/2026:06:00:00 +0000"
    assert context["timeEpoch"] == 1795413600500
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::111111111111:root"


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        (HOST, b"/a", UrlTarget(URL_ID, b"/a")),
        (HOST.upper(), b"", UrlTarget(URL_ID, b"/")),
        (HOST, b"/_lambdabox/url/other/", UrlTarget(URL_ID, b"/_lambdabox/url/other/")),
        (f"{URL_ID}.lambda-url.eu-west-1.on.aws", b"/", UrlTarget(URL_ID, b"/")),
        ("x.lambda-url.", b"/", UrlTarget("x", b"/")),
        ("localhost:4566", b"/_lambdabox/url/x", UrlTarget("x", b"/", is_by_path=True)),
        ("localhost", b"/_lambdabox/url/x/y//z", UrlTarget("x", b"/y//z", is_by_path=True)),
        ("localhost", b"/_lambdabox/url/", UrlTarget("", b"/", is_by_path=True)),
        ("localhost", b"/_lambdabox/urls/x", None),
        ("localhost", b"/2015-03-31/functions", None),
        ("lambda-url.us-east-1.localhost", b"/", None),
        ("", b"", None),
    ],
)
def test_which_url_is_meant(host: str, path: bytes, expected: UrlTarget | None) -> None:
    assert url_target(host, path) == expected


def test_headers_sent_more_than_once_are_joined() -> None:
    headers = [(b"A", b"1"), (b"a", b"2"), (b"cookie", b"x=1"), (b"Cookie", b"y=2")]
    assert joined(headers) == {"a": "1,2", "cookie": "x=1; y=2"}
