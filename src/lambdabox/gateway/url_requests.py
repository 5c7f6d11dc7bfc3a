"""A request to a function URL, and the event that it becomes (payload format 2.0).

Nothing here may fail, whatever bytes a client sends: a path, a query or a header that is not
text becomes text that shows what it was.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import orjson

from lambdabox.api.request import ReadBody
from lambdabox.api.serialize import Headers
from lambdabox.domain.urls import domain_name, id_of_host

PATH_PREFIX = b"/_lambdabox/url/"

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_TEXT_TYPE = re.compile(
    r"text/.*|application/(json|xml|javascript|x-www-form-urlencoded)|.*\+(json|xml)"
)
# Of one connection, not of the request that a function sees.
_CONNECTION_HEADERS = frozenset({
    "connection", "expect", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """Which URL a request means, and the path that its function sees."""

    url_id: str
    path: bytes
    is_by_path: bool = False
    """Whether the URL is named in the path, for clients that cannot resolve its host name."""


@dataclass(frozen=True, slots=True)
class UrlCall:
    """One request to a function URL."""

    target: UrlTarget
    method: str
    raw_path: bytes
    """As it was sent: what a signature covers."""
    query: bytes
    headers: Mapping[str, str]
    """By lower-case name; those sent more than once are joined."""
    http_version: str
    source_ip: str
    port: str
    request_id: str
    read_body: ReadBody
    extra_headers: Headers = field(default_factory=list)
    """Headers of the response beside those of the function."""


@dataclass(frozen=True, slots=True)
class UrlCaller:
    """Who signed a request."""

    access_key_id: str
    account: str

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:root"


def url_target(host: str, raw_path: bytes) -> UrlTarget | None:
    """Return the function URL that a request is for; None if it is for another service."""
    url_id = id_of_host(host)
    if url_id is not None:
        return UrlTarget(url_id, raw_path or b"/")
    if not raw_path.startswith(PATH_PREFIX):
        return None
    name, slash, rest = raw_path.removeprefix(PATH_PREFIX).partition(b"/")
    return UrlTarget(name.decode("latin-1"), (slash + rest) or b"/", is_by_path=True)


def url_call(
    scope: Mapping[str, Any],
    headers: Mapping[str, str],
    target: UrlTarget,
    read_body: ReadBody,
    request_id: str,
) -> UrlCall:
    """Return the request of an ASGI `scope`, whose headers have been `joined`."""
    port = headers.get("host", "").rpartition(":")[2]
    return UrlCall(
        target=target,
        method=scope["method"],
        raw_path=scope["raw_path"],
        query=scope["query_string"],
        headers=headers,
        http_version=scope["http_version"],
        source_ip=(scope.get("client") or ("",))[0],
        port=port if port.isdecimal() else str((scope.get("server") or ("", 80))[1]),
        request_id=request_id,
        read_body=read_body,
    )


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name. Cookies are joined as cookies are, all others by commas."""
    found: dict[str, list[str]] = {}
    for raw_name, raw_value in headers:
        found.setdefault(raw_name.decode("latin-1").lower(), []).append(_text(raw_value))
    return {
        name: ("; " if name == "cookie" else ",").join(values) for name, values in found.items()
    }


def event_of(
    call: UrlCall, region: str, body: bytes, *, caller: UrlCaller | None, trace: str, now: float
) -> bytes:
    """Return the event for the function."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": _path(call),
        "rawQueryString": _printable(call.query),
    }
    if cookies := _cookies(call.headers.get("cookie", "")):
        event["cookies"] = cookies
    event["headers"] = _headers(call, trace)
    if parameters := _query_parameters(call.query):
        event["queryStringParameters"] = parameters
    event["requestContext"] = _request_context(call, region, caller, now)
    if body:
        event["body"], event["isBase64Encoded"] = _body(call, body)
    else:
        event["isBase64Encoded"] = False
    return orjson.dumps(event)


def _request_context(
    call: UrlCall, region: str, caller: UrlCaller | None, now: float
) -> dict[str, Any]:
    moment = datetime.fromtimestamp(now, UTC)
    return {
        "accountId": caller.account if caller else "anonymous",
        "apiId": call.target.url_id,
        **({"authorizer": {"iam": _identity(caller)}} if caller else {}),
        "domainName": domain_name(call.target.url_id, region),
        "domainPrefix": call.target.url_id,
        "http": {
            "method": call.method,
            "path": _path(call),
            "protocol": f"HTTP/{call.http_version}",
            "sourceIp": call.source_ip,
            "userAgent": call.headers.get("user-agent", ""),
        },
        "requestId": call.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{moment:%d/%b/%Y:%H:%M:%S +0000}",
        "timeEpoch": int(now * 1000),
    }


def _identity(caller: UrlCaller) -> dict[str, str | None]:
    return {
        "accessKey": caller.access_key_id,
        "accountId": caller.account,
        "callerId": caller.account,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": caller.account,
    }


def _headers(call: UrlCall, trace: str) -> dict[str, str]:
    shown = {
        name: value
        for name, value in call.headers.items()
        if name not in _CONNECTION_HEADERS and name != "cookie"
    }
    before = shown.get("x-forwarded-for")
    shown["x-forwarded-for"] = f"{before}, {call.source_ip}" if before else call.source_ip
    shown["x-forwarded-proto"] = "http"
    shown["x-forwarded-port"] = call.port
    shown["x-amzn-trace-id"] = trace.partition(";")[0]
    return shown


def _cookies(header: str) -> list[str]:
    return [cookie for part in header.split(";") if (cookie := part.strip())]


def _query_parameters(query: bytes) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for part in query.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            found.setdefault(_unquoted(name), []).append(_unquoted(value))
    return {name: ",".join(values) for name, values in found.items()}


def _body(call: UrlCall, body: bytes) -> tuple[str, bool]:
    """Return the body as text, and whether that is base64."""
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if _TEXT_TYPE.fullmatch(content_type):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # not the text it says it is
    return base64.b64encode(body).decode(), True


def _path(call: UrlCall) -> str:
    return _printable(call.target.path)


def _printable(raw: bytes) -> str:
    """What was sent, with its escapes; bytes that have no place in a URL are escaped too."""
    return quote_from_bytes(raw, safe=_PRINTABLE)


def _unquoted(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode(errors="replace")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
