"""What no client library sends: the node refuses it in AWS's shape and goes on serving."""

import json
import socket
from typing import Any
from urllib.parse import quote

import pytest
from support.functions import ACCOUNT, REGION, MakeFunction, invoke
from support.http import Answer, address, raw, send
from support.node import Node

FUNCTIONS = "/2015-03-31/functions"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
CREATE = {"FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Code": {}}


def assert_refused(answer: Answer | None, status: int, code: str) -> None:
    assert answer is not None
    assert (answer.status, answer.code) == (status, code), answer
    document = json.loads(answer.body)
    assert {key.lower() for key in document} <= {"message", "type"}
    assert answer.headers["content-type"] == "application/json"


def assert_serves(node: Node) -> None:
    assert send(node, "GET", "/2016-08-19/account-settings").status == 200


@pytest.mark.parametrize(
    "body",
    [
        "{", "nonsense", "[]", "1", '"text"', "null", "\x00", '{"FunctionName": }', "{'a': 1}",
        '{"a": NaN}', '{"FunctionName": "f"} trailing', "[" * 100_000, '{"a":' * 100_000,
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(node: Node, body: str) -> None:
    assert_refused(send(node, "POST", FUNCTIONS, body), 400, "SerializationException")


@pytest.mark.parametrize("body", [b"\xff\xfe{}", b'{"FunctionName": "\xc3\x28"}', b"\x80"])
def test_a_body_that_is_not_utf8_is_refused(node: Node, body: bytes) -> None:
    assert_refused(send(node, "POST", FUNCTIONS, body), 400, "SerializationException")


@pytest.mark.parametrize(
    "changed",
    [
        {"FunctionName": 5}, {"FunctionName": ["f"]}, {"FunctionName": {}}, {"Code": []},
        {"Code": "zip"}, {"Timeout": "3"}, {"Timeout": 3.5}, {"Timeout": True},
        {"Timeout": 10**30}, {"Publish": "yes"}, {"Environment": {"Variables": []}},
        {"Environment": {"Variables": {"KEY": 1}}}, {"Tags": {"a": {}}},
        {"Architectures": "x86_64"}, {"Layers": {"a": "b"}}, {"Code": {"ZipFile": 5}},
        {"Code": {"ZipFile": "***"}}, {"VpcConfig": {"SubnetIds": [1]}},
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(node: Node, changed: dict[str, Any]) -> None:
    answer = send(node, "POST", FUNCTIONS, json.dumps({**CREATE, **changed}))
    assert_refused(answer, 400, "SerializationException")


def test_required_members_that_are_missing_or_null_are_named(node: Node) -> None:
    for body in ({}, {"FunctionName": None, "Role": None, "Code": None}):
        answer = send(node, "POST", FUNCTIONS, json.dumps(body))
        assert_refused(answer, 400, "ValidationException")
        message = json.loads(answer.body)["message"]
        assert message.startswith("3 validation errors detected: Value null at ")
        assert message.count("failed to satisfy constraint: Member must not be null") == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "//"), ("POST", "/"), ("GET", "/2015-03-31"),
        ("GET", "/2015-03-31/function"), ("GET", "/1999-01-01/functions"),
        ("PATCH", FUNCTIONS), ("GET", f"{FUNCTIONS}/a/b/c/d/e/f"),
        ("GET", f"{FUNCTIONS}/f/../../../etc/passwd"), ("GET", "/" + "a/" * 10_000),
        ("GET", f"{FUNCTIONS}//configuration"),
    ],
)  # fmt: skip
def test_a_path_of_no_operation_is_unknown(node: Node, method: str, path: str) -> None:
    assert_refused(send(node, method, path), 404, "UnknownOperationException")


@pytest.mark.parametrize("path", ["/%zz", f"{FUNCTIONS}/%", f"{FUNCTIONS}/%ff", "/?a=%f"])
def test_a_path_that_cannot_be_decoded_is_refused(node: Node, path: str) -> None:
    answer = raw(node, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer is not None
    assert 400 <= answer.status < 500
    assert answer.code in ("SerializationException", "UnknownOperationException")


@pytest.mark.parametrize(
    "form",
    ["{name}", "{arn}", "{quoted}", "{lower}", "{quoted}%3A%24LATEST", "{account}:function:{name}"],
)
def test_an_arn_in_the_path_may_be_encoded(
    node: Node, make_function: MakeFunction, form: str
) -> None:
    function = make_function()
    quoted = quote(ARN + function, safe="")
    path = form.format(
        name=function, arn=ARN + function, quoted=quoted, lower=quoted.lower(), account=ACCOUNT
    )
    answer = send(node, "GET", f"{FUNCTIONS}/{path}/configuration")
    assert answer.status == 200
    assert json.loads(answer.body)["FunctionName"] == function


def test_a_trailing_slash_makes_no_difference(node: Node, make_function: MakeFunction) -> None:
    function = make_function()
    assert send(node, "GET", f"{FUNCTIONS}/").status == 200
    assert send(node, "GET", f"{FUNCTIONS}/{function}/").status == 200
    answer = send(node, "POST", f"{FUNCTIONS}/{function}/invocations/", b"[1]")
    assert (answer.status, answer.body) == (200, b"[1]")


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "ü",
        "a/b",
        "a" * 10_000,
        "arn:aws:lambda",
        ":",
        "a:b:c",
        "%",
        "\x00",
        "$LATEST",
    ],
)
def test_a_name_no_function_can_have_is_refused(node: Node, name: str) -> None:
    answer = send(node, "GET", f"{FUNCTIONS}/{quote(name, safe='')}")
    assert_refused(answer, 400, "ValidationException")


