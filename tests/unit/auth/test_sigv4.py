import hashlib
from calendar import timegm
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.auth import sigv4
from lambdabox.auth.sigv4 import Credential, SignedRequest
from lambdabox.domain.errors import InvalidSignatureException

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ACCOUNT = "123456789012"
REGION = "eu-central-1"
NOW = 1_790_000_000.0


def link(path: str = "/code/a.zip", query: str = "", *, service: str = "s3") -> SignedRequest:
    """A link for 600 seconds from NOW."""
    signed = sigv4.presign(
        "GET", "localhost:9000", path, query, key_id=ACCOUNT, secret=SECRET, region=REGION,
        service=service, now=NOW, expires_seconds=600,
    )  # fmt: skip
    return SignedRequest("GET", path, signed, {"host": "localhost:9000"})


def opened(
    request: SignedRequest, *, secret: str = SECRET, region: str = REGION, service: str = "s3",
    now: float = NOW,
) -> Credential:  # fmt: skip
    return sigv4.verify_presigned(request, secret=secret, region=region, service=service, now=now)


def sent(
    auth: SigV4Auth, method: str, url: str, body: bytes, headers: dict[str, str]
) -> SignedRequest:
    """What arrives of a request that botocore signed."""
    request = AWSRequest(method, url, headers=headers, data=body)
    auth.add_auth(request)
    parts = urlsplit(request.prepare().url)
    arrived = {name.lower(): value for name, value in request.headers.items()}
    return SignedRequest(
        method, parts.path, parts.query, {"host": parts.netloc, **arrived},
        hashlib.sha256(body).hexdigest(),
    )  # fmt: skip


def by_botocore(
    service: str, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> SignedRequest:
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    auth = kind(Credentials(ACCOUNT, SECRET), service, REGION)
    return sent(auth, method, url, body, headers or {})


def checked(
    request: SignedRequest, *, secret: str = SECRET, region: str = REGION,
    service: str = "lambda", now: float | None = None,
) -> Credential:  # fmt: skip
    moment = get_current_datetime().timestamp() if now is None else now
    return sigv4.verify_header(request, secret=secret, region=region, service=service, now=moment)


def test_a_link_is_valid_until_it_expires() -> None:
    expected = Credential(ACCOUNT, "20260921", REGION, "s3")
    assert opened(link()) == expected
    assert opened(link(), now=NOW + 600) == expected


def test_an_expired_link_says_when_it_was_valid() -> None:
    with pytest.raises(InvalidSignatureException, match=r"valid for 600 seconds from 20260921T"):
        opened(link(), now=NOW + 601)


def test_a_link_from_the_future_is_refused() -> None:
    with pytest.raises(InvalidSignatureException, match="not yet current"):
        opened(link(), now=NOW - 301)


@pytest.mark.parametrize("seconds", [0, -1, 604_801])
def test_a_link_lasts_a_week_at_most(seconds: int) -> None:
    with pytest.raises(ValueError, match="a link lasts 1 to 604800 seconds"):
        sigv4.presign(
            "GET", "h", "/", key_id=ACCOUNT, secret=SECRET, region=REGION, service="s3", now=NOW,
            expires_seconds=seconds,
        )  # fmt: skip


def changed(request: SignedRequest, old: str, new: str) -> SignedRequest:
    assert old in request.query
    query = request.query.replace(old, new)
    return SignedRequest(request.method, request.path, query, request.headers)


@pytest.mark.parametrize(
    "request_",
    [
        SignedRequest("PUT", "/code/a.zip", link().query, link().headers),
        SignedRequest("GET", "/code/b.zip", link().query, link().headers),
        SignedRequest("GET", "/code/a.zip", link().query, {"host": "elsewhere"}),
        SignedRequest("GET", "/code/a.zip", link().query + "&versionId=2", link().headers),
        changed(link(), "X-Amz-Expires=600", "X-Amz-Expires=6000"),
        changed(link(), ACCOUNT, "210987654321"),
        changed(link(), "X-Amz-Signature=", "X-Amz-Signature=0"),
        changed(link(), "X-Amz-Signature=", "X-Amz-Signature=%C3%A9"),
    ],
    ids=["method", "path", "host", "query", "expiry", "key", "signature", "not ASCII"],
)
def test_nothing_of_a_link_can_be_changed(request_: SignedRequest) -> None:
    with pytest.raises(InvalidSignatureException, match="does not match the signature"):
        opened(request_)


def test_another_secret_does_not_open_a_link() -> None:
    with pytest.raises(InvalidSignatureException, match="does not match"):
        opened(link(), secret="another")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("X-Amz-Signature=", "Signature=", "must contain X-Amz-Signature once; it contains it 0"),
        ("X-Amz-Date=", "X-Amz-Date=1&X-Amz-Date=", "X-Amz-Date once; it contains it 2 times"),
        ("SHA256", "SHA1", "X-Amz-Algorithm must be AWS4-HMAC-SHA256"),
        ("Expires=600", "Expires=604801", "X-Amz-Expires must be 1 to 604800"),
        ("Expires=600", "Expires=0", "X-Amz-Expires must be 1"),
        ("Expires=600", "Expires=%D9%A1", "X-Amz-Expires must be 1"),
        ("X-Amz-Date=2026", "X-Amz-Date=26", "X-Amz-Date must be a time"),
        ("X-Amz-Date=202609", "X-Amz-Date=202613", "X-Amz-Date must be a time"),
        ("X-Amz-Date=20260921", "X-Amz-Date=20260922", "'20260921' != '20260922'"),
        ("aws4_request", "aws5_request", "Credential must be KEY/"),
        ("SignedHeaders=host", "SignedHeaders=date", "a list that contains 'host'"),
        ("SignedHeaders=host", "SignedHeaders=host%3Bx", "signed header 'x' did not arrive"),
    ],
)
def test_a_refusal_names_the_part_that_is_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidSignatureException, match=message.replace("+", r"\+")):
        opened(changed(link(), old, new))


