"""What services are told of a request: its headers, its path, and whose it is."""

import hashlib

import pytest

from lambdabox.auth.sigv4 import SignedRequest, verify_header
from lambdabox.aws_ports import AwsCallError, Endpoint, SigningKey
from lambdabox.domain.arn import Scope
from lambdabox.events.relayed import ServiceRequest
from lambdabox.gateway.outbound import Headers, must_be_whole, outbound

NOW = 1_795_413_600.0
OWN = Endpoint("http://127.0.0.1:5000", is_own=True, headers={"x-word": "w"})
ELSEWHERE = Endpoint("http://minio:9000")
SIGNED = Endpoint("https://minio:9000", key=SigningKey("AKIAREAL", "secret/+", "token"))
AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/s3/aws4_request, x"


def request(
    service: str = "s3", query: str = "", body: bytes | None = None, **headers: str
) -> ServiceRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ServiceRequest(
        service=service,
        method="PUT",
        path="/bucket/a%20b",
        query=query,
        headers={"host": "bucket.localhost:4566", "authorization": AUTHORIZATION, **named},
        scope=Scope("111111111111", "eu-central-1"),
        request_id="r",
        source_ip="127.0.0.1",
        body=body,
    )


def sent(
    endpoint: Endpoint, asked: ServiceRequest, *, is_changed: bool = False
) -> tuple[bytes, dict[str, str]]:
    given: Headers = [(n.encode(), v.encode()) for n, v in asked.headers.items()]
    found = outbound(given, b"/a%20b", endpoint, asked, is_changed=is_changed, now=NOW)
    headers = {n.decode(): v.decode() for n, v in found.headers}
    assert len(headers) == len(found.headers), "a header is sent twice"
    return found.target, headers


def test_the_nodes_own_process_is_told_the_account() -> None:
    target, headers = sent(OWN, request(x_moto_account_id="999999999999", connection="close"))
    assert target == b"/bucket/a%20b"
    assert headers == {
        "host": "bucket.localhost:4566",
        "authorization": AUTHORIZATION,
        "x-word": "w",
        "x-moto-account-id": "111111111111",
    }


def test_an_unsigned_request_is_given_a_name() -> None:
    asked = request("cognito-idp", authorization="")
    del asked.headers["authorization"]  # type: ignore[attr-defined]  # a dict here
    _, headers = sent(OWN, asked)
    assert "Credential=111111111111/20000101/eu-central-1/cognito-idp/" in headers["authorization"]


def test_an_endpoint_has_the_request_as_it_was_signed() -> None:
    asked = request(x_amz_checksum_crc32="AAAA", content_length="4", body=b"body", query="a=b")
    target, headers = sent(ELSEWHERE, asked)
    assert target == b"/a%20b?a=b"
    assert headers == dict(asked.headers)


def test_a_changed_body_has_no_checksums_of_the_old_one() -> None:
    asked = request(
        x_amz_checksum_crc32="AAAA", content_md5="x", content_length="4", body=b"longer body"
    )
    _, headers = sent(OWN, asked, is_changed=True)
    assert headers["content-length"] == "11"
    assert not {"content-md5", "x-amz-checksum-crc32"} & headers.keys()


@pytest.mark.parametrize(
    ("service", "body", "given", "expected"),
    [
        ("sqs", b"{}", "", hashlib.sha256(b"{}").hexdigest()),
        ("s3", None, "", "UNSIGNED-PAYLOAD"),
        ("s3", None, "0" * 64, "UNSIGNED-PAYLOAD"),
        (
            "s3", None, "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        ),
    ],
)  # fmt: skip
def test_with_a_key_it_is_signed_anew(
    service: str, body: bytes | None, given: str, expected: str
) -> None:
    asked = request(
        service, query="X-Amz-Signature=old&b=c&X-Amz-Credential=old", body=body,
        x_amz_content_sha256=given, x_amz_meta_a="b", x_amz_security_token="old",
        x_amz_date="20200101T000000Z",
    )  # fmt: skip
    target, headers = sent(SIGNED, asked)
    assert target == b"/bucket/a%20b?b=c"
    assert (headers["host"], headers["x-amz-content-sha256"]) == ("minio:9000", expected)
    assert headers["x-amz-security-token"] == "token"
    assert "x-amz-meta-a" in headers["authorization"]
    checked = SignedRequest("PUT", "/bucket/a%20b", "b=c", headers, expected)
    credential = verify_header(
        checked, secret="secret/+", region="eu-central-1", service=service, now=NOW
    )
    assert credential.access_key_id == "AKIAREAL"


def test_only_what_is_not_s3_must_be_whole_to_be_signed() -> None:
    assert must_be_whole(SIGNED, request("sqs"))
    assert not must_be_whole(SIGNED, request("sqs", body=b""))
    assert not must_be_whole(SIGNED, request("s3"))
    assert not must_be_whole(ELSEWHERE, request("sqs"))


def test_chunks_that_are_signed_cannot_be_signed_anew() -> None:
    with pytest.raises(AwsCallError, match="one by one"):
        sent(SIGNED, request(x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"))


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(SIGNED)
