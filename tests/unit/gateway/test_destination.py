"""Which service a request is for, and which bucket its host names."""

import pytest

from lambdabox.api.request import Request
from lambdabox.auth.sigv4 import Credential
from lambdabox.domain.arn import Scope
from lambdabox.gateway.destination import is_for_console, object_path, service_of


def service(
    credential: str = "", *, method: str = "GET", path: bytes = b"/", query: bytes = b"",
    **headers: str,
) -> str:  # fmt: skip
    async def read_body(_limit: int) -> bytes:
        raise AssertionError("nobody asks for the body")

    request = Request(
        method=method,
        raw_path=path,
        query_string=query,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        read_body=read_body,
        scope=Scope("000000000000", "us-east-1"),
        request_id="r",
        base_url="http://localhost:4566",
    )
    signed = Credential("test", "20260101", "us-east-1", credential) if credential else None
    return service_of(request, signed)


def test_whoever_signs_says_for_which_service() -> None:
    for name in ("sqs", "s3", "lambda", "logs", "execute-api"):
        assert service(name) == name
    assert service("SQS") == "sqs"
    assert service("lambda", host="bucket.s3.localhost") == "lambda"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("Logs_20140328.DescribeLogGroups", "logs"),
        ("AmazonSQS.SendMessage", "sqs"),
        ("DynamoDB_20120810.PutItem", "dynamodb"),
        ("AWSCognitoIdentityProviderService.InitiateAuth", "cognito-idp"),
        ("Unknown.Operation", "lambda"),
        ("", "lambda"),
    ],
)
def test_the_target_of_an_unsigned_request_says_it(target: str, expected: str) -> None:
    assert service(method="POST", x_amz_target=target) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("s3.localhost:4566", "s3"),
        ("bucket.s3.localhost:4566", "s3"),
        ("bucket.s3-eu-west-1.amazonaws.com", "s3"),
        ("localhost:4566", "lambda"),
        ("127.0.0.1:4566", "lambda"),
        ("[::1]:4566", "lambda"),
        ("[nonsense", "lambda"),
        ("", "lambda"),
    ],
)
def test_the_host_of_an_unsigned_request_says_it(host: str, expected: str) -> None:
    assert service(host=host) == expected


def test_other_signs_of_s3_and_sts() -> None:
    assert service(query=b"AWSAccessKeyId=a&Signature=b&Expires=1") == "s3"
    form = "multipart/form-data; boundary=x"
    assert service(method="POST", path=b"/bucket", content_type=form) == "s3"
    form = "application/x-www-form-urlencoded"
    assert service(method="POST", content_type=form) == "sts"
    assert service(method="POST", path=b"/2015-03-31/functions", content_type=form) == "lambda"


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("localhost:4566", b"/k"),
        ("127.0.0.1:4566", b"/k"),
        ("[::1]", b"/k"),
        ("s3.localhost", b"/k"),
        ("s3.eu-west-1.localhost", b"/k"),
        ("node.example.com", b"/k"),
        ("bucket.localhost:4566", b"/bucket/k"),
        ("my.bucket.localhost", b"/my.bucket/k"),
        ("bucket.localhost.localstack.cloud:4566", b"/bucket/k"),
        ("bucket.s3.localhost", b"/bucket/k"),
        ("my.bucket.s3.eu-west-1.amazonaws.com", b"/my.bucket/k"),
        ("bucket.s3-eu-west-1.amazonaws.com", b"/bucket/k"),
        ("bucket.localhostile.example", b"/k"),
    ],
)
def test_a_bucket_in_the_host_comes_into_the_path(host: str, path: bytes) -> None:
    assert object_path(host, b"/k").path == path


@pytest.mark.parametrize(
    ("path", "headers", "credential", "expected"),
    [
        pytest.param(b"/console", {}, "", True, id="the console"),
        pytest.param(b"/console/functions", {"host": "localhost:4566"}, "", True, id="a page"),
        pytest.param(b"/console/a.png", {}, "s3", False, id="an object, signed for"),
        pytest.param(b"/console/a.png", {"host": "b.s3.localhost"}, "", False, id="by its host"),
        pytest.param(b"/console", {"x-amz-target": "AmazonSQS.ListQueues"}, "", False, id="SQS"),
        pytest.param(b"/consoles", {}, "", False, id="a longer name"),
        pytest.param(b"/Console", {}, "", False, id="another case"),
        pytest.param(b"/2015-03-31/functions", {}, "", False, id="the API"),
    ],
)
def test_browsers_get_the_console_and_clients_their_buckets(
    path: bytes, headers: dict[str, str], credential: str, expected: bool
) -> None:
    signed = Credential("test", "20260101", "us-east-1", credential) if credential else None
    assert is_for_console(path, headers, signed) is expected
