"""What a relayed request tells the service: its headers, and whose it is.

The node's own process for other services is told the account, and checks no signature. An
endpoint of the operator's gets what the client has signed.
"""

from collections.abc import Sequence

from lambdabox.aws_ports import Endpoint
from lambdabox.backends.neighbours import ACCOUNT_HEADER
from lambdabox.events.relayed import ServiceRequest

Headers = list[tuple[bytes, bytes]]

# Of the client's connection to us; `expect` has been answered.
_NOT_SENT = frozenset({
    b"connection", b"expect", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
    b"te", b"trailer", b"transfer-encoding", b"upgrade", ACCOUNT_HEADER.encode(),
})  # fmt: skip
# What a body that has been changed does not have any more.
_OF_A_BODY = frozenset({b"content-length", b"content-md5", b"x-amz-sdk-checksum-algorithm"})


def outbound_headers(
    given: Sequence[tuple[bytes, bytes]],
    endpoint: Endpoint,
    request: ServiceRequest,
    *,
    is_changed: bool,
) -> Headers:
    """Return the headers to send. `is_changed` says that the body is not the client's own."""
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
