"""Requests to function URLs: the event a function gets, and the response a client gets."""

import base64
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.functions import ACCOUNT, REGION, MakeFunction, await_active, create
from support.http import address, raw
from support.node import Node
from support.programs import needed
from support.urls import ANSWER, Url, public_url

BAD_GATEWAY = (502, {"Message": "Internal Server Error"})


@pytest.fixture(scope="module")
def url(node: Node, lambda_client: Any) -> Iterator[Url]:
    """The URL of a function that answers its event, or what it is asked for."""
    create(lambda_client, "behind-a-url", ANSWER)
    await_active(lambda_client, "behind-a-url")
    yield public_url(node, lambda_client, "behind-a-url")
    lambda_client.delete_function(FunctionName="behind-a-url")


def test_the_event_is_payload_2_0(url: Url) -> None:
    answer = url.ask(
        "/a/b?x=1&x=2&y=",
        method="POST",
        body="hello",
        headers=[
            ("Cookie", "c1=v1; c2=v2"),
            ("Content-Type", "text/plain"),
            ("User-Agent", "a test"),
            ("X-Own", "1"),
            ("x-OWN", "2"),
        ],
    )
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    event = answer.value
    context = event.pop("requestContext")
    trace = event["headers"].pop("x-amzn-trace-id")
    assert re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24}", trace)
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/a/b",
        "rawQueryString": "x=1&x=2&y=",
        "cookies": ["c1=v1", "c2=v2"],
        "headers": {
            "host": url.host,
            "content-type": "text/plain",
            "content-length": "5",
            "user-agent": "a test",
            "x-own": "1,2",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-port": url.host.partition(":")[2],
        },
        "queryStringParameters": {"x": "1,2", "y": ""},
        "body": "hello",
        "isBase64Encoded": False,
    }
    domain = url.host.partition(":")[0]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("time"))
    assert isinstance(context.pop("timeEpoch"), int)
    assert context.pop("requestId") == answer.header("x-amzn-requestid")
    assert context == {
        "accountId": "anonymous",
        "apiId": url.id,
        "domainName": domain,
        "domainPrefix": url.id,
        "http": {
            "method": "POST",
            "path": "/a/b",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "a test",
        },
        "routeKey": "$default",
        "stage": "$default",
    }


def test_what_was_not_sent_is_not_in_the_event(url: Url) -> None:
    event = url.ask().value
    assert set(event) == {
        "version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext",
        "isBase64Encoded",
    }  # fmt: skip
    assert (event["rawPath"], event["rawQueryString"]) == ("/", "")
    assert event["isBase64Encoded"] is False


def test_the_path_keeps_its_escapes_and_parameters_lose_theirs(url: Url) -> None:
    event = url.ask("/a%2Fb%20c/%C3%A4/..//?k%20ey=v%2Bl+u&%C3%A4=%FF&bare&&a=b=c").value
    assert event["rawPath"] == "/a%2Fb%20c/%C3%A4/..//"
    assert event["requestContext"]["http"]["path"] == "/a%2Fb%20c/%C3%A4/..//"
    assert event["rawQueryString"] == "k%20ey=v%2Bl+u&%C3%A4=%FF&bare&&a=b=c"
    assert event["queryStringParameters"] == {
        "k ey": "v+l u", "ä": "\ufffd", "bare": "", "a": "b=c",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("text/plain; charset=utf-8", "grüße".encode(), False),
        ("application/json", b'{"a":1}', False),
        ("application/problem+json", b"{}", False),
        ("APPLICATION/XML", b"<a/>", False),
        ("application/javascript", b"1", False),
        ("application/x-www-form-urlencoded", b"a=1", False),
        ("multipart/form-data; boundary=x", b"--x--", True),
        ("image/png", b"text", True),
        ("text/plain", b"\xff\xfe", True),
        (None, b"text", True),
    ],
)
def test_binary_bodies_are_base64(
    url: Url, content_type: str | None, body: bytes, is_base64: bool
) -> None:
    headers: list[tuple[str, str | bytes]] = (
        [("Content-Type", content_type)] if content_type else []
    )
    event = url.ask(method="PUT", body=body, headers=headers).value
    assert event["isBase64Encoded"] is is_base64
    sent = base64.b64decode(event["body"]) if is_base64 else event["body"].encode()
    assert sent == body


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_reaches_the_function(url: Url, method: str) -> None:
    assert url.ask(method=method).value["requestContext"]["http"]["method"] == method


def test_head_has_the_head_alone(url: Url) -> None:
    answer = url.ask(method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.header("content-length") or 0) > 100


def test_a_chunked_body_is_put_together(node: Node, url: Url) -> None:
    head = f"POST / HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: text/x\r\n"
    text = f"{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    answer = raw(node, text.encode())
    assert answer is not None
    event = json.loads(answer.body)
    assert event["body"] == "abcde"
    assert "transfer-encoding" not in event["headers"]


