"""A request to a function URL or an API, and the event that it becomes (payload format 2.0).

Nothing here may fail, whatever bytes a client sends: a path, a query or a header that is not
text becomes text that shows what it was.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import orjson

from lambdabox.api.request import ReadBody
from lambdabox.api.serialize import Headers
from lambdabox.domain.urls import domain_name, id_of_host

PATH_PREFIX = b"/_lambdabox/url/"
DEFAULT = "$default"

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
    """Which URL, or API, a request means, and the path that its function sees."""

    id: str
    path: bytes
    is_by_path: bool = False
    """Whether it is named in the path, for clients that cannot resolve its host name."""
    region: str = ""
    """Of an API that is named in the host."""


@dataclass(frozen=True, slots=True)
class UrlCall:
    """One request to a function URL, or to an API."""

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
    sent_headers: Sequence[tuple[bytes, bytes]] = ()
    """Each as it came, names in lower case."""


@dataclass(frozen=True, slots=True)
class EventFrame:
    """What an event says of the way by which its request came: a URL, or a route of an API."""

    domain_name: str
    account: str
    raw_path: bytes
    authorizer: Mapping[str, Any] | None = None
    route_key: str = DEFAULT
    stage: str = DEFAULT
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    stage_variables: Mapping[str, str] = field(default_factory=dict)


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
        sent_headers=scope.get("headers", ()),
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
    """Return the event for the function behind a URL."""
    frame = EventFrame(
        domain_name=domain_name(call.target.id, region),
        account=caller.account if caller else "anonymous",
        raw_path=call.target.path,
        authorizer={"iam": _identity(caller)} if caller else None,
    )
    return framed_event(call, frame, body, trace=trace, now=now)


def framed_event(call: UrlCall, frame: EventFrame, body: bytes, *, trace: str, now: float) -> bytes:
    """Return the event of payload format 2.0. What there is none of is left out."""
    event = framed_request(call, frame, trace=trace, now=now)
    if body:
        event["body"], event["isBase64Encoded"] = body_text(call, body)
    else:
        event["isBase64Encoded"] = False
    return orjson.dumps({"version": "2.0", **event})


def framed_request(call: UrlCall, frame: EventFrame, *, trace: str, now: float) -> dict[str, Any]:
    """Return what an event of payload format 2.0 says of a request, but for its body."""
    event: dict[str, Any] = {
        "routeKey": frame.route_key,
        "rawPath": printable(frame.raw_path),
        "rawQueryString": printable(call.query),
    }
    if cookies := _cookies(call.headers.get("cookie", "")):
        event["cookies"] = cookies
    event["headers"] = _headers(call, trace)
    if parameters := _query_parameters(call.query):
        event["queryStringParameters"] = parameters
    event["requestContext"] = _request_context(call, frame, now)
    if frame.path_parameters:
        event["pathParameters"] = frame.path_parameters
    if frame.stage_variables:
        event["stageVariables"] = frame.stage_variables
    return event


def _request_context(call: UrlCall, frame: EventFrame, now: float) -> dict[str, Any]:
    return {
        "accountId": frame.account,
        "apiId": call.target.id,
        **({"authorizer": frame.authorizer} if frame.authorizer else {}),
        "domainName": frame.domain_name,
        "domainPrefix": call.target.id,
        "http": {
            "method": call.method,
            "path": printable(frame.raw_path),
            "protocol": f"HTTP/{call.http_version}",
            "sourceIp": call.source_ip,
            "userAgent": call.headers.get("user-agent", ""),
        },
        "requestId": call.request_id,
        "routeKey": frame.route_key,
        "stage": frame.stage,
        "time": time_text(now),
        "timeEpoch": int(now * 1000),
    }


def time_text(now: float) -> str:
    """The moment as access logs write it."""
    return f"{datetime.fromtimestamp(now, UTC):%d/%b/%Y:%H:%M:%S +0000}"


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
    return shown | added_headers(call, trace)


def added_headers(call: UrlCall, trace: str) -> dict[str, str]:
    """Return the headers that a function sees of what is between it and the client."""
    before = call.headers.get("x-forwarded-for")
    return {
        "x-forwarded-for": f"{before}, {call.source_ip}" if before else call.source_ip,
        "x-forwarded-proto": "http",
        "x-forwarded-port": call.port,
        "x-amzn-trace-id": trace.partition(";")[0],
    }


def sent_headers(call: UrlCall) -> Iterator[tuple[str, str]]:
    """Return the client's headers one by one, but for those of its connection."""
    for raw_name, raw_value in call.sent_headers:
        name = raw_name.decode("latin-1").lower()
        if name not in _CONNECTION_HEADERS:
            yield name, _text(raw_value)


def _cookies(header: str) -> list[str]:
    return [cookie for part in header.split(";") if (cookie := part.strip())]


def query_parameters(query: bytes) -> dict[str, list[str]]:
    """Return the values of each parameter, decoded."""
    found: dict[str, list[str]] = {}
    for part in query.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            found.setdefault(_unquoted(name), []).append(_unquoted(value))
    return found


def _query_parameters(query: bytes) -> dict[str, str]:
    return {name: ",".join(values) for name, values in query_parameters(query).items()}


def body_text(call: UrlCall, body: bytes) -> tuple[str, bool]:
    """Return the body as text, and whether that is base64."""
    content_type = media_type(call.headers.get("content-type", ""))
    if _TEXT_TYPE.fullmatch(content_type):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # not the text it says it is
    return base64.b64encode(body).decode(), True


def media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def printable(raw: bytes) -> str:
    """What was sent, with its escapes; bytes that have no place in a URL are escaped too."""
    return quote_from_bytes(raw, safe=_PRINTABLE)


def _unquoted(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode(errors="replace")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
