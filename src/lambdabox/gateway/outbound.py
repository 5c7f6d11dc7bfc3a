"""What a relayed request tells the service: its headers, and whose it is.

The node's own process for other services is told the account, and checks no signature. An
endpoint of the operator's gets what the client has signed, or what is signed anew here.
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import urlsplit

from lambdabox.auth import sigv4
from lambdabox.aws_ports import AwsCallError, Endpoint, SigningKey
from lambdabox.backends.neighbours import ACCOUNT_HEADER
from lambdabox.domain.values import dataclass
from lambdabox.events.relayed import ServiceRequest

Headers = list[tuple[bytes, bytes]]

_SIGNED_CHUNKS = "STREAMING-AWS4-"
_UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
# What another signature has in a query.
_OF_A_SIGNATURE = (
    "X-Amz-Algorithm=", "X-Amz-Credential=", "X-Amz-Date=", "X-Amz-Expires=",
    "X-Amz-SignedHeaders=", "X-Amz-Signature=", "X-Amz-Security-Token=", "AWSAccessKeyId=",
    "Signature=", "Expires=",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outbound:
    """A request's target and headers, as they are sent."""

    target: bytes
    headers: Headers


# Of the client's connection to us; `expect` has been answered.
_NOT_SENT = frozenset({
    b"connection", b"expect", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
    b"te", b"trailer", b"transfer-encoding", b"upgrade", ACCOUNT_HEADER.encode(),
})  # fmt: skip
# What a body that has been changed does not have any more.
_OF_A_BODY = frozenset({b"content-length", b"content-md5", b"x-amz-sdk-checksum-algorithm"})


def must_be_whole(endpoint: Endpoint, request: ServiceRequest) -> bool:
    """Whether the body must be known before the request can be sent: to be signed with it."""
    return endpoint.key is not None and request.service != "s3" and request.body is None


def outbound(
    given: Sequence[tuple[bytes, bytes]],
    raw_path: bytes,
    endpoint: Endpoint,
    request: ServiceRequest,
    *,
    is_changed: bool,
    now: float,
) -> Outbound:
    """Return what to send of the client's headers and path. `is_changed` is said of the body.

    Raises AwsCallError for what cannot be signed anew.
    """
    headers = _headers(given, endpoint, request, is_changed=is_changed)
    if endpoint.key is not None:
        return _signed(endpoint, endpoint.key, request, headers, now)
    path = request.path.encode("latin-1") if endpoint.is_own else raw_path
    return Outbound(_target(path, request.query), headers)


def _signed(
    endpoint: Endpoint, key: SigningKey, request: ServiceRequest, headers: Headers, now: float
) -> Outbound:
    query = "&".join(
        pair for pair in request.query.split("&") if not pair.startswith(_OF_A_SIGNATURE)
    )
    dropped = ("authorization", "host", "x-amz-date", "x-amz-security-token")
    sent = {n.decode("latin-1"): v.decode("latin-1") for n, v in headers}
    sent = {name: value for name, value in sent.items() if name not in dropped}
    sent["host"] = urlsplit(endpoint.url).netloc
    signed = sigv4.SignedRequest(
        request.method, request.path, query, sent, _payload_hash(request, sent)
    )
    sent |= sigv4.sign(
        signed,
        key_id=key.id,
        secret=key.secret,
        token=key.token,
        region=request.scope.region,
        service=request.service,
        now=now,
    )
    kept = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    return Outbound(_target(request.path.encode("latin-1"), query), kept)


def _payload_hash(request: ServiceRequest, headers: dict[str, str]) -> str:
    given = headers.pop("x-amz-content-sha256", "")
    if request.service != "s3":
        return hashlib.sha256(request.body or b"").hexdigest()
    if given.startswith(_SIGNED_CHUNKS):
        message = (
            "Chunks that are signed one by one cannot be signed anew on their way. Have the SDK "
            "leave payloads unsigned, or sign with the endpoint's own key and unset "
            "endpoint_credentials."
        )
        raise AwsCallError("s3", "PutObject", "NotImplemented", message)
    return given if given == _UNSIGNED_CHUNKS else sigv4.UNSIGNED_PAYLOAD


def _target(path: bytes, query: str) -> bytes:
    return path + (b"?" + query.encode("latin-1") if query else b"")


def _headers(
    given: Sequence[tuple[bytes, bytes]],
    endpoint: Endpoint,
    request: ServiceRequest,
    *,
    is_changed: bool,
) -> Headers:
    headers = [(name, value) for name, value in given if name not in _NOT_SENT]
    if is_changed and request.body is not None:
        headers = [(n, v) for n, v in headers if n not in _OF_A_BODY and not _is_checksum(n)]
    if request.body is not None and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(request.body)).encode()))
    headers += [(name.encode(), value.encode()) for name, value in endpoint.headers.items()]
    if endpoint.is_own:
        headers.append((ACCOUNT_HEADER.encode(), request.scope.account.encode()))
        if "authorization" not in request.headers and request.service != "s3":
            # moto knows by the credential which service and region a request is for.
            headers.append((b"authorization", _credential(request).encode()))
    return headers


def _is_checksum(name: bytes) -> bool:
    return name.startswith(b"x-amz-checksum-")


def _credential(request: ServiceRequest) -> str:
    scope = f"{request.scope.account}/20000101/{request.scope.region}/{request.service}"
    return f"AWS4-HMAC-SHA256 Credential={scope}/aws4_request, SignedHeaders=host, Signature=0"