def test_a_link_for_another_region_or_service_is_refused() -> None:
    with pytest.raises(InvalidSignatureException, match=f"'us-east-1', not '{REGION}'"):
        opened(link(), region="us-east-1")
    with pytest.raises(InvalidSignatureException, match="'lambda', not 's3'"):
        opened(link(), service="lambda")


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
def test_any_path_and_query_can_be_signed(key: str, parameters: dict[str, str]) -> None:
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in parameters.items()
        if not name.startswith("X-Amz-")
    )
    for service in ("s3", "lambda"):
        opened(link(f"/{quote(key)}", query, service=service), service=service)


@pytest.mark.parametrize("service", ["s3", "lambda"])
def test_botocores_links_are_opened(service: str) -> None:
    kind = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
    auth = kind(Credentials(ACCOUNT, SECRET), service, REGION, expires=60)
    url = "http://localhost:9000/bucket/a%20key%3A%24/x?versionId=a%2Bb"
    request = sent(auth, "GET", url, b"", {})
    now = get_current_datetime().timestamp()
    assert opened(request, service=service, now=now).access_key_id == ACCOUNT


LAMBDA_URL = "http://localhost:9000/2015-03-31/functions/"


@pytest.mark.parametrize(
    ("service", "method", "url", "body"),
    [
        ("lambda", "GET", "http://localhost:9000", b""),
        ("lambda", "GET", "http://localhost:9000/a//b/./c/../d/", b""),
        ("lambda", "POST", LAMBDA_URL + "f/invocations?Qualifier=%24LATEST", b"{}"),
        ("lambda", "GET", LAMBDA_URL + "arn%3Aaws%3Alambda%3Aeu-central-1%3A1%3Afunction%3Af", b""),
        ("lambda", "GET", LAMBDA_URL + "arn:aws:lambda:eu-central-1:1:function:f:$LATEST", b""),
        ("lambda", "GET", LAMBDA_URL + "?Marker=b&MaxItems=1&Marker=a&Empty=&Tilde=~", b""),
        ("s3", "PUT", "http://localhost:9000/bucket/a%20key%3A/b..c//d", b"content"),
        ("logs", "POST", "http://localhost:9000/", b"{}"),
    ],
)
def test_botocores_requests_are_verified(service: str, method: str, url: str, body: bytes) -> None:
    request = by_botocore(service, method, url, body, {"Content-Type": " application/json  x "})
    assert checked(request, service=service).access_key_id == ACCOUNT


def test_a_body_without_signature_is_accepted_when_it_says_so() -> None:
    headers = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    request = by_botocore("lambda", "POST", LAMBDA_URL + "f/invocations", b"{}", headers)
    assert checked(request).access_key_id == ACCOUNT


def with_headers(request: SignedRequest, **headers: str) -> SignedRequest:
    replaced = {name.replace("_", "-"): value for name, value in headers.items()}
    return SignedRequest(
        request.method, request.path, request.query, {**request.headers, **replaced},
        request.payload_sha256,
    )  # fmt: skip


def test_another_body_than_the_signed_one_is_refused() -> None:
    request = by_botocore("lambda", "POST", LAMBDA_URL + "f/invocations", b"{}")
    other = hashlib.sha256(b"[]").hexdigest()
    tampered = SignedRequest(request.method, request.path, "", request.headers, other)
    with pytest.raises(InvalidSignatureException, match="does not match"):
        checked(tampered)
    stated = with_headers(tampered, x_amz_content_sha256=request.payload_sha256)
    with pytest.raises(InvalidSignatureException, match="body differs from the one that was"):
        checked(stated)