def test_headers_above_a_megabyte_are_refused(node: Node) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1_100_000 + b"\r\n\r\n"
    assert_refused(raw(node, request), 400, "SerializationException")
    many = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: y\r\n" * 110_000 + b"\r\n"
    assert_refused(raw(node, many), 400, "SerializationException")
    line = b"GET /" + b"x" * 1_100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert_refused(raw(node, line), 400, "SerializationException")
    assert_serves(node)


def test_headers_below_a_megabyte_are_accepted(node: Node) -> None:
    answer = send(node, "GET", FUNCTIONS, headers={"X-Long": "x" * 60_000})
    assert answer.status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\r\n\r\nrubbish\r\n\r\n",
        b"GET\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_or_hung_up_on(node: Node, request_bytes: bytes) -> None:
    answer = raw(node, request_bytes)
    assert answer is None or 400 <= answer.status < 500
    assert_serves(node)


@pytest.mark.parametrize(
    "chunks", [b"zz\r\nhello\r\n0\r\n\r\n", b"-1\r\nx\r\n", b"5\r\nhello!!\r\n0\r\n\r\n",
               b"fffffffffffffffffffff\r\n"],
)  # fmt: skip
def test_broken_chunks_are_refused(node: Node, make_function: MakeFunction, chunks: bytes) -> None:
    path = f"{FUNCTIONS}/{make_function()}/invocations"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    answer = raw(node, head + chunks)
    assert answer is None or 400 <= answer.status < 500
    assert_serves(node)


def test_chunks_make_a_body(node: Node, make_function: MakeFunction) -> None:
    path = f"{FUNCTIONS}/{make_function()}/invocations"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    answer = raw(node, head + b"3\r\n[1,\r\n3\r\n 2]\r\n0\r\n\r\n")
    assert answer is not None
    assert (answer.status, json.loads(answer.body)) == (200, [1, 2])


def test_clients_that_hang_up_half_way_do_no_harm(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    path = f"{FUNCTIONS}/{function}/invocations"
    for body in (b"", b"{", b"x" * 100_000):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode()
        raw(node, head + body, then_close=True)
    for cut in (b"P", b"POST " + path.encode(), b"POST / HTTP/1.1\r\nHost"):
        raw(node, cut, then_close=True)
    assert invoke(lambda_client, function, "still there").value == "still there"
    assert "Traceback" not in node.log


def test_a_client_that_hangs_up_does_not_stop_its_invocation(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "count = 0\n"
        "def handler(event, context):\n    global count\n    count += 1\n    return count\n"
    )
    assert invoke(lambda_client, function).value == 1
    path = f"{FUNCTIONS}/{function}/invocations"
    request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    with socket.create_connection(address(node), timeout=20) as connection:
        connection.sendall(request)
        connection.recv(1)  # it has run
    assert invoke(lambda_client, function).value == 3


@pytest.mark.parametrize("announced", [70_167_212, 10**12, 10**30])
def test_an_announced_body_that_is_too_large_is_refused_unsent(node: Node, announced: int) -> None:
    head = f"POST {FUNCTIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n".encode()
    if announced > 10**9:
        answer = raw(node, head)
        assert answer is None or answer.status in (400, 413)
    else:
        assert_refused(raw(node, head + bytes(announced)), 413, "RequestEntityTooLargeException")
    assert_serves(node)


def test_an_endless_body_is_cut_off(node: Node) -> None:
    head = f"POST {FUNCTIONS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n%s\r\n" % (4_000_000, bytes(4_000_000))
    answer = raw(node, head + chunk * 75)  # 300 MB, and no end
    assert answer is None or answer.status == 413
    assert_serves(node)


@pytest.mark.parametrize(
    "query",
    [
        "MaxItems=x", "MaxItems=-1", "MaxItems=10001", "MaxItems=1e3", "MaxItems=",
        "MaxItems=99999999999999999999", "FunctionVersion=all",
    ],
)  # fmt: skip
def test_a_query_that_the_model_does_not_allow_is_refused(node: Node, query: str) -> None:
    answer = send(node, "GET", f"{FUNCTIONS}?{query}")
    assert answer.status == 400
    assert answer.code in ("ValidationException", "SerializationException")


def test_signatures_that_make_no_sense_do_no_harm(node: Node) -> None:
    for authorization in (
        "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=", "Bearer x", "\xff", "=" * 10_000,
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f/g, SignedHeaders=, Signature=",
        "AWS4-HMAC-SHA256 Credential=id/20260101/no where/lambda/aws4_request",
    ):  # fmt: skip
        answer = send(node, "GET", FUNCTIONS, headers={"Authorization": authorization})
        assert answer.status in (200, 400, 403)


def test_a_page_of_another_site_is_refused(node: Node) -> None:
    page = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    answer = send(node, "POST", FUNCTIONS, json.dumps(CREATE), page)
    assert_refused(answer, 403, "AccessDeniedException")
    assert send(node, "GET", f"{FUNCTIONS}/f").status == 404
