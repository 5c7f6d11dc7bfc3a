"""Function URLs that stream."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import MakeFunction, await_active, create
from support.gate import Gate
from support.http import address
from support.node import Node
from support.packages import zipped
from support.streaming import NODE, OWN_RUNTIME, PYTHON, node_settings
from support.urls import ANSWER, Url, UrlAnswer, public_url

STREAM = {"InvokeMode": "RESPONSE_STREAM"}
KINDS = ["node", "python"]


@pytest.fixture(scope="module")
def urls(node: Node, lambda_client: Any) -> Iterator[dict[str, Url]]:
    """The URLs of two functions that stream, by kind."""
    package = zipped({"bootstrap": PYTHON}, executable=("bootstrap",))
    settings: dict[str, Any] = {
        "node": {"files": {"index.js": NODE}, **node_settings()},
        "python": {"files": {}, **OWN_RUNTIME, "Code": {"ZipFile": package}},
    }
    cors = {"AllowOrigins": ["https://example.com"]}
    found = {}
    for kind in KINDS:
        name = f"streams-{kind}"
        create(lambda_client, name, **settings[kind], Timeout=20)
        await_active(lambda_client, name)
        found[kind] = public_url(node, lambda_client, name, Cors=cors, **STREAM)
    yield found
    for kind in KINDS:
        lambda_client.delete_function(FunctionName=f"streams-{kind}")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, urls: dict[str, Url]) -> Url:
    return urls[request.param]


def asked(url: Url, method: str = "POST", **event: Any) -> UrlAnswer:
    kind: list[tuple[str, str | bytes]] = [("Content-Type", "application/json")]
    return url.ask(method=method, body=json.dumps(event), headers=kind)


def test_the_first_byte_comes_before_the_function_ends(url: Url, gate: Gate) -> None:
    connection = http.client.HTTPConnection(*address(url.node), timeout=20)
    try:
        event = {"first": "first", "gate": gate.url, "last": "last"}
        headers = {"Host": url.host, "Content-Type": "text/plain"}
        connection.request("POST", "/", json.dumps(event), headers)
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["transfer-encoding"] == "chunked"
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["x-amzn-trace-id"].startswith("Root=1-")
        assert len(response.headers["x-amzn-requestid"]) == 36
        assert response.read(5) == b"first"
        gate.await_callers(1)
        gate.release()
        assert response.read() == b"last"
        connection.request("POST", "/", json.dumps({"last": "again"}), headers)
        assert connection.getresponse().read() == b"again"
    finally:
        connection.close()


def test_the_runtimes_content_type_is_kept(url: Url) -> None:
    answer = asked(url, type="text/html; charset=utf-8", last="<p>")
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert answer.body == b"<p>"
    assert asked(url, last="").status == 200


def test_a_large_stream_arrives_whole(url: Url) -> None:
    assert len(asked(url, parts=100, size=60_000).body) == 6_000_000


def test_a_stream_that_breaks_off_is_seen_to(url: Url) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        asked(url, first="some", fail="late")
    assert caught.value.partial == b"some"


def test_pages_of_other_origins_see_what_cors_says(url: Url) -> None:
    answer = url.ask(
        method="POST",
        body='{"last": "seen"}',
        headers=[("Origin", "https://example.com"), ("Content-Type", "text/plain")],
    )
    assert answer.header("access-control-allow-origin") == "https://example.com"
    assert answer.body == b"seen"


def test_status_headers_and_cookies_come_ahead_of_the_body(urls: dict[str, Url]) -> None:
    metadata = {
        "statusCode": 418,
        "headers": {"Content-Type": "text/tea", "X-Own": "1", "Content-Length": "9"},
        "cookies": ["a=1", "b=2"],
    }
    answer = asked(urls["node"], http=metadata, first="short ", last="and stout")
    assert (answer.status, answer.body) == (418, b"short and stout")
    assert answer.header("content-type") == "text/tea"
    assert answer.header("x-own") == "1"
    assert answer.header("x-amzn-remapped-content-length") == "9"
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    bare = asked(urls["node"], http={}, last="bare")
    assert (bare.status, bare.header("content-type"), bare.body) == (
        200,
        "application/octet-stream",
        b"bare",
    )
    head = asked(urls["node"], "HEAD", http=metadata, last="body")
    assert (head.status, head.body) == (418, b"")
    empty = asked(urls["node"], http={"statusCode": 204}, last="body")
    assert (empty.status, empty.body, empty.header("content-type")) == (204, b"", None)


@pytest.mark.parametrize(
    "metadata",
    [
        {"statusCode": 101},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "cookies": "c"},
        {"statusCode": 200, "headers": {"a": "b" * 70_000}},
        [1],
    ],
)
def test_metadata_that_is_no_head_is_a_bad_gateway(urls: dict[str, Url], metadata: Any) -> None:
    answer = asked(urls["node"], http=metadata, parts=100, size=60_000, last="body")
    assert (answer.status, answer.value) == (502, {"Message": "Internal Server Error"})
    assert asked(urls["node"], last="next").body == b"next"


def test_metadata_that_does_not_end_is_a_bad_gateway(urls: dict[str, Url]) -> None:
    kind = "application/vnd.awslambda.http-integration-response"
    answer = asked(urls["python"], type=kind, last='{"statusCode": 200}')
    assert (answer.status, answer.value) == (502, {"Message": "Internal Server Error"})


def test_an_error_before_the_first_byte_is_a_bad_gateway(urls: dict[str, Url]) -> None:
    answer = asked(urls["node"], fail="early")
    assert (answer.status, answer.value) == (502, {"Message": "Internal Server Error"})


def test_a_function_that_does_not_stream_sends_its_result_as_it_is(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    url = public_url(node, lambda_client, make_function(ANSWER), **STREAM)
    answer = url.answer({"statusCode": 201, "body": "x"})
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.value == {"statusCode": 201, "body": "x"}
    assert url.ask("/raise").status == 502


def test_a_streaming_function_behind_a_url_that_does_not_stream(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    url = public_url(node, lambda_client, make_function({"index.js": NODE}, **node_settings()))
    answer = asked(url, http={"statusCode": 418, "cookies": ["a=1"]}, first="a", last="b")
    assert (answer.status, answer.body, answer.all("set-cookie")) == (418, b"ab", ["a=1"])
    assert answer.header("content-length") == "2"
    answer = asked(url, first="no ", last="json")
    assert (answer.status, answer.body) == (200, b"no json")
    assert answer.header("content-type") == "application/octet-stream"