def test_a_forwarded_request_keeps_who_forwarded_it(url: Url) -> None:
    headers: list[tuple[str, str | bytes]] = [("X-Forwarded-For", "203.0.113.9")]
    event = url.ask(headers=headers).value
    assert event["headers"]["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"


def test_a_clients_trace_is_kept(url: Url) -> None:
    root = "Root=1-5759e988-bd862e3fe1be46a994272793"
    answer = url.ask(headers=[("X-Amzn-Trace-Id", f"{root};Sampled=1")])
    assert answer.value["headers"]["x-amzn-trace-id"] == root
    assert answer.header("x-amzn-trace-id") == f"{root};Sampled=1"


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ({"hello": "world"}, b'{"hello":"world"}'),
        ([1, {"a": None}], b'[1,{"a":null}]'),
        ("hello", b"hello"),
        ("grüße", "grüße".encode()),
        (17, b"17"),
        (True, b"true"),
        (None, b"null"),
        (2**80, str(2**80).encode()),
        ({"body": "b", "headers": {}}, b'{"body":"b","headers":{}}'),
        ({"a": 'spaces  "and\\" : '}, b'{"a":"spaces  \\"and\\\\\\" : "}'),
    ],
)
def test_a_result_without_a_status_is_the_body(url: Url, result: Any, body: bytes) -> None:
    answer = url.answer(result)
    assert (answer.status, answer.body) == (200, body)
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        ({"statusCode": 201}, 201, "application/json", b""),
        ({"statusCode": "404", "body": "no"}, 404, "application/json", b"no"),
        ({"statusCode": 599, "body": None}, 599, "application/json", b""),
        (
            {"statusCode": 200, "headers": {"Content-Type": "text/html"}, "body": "<p>ä"},
            200, "text/html", "<p>ä".encode(),
        ),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, 200, "application/json",
         b"hi"),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": False}, 200, "application/json",
         b"aGk="),
        ({"statusCode": 200, "body": {"a": [1]}}, 200, "application/json", b'{"a":[1]}'),
        ({"statusCode": 204, "body": "lost"}, 204, None, b""),
        ({"statusCode": 304}, 304, None, b""),
    ],
)  # fmt: skip
def test_a_result_with_a_status_says_what_the_response_is(
    url: Url, result: Any, status: int, content_type: str | None, body: bytes
) -> None:
    answer = url.answer(result)
    assert (answer.status, answer.header("content-type"), answer.body) == (
        status,
        content_type,
        body,
    )


def test_headers_and_cookies_of_a_response(url: Url) -> None:
    answer = url.answer(
        {
            "statusCode": 302,
            "headers": {
                "Location": "https://example.com/ä",
                "X-Number": 1,
                "X-Flag": True,
                "X-None": None,
                "X-Many": ["a", "b"],
                "set-cookie": "c0=v0",
            },
            "cookies": ["c1=v1; Path=/", "c2=v2; Secure"],
        }
    )
    assert answer.status == 302
    assert answer.header("location") == "https://example.com/ä".encode().decode("latin-1")
    assert answer.header("x-number") == "1"
    assert answer.header("x-flag") == "true"
    assert answer.header("x-none") is None
    assert answer.header("x-many") == "a,b"
    assert answer.all("set-cookie") == ["c0=v0", "c1=v1; Path=/", "c2=v2; Secure"]


def test_headers_of_the_connection_are_shown_under_another_name(url: Url) -> None:
    given = {
        "Connection": "close",
        "Content-Length": "999",
        "Date": "now",
        "Transfer-Encoding": "chunked",
        "WWW-Authenticate": "Basic",
        "X-Amzn-RequestId": "forged",
    }
    answer = url.answer({"statusCode": 200, "headers": given, "body": "four"})
    assert answer.body == b"four"
    assert answer.header("content-length") == "4"
    assert len(answer.header("x-amzn-requestid") or "") == 36
    assert answer.header("connection") is None
    for name, value in given.items():
        assert answer.header(f"x-amzn-remapped-{name}") == value


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 600},
        {"statusCode": "2xx"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "headers": {"": "c"}},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "headers": {"a": {"b": "c"}}},
        {"statusCode": 200, "cookies": "c=v"},
        {"statusCode": 200, "cookies": ["c=v\nx: y"]},
        {"statusCode": 200, "cookies": [None]},
        {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True},
    ],
)
def test_what_is_no_response_is_a_bad_gateway(url: Url, result: Any) -> None:
    answer = url.answer(result)
    assert (answer.status, answer.value) == BAD_GATEWAY
    assert answer.header("content-type") == "application/json"


def test_an_error_of_the_function_is_a_bad_gateway(url: Url) -> None:
    answer = url.ask("/raise")
    assert (answer.status, answer.value) == BAD_GATEWAY