def test_a_mismatch_shows_what_should_have_been_signed() -> None:
    request = by_botocore("lambda", "GET", LAMBDA_URL + "f")
    with pytest.raises(InvalidSignatureException) as raised:
        checked(request, secret="another")
    assert "\n\nThe Canonical String for this request should have been\n'GET\n" in str(raised.value)
    assert "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n" in str(raised.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "Authorization header must be AWS4-HMAC-SHA256"),
        ("Bearer x", "Authorization header must be"),
        ("AWS4-HMAC-SHA256 Credential=x", "requires 'SignedHeaders' parameter"),
        ("AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host", "requires 'Signature' parameter"),
        ("AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=0", "Credential must be"),
    ],
)
def test_a_broken_authorization_header_is_explained(header: str, message: str) -> None:
    request = by_botocore("lambda", "GET", LAMBDA_URL)
    with pytest.raises(InvalidSignatureException, match=message):
        checked(with_headers(request, authorization=header))


def test_a_request_without_a_date_is_refused() -> None:
    request = with_headers(by_botocore("lambda", "GET", LAMBDA_URL), x_amz_date="yesterday")
    with pytest.raises(InvalidSignatureException, match=r"X-Amz-Date must be .* 'yesterday'"):
        checked(request)


def test_a_clock_may_be_five_minutes_off() -> None:
    request = by_botocore("lambda", "GET", LAMBDA_URL)
    signed_at = sigv4._epoch(request.headers["x-amz-date"])
    checked(request, now=signed_at + 300)
    checked(request, now=signed_at - 300)
    with pytest.raises(InvalidSignatureException, match=r"expired: .* is now earlier than"):
        checked(request, now=signed_at + 301)
    with pytest.raises(InvalidSignatureException, match=r"not yet current: .* still later than"):
        checked(request, now=signed_at - 301)


def test_the_credential_is_read_from_the_header() -> None:
    request = by_botocore("lambda", "GET", LAMBDA_URL)
    credential = sigv4.parse_credential(request.headers, "")
    assert credential is not None
    assert (credential.access_key_id, credential.region, credential.service) == (
        ACCOUNT, REGION, "lambda",
    )  # fmt: skip


def test_the_credential_is_read_from_a_link() -> None:
    credential = sigv4.parse_credential({}, link().query)
    assert credential == Credential(ACCOUNT, "20260921", REGION, "s3")


@pytest.mark.parametrize(
    ("authorization", "query"),
    [
        ("", ""),
        ("AWS AKID:signature", ""),
        ("Basic dXNlcjpwYXNz", link().query),
        ("AWS4-HMAC-SHA256", ""),
        ("AWS4-HMAC-SHA256 Credential=", ""),
        ("AWS4-HMAC-SHA256 Credential=AKID/20260921/lambda/aws4_request", ""),
        ("AWS4-HMAC-SHA256 Credential=AKID/٢٠٢٦٠٩٢١/eu/lambda/aws4_request", ""),
        ("AWS4-HMAC-SHA256 Credential=AK ID/20260921/eu/lambda/aws4_request", ""),
        ("AWS4-HMAC-SHA256 Credential=/20260921/eu/lambda/aws4_request", ""),
        ("AWS4-HMAC-SHA256 Credential=AKID/20260921/eu/lambda/aws4_request;x", ""),
        (f"AWS4-HMAC-SHA256 Credential={'A' * 129}/20260921/eu/lambda/aws4_request", ""),
        (None, "X-Amz-Credential=%00"),
        (None, f"{link().query}&{link().query}"),
    ],
)
def test_what_is_no_credential_is_none(authorization: str | None, query: str) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    credential = sigv4.parse_credential(headers, query)
    assert credential is None


@given(st.text(st.characters()), st.text(st.characters()))
def test_garbage_is_never_an_error(header: str, query: str) -> None:
    for authorization in (
        header,
        f"AWS4-HMAC-SHA256 {header}",
        f"AWS4-HMAC-SHA256 Credential={header}",
    ):
        sigv4.parse_credential({"authorization": authorization}, "")
    for text in (query, f"X-Amz-Credential={query}", f"X-Amz-Credential=%{query}"):
        sigv4.parse_credential({}, text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"]
            ),
            st.text()
            | st.sampled_from(
                [
                    "AWS4-HMAC-SHA256",
                    "host",
                    f"{ACCOUNT}/20260921/{REGION}/s3/aws4_request",
                    "20260921T000000Z",
                    "60",
                ]
            ),
        ),
        max_size=8,
    )
)
def test_a_made_up_link_is_always_refused(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"X-Amz-{name}={quote(value)}" for name, value in pairs)
    with pytest.raises(InvalidSignatureException):
        opened(SignedRequest("GET", "/", query, {"host": "h"}))


def test_the_signature_is_the_one_that_aws_publishes() -> None:
    """The example of AWS's documentation for a presigned GET of an S3 object."""
    query = sigv4.presign(
        "GET", "examplebucket.s3.amazonaws.com", "/test.txt",
        key_id="AKIAIOSFODNN7EXAMPLE", secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        region="us-east-1", service="s3", now=timegm((2013, 5, 24, 0, 0, 0)),
        expires_seconds=86_400,
    )  # fmt: skip
    assert query.endswith(
        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
