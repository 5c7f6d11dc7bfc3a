"""A request to an API of API Gateway, and the event that it becomes (payload format 1.0).

Format 2.0 is that of function URLs, `url_requests`. As there, whatever bytes a client sends
become text.
"""

import base64
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from lambdabox.domain.http_apis import PAYLOAD_2, Api, ApiKind, Match, Stage, api_of_host
from lambdabox.domain.http_apis import domain_name as api_domain
from lambdabox.domain.values import dataclass
from lambdabox.gateway.url_requests import (
    EventFrame,
    UrlCall,
    UrlTarget,
    added_headers,
    body_text,
    framed_event,
    media_type,
    printable,
    query_parameters,
    sent_headers,
    time_text,
)

PATH_PREFIX = b"/_lambdabox/api/"

_NOBODY = (
    "accessKey", "accountId", "caller", "cognitoAuthenticationProvider",
    "cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId",
    "user", "userArn",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request that has found its route."""

    call: UrlCall
    api: Api
    stage: Stage
    match: Match
    path: bytes
    """On its stage, as it was sent."""


def api_target(host: str, raw_path: bytes) -> UrlTarget | None:
    """Return the API that a request is for; None if it is for another service."""
    named = api_of_host(host)
    if named is not None:
        return UrlTarget(named[0], raw_path or b"/", region=named[1])
    if not raw_path.startswith(PATH_PREFIX):
        return None
    name, slash, rest = raw_path.removeprefix(PATH_PREFIX).partition(b"/")
    return UrlTarget(name.decode("latin-1"), (slash + rest) or b"/", is_by_path=True)


def api_event(asked: ApiCall, body: bytes, *, trace: str, now: float) -> bytes:
    """Return the event for the function behind a route."""
    integration = asked.match.route.integration
    if integration is None or integration.payload != PAYLOAD_2:
        return _event_1(asked, body, trace=trace, now=now)
    frame = EventFrame(
        domain_name=_domain(asked),
        account=asked.api.scope.account,
        raw_path=asked.call.target.path,
        route_key=asked.match.route.key,
        stage=asked.stage.name,
        path_parameters=asked.match.parameters,
        stage_variables=asked.stage.variables,
    )
    return framed_event(asked.call, frame, body, trace=trace, now=now)


def is_binary(types: Iterable[str], content_type: str) -> bool:
    """Whether a media type is among those that a REST API was told to be binary."""
    wanted = media_type(content_type)
    return any(each == "*/*" or fnmatchcase(wanted, each.lower()) for each in types)


def _event_1(asked: ApiCall, body: bytes, *, trace: str, now: float) -> bytes:
    call, route, is_http = asked.call, asked.match.route, asked.api.kind is ApiKind.HTTP
    headers = _headers(call, trace)
    parameters = query_parameters(call.query)
    text, is_base64 = _body(asked, body)
    event: dict[str, Any] = {
        **({"version": "1.0"} if is_http else {}),
        "resource": route.path,
        # An HTTP API shows the stage in its paths.
        "path": _decoded(call.target.path if is_http else asked.path),
        "httpMethod": call.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: each[-1] for name, each in parameters.items()} or None,
        "multiValueQueryStringParameters": parameters or None,
        "pathParameters": asked.match.parameters or None,
        "stageVariables": asked.stage.variables or None,
        "requestContext": _context_1(asked, now),
        "body": text,
        "isBase64Encoded": is_base64,
    }
    return orjson.dumps(event)


def _context_1(asked: ApiCall, now: float) -> dict[str, Any]:
    call, api, route = asked.call, asked.api, asked.match.route
    is_http = api.kind is ApiKind.HTTP
    identity = dict.fromkeys(_NOBODY) | {
        "sourceIp": call.source_ip,
        "userAgent": call.headers.get("user-agent", ""),
    }
    return {
        "accountId": api.scope.account,
        "apiId": api.id,
        **({"authorizer": {"claims": None, "scopes": None}} if is_http else {}),
        "domainName": _domain(asked),
        "domainPrefix": api.id,
        **({} if is_http else {"deploymentId": asked.stage.deployment_id}),
        "extendedRequestId": _extended_id(call.request_id),
        "httpMethod": call.method,
        "identity": identity,
        "path": printable(call.target.path),
        "protocol": f"HTTP/{call.http_version}",
        "requestId": call.request_id,
        "requestTime": time_text(now),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": route.key if is_http else route.resource_id,
        "resourcePath": route.path,
        "stage": asked.stage.name,
    }


def _headers(call: UrlCall, trace: str) -> dict[str, list[str]]:
    """Return all values of each header, named as clients mostly write them.

    The server hands names over in lower case; functions look for `Content-Type`.
    """
    found: dict[str, list[str]] = {}
    for name, value in sent_headers(call):
        found.setdefault(name.title(), []).append(value)
    return found | {name.title(): [value] for name, value in added_headers(call, trace).items()}


def _body(asked: ApiCall, body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    if asked.api.kind is ApiKind.HTTP:
        return body_text(asked.call, body)
    if is_binary(asked.api.binary_types, asked.call.headers.get("content-type", "")):
        return base64.b64encode(body).decode(), True
    return body.decode(errors="replace"), False


def _domain(asked: ApiCall) -> str:
    return api_domain(asked.api.id, asked.api.scope.region)


def _decoded(path: bytes) -> str:
    return unquote_to_bytes(path).decode(errors="replace")


def _extended_id(request_id: str) -> str:
    """In the form of AWS's, and telling no more than the request's id does."""
    return base64.b64encode(request_id.encode()[:11]).decode()