def test_a_body_that_is_too_large_is_refused(url: Url) -> None:
    message = "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    for size in (6_291_457, 5_000_000):  # the second only as base64 in its event
        answer = url.ask(method="POST", body=bytes(size))
        assert (answer.status, answer.value) == (413, {"Message": message})
        assert answer.header("x-amzn-errortype") == "RequestTooLargeException"
    text: list[tuple[str, str | bytes]] = [("Content-Type", "text/plain")]
    large = url.ask("/large", method="POST", body=b"a" * 6_000_000, headers=text)
    assert (large.status, len(large.value["body"])) == (200, 6_000_000)


def test_a_url_that_is_not_there_is_forbidden(node: Node, url: Url) -> None:
    for host in ("0" * 32, "none", "."):
        answer = Url(node, f"http://{host}.lambda-url.{REGION}.localhost:1/").ask()
        assert answer.status == 403
        assert answer.header("x-amzn-errortype") == "AccessDeniedException"
        assert answer.value == {"Message": f"There is no function URL {host!r}."}
    assert Url(node, "http://none.on.aws/").ask(by_path=True).status == 403


def test_a_url_answers_under_any_domain_and_by_path(url: Url) -> None:
    elsewhere = Url(url.node, f"https://{url.id.upper()}.LAMBDA-URL.eu-west-1.on.aws/")
    assert elsewhere.ask().value["requestContext"]["apiId"] == url.id
    by_path = url.ask("/a/b?c=d", by_path=True)
    event = by_path.value
    assert (event["rawPath"], event["rawQueryString"]) == ("/a/b", "c=d")
    assert event["requestContext"]["domainName"] == url.host.partition(":")[0]
    assert event["headers"]["host"] == urlsplit(url.node.url).netloc
    assert url.ask("", by_path=True).value["rawPath"] == "/"
    policy = "sandbox allow-forms allow-modals allow-popups allow-scripts"
    assert by_path.header("content-security-policy") == policy
    assert url.ask().header("content-security-policy") is None


def test_the_apis_paths_are_the_functions_under_its_name(url: Url) -> None:
    for path in ("/2015-03-31/functions/behind-a-url/invocations", "/_lambdabox/health"):
        for method in ("GET", "POST"):
            assert url.ask(path, method=method).value["rawPath"] == path


def test_the_function_sees_its_arn(url: Url) -> None:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:behind-a-url"
    assert url.ask("/arn").body.decode() == arn


def test_a_deleted_url_ends_at_once(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(ANSWER)
    url = public_url(node, lambda_client, function)
    assert url.ask().status == 200
    lambda_client.delete_function_url_config(FunctionName=function)
    assert url.ask().status == 403


def test_curl_reaches_the_url_as_it_stands(url: Url) -> None:
    """The system's resolver knows *.localhost, or curl itself does."""
    done = subprocess.run(
        [needed("curl"), "-sS", "--max-time", "20", f"{url.address}from/curl?a=b"],
        capture_output=True,
        check=True,
    )
    event = json.loads(done.stdout)
    assert (event["rawPath"], event["queryStringParameters"]) == ("/from/curl", {"a": "b"})
    assert event["requestContext"]["http"]["userAgent"].startswith("curl/")


@pytest.mark.parametrize(
    "tampered",
    [
        b"GET /\xff\xfe?\xff=\xfe HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"GET /%%zz%%?%%=%%&=&&+ HTTP/1.1\r\nHost: %b\r\nCookie: ;;=;\xff\r\n\r\n",
        b"GET /?%%ed%%a0%%80 HTTP/1.1\r\nHost: %b\r\nX-A: \xed\xa0\x80\r\nX-A:\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"GET http://other/x HTTP/1.0\r\nHost: %b\r\n\r\n",
        b"GET /? HTTP/1.1\r\nHost: %b\r\nContent-Type: \xff/;\r\nContent-Length: 1\r\n\r\n\x00",
    ],
)
def test_odd_bytes_are_no_failure(node: Node, url: Url, tampered: bytes) -> None:
    answer = raw(node, tampered % url.host.encode())
    assert answer is not None
    assert answer.status in (200, 400)


def test_one_connection_carries_several_requests(node: Node, url: Url) -> None:
    with socket.create_connection(address(node), timeout=20) as connection:
        request = f"GET /{{}} HTTP/1.1\r\nHost: {url.host}\r\n\r\n"
        connection.sendall((request.format(1) + request.format(2)).encode())
        read_until(connection, lambda data: data.count(b'"rawPath":"/2"') == 1)


def read_until(connection: socket.socket, is_enough: Callable[[bytes], bool]) -> None:
    data = b""
    while not is_enough(data):
        received = connection.recv(65_536)
        assert received, data
        data += received
