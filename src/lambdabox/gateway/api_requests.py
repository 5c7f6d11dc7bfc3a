"""A request to an API of API Gateway, and the event that it becomes (payload format 1.0).

Format 2.0 is that of function URLs, `url_requests`. As there, whatever bytes a client sends
become text.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from lambdabox.domain.authorizers import Authorized
from lambdabox.domain.http_apis import PAYLOAD_2, Api, ApiKind, Match, Stage, api_of_host
from lambdabox.domain.http_apis import domain_name as api_domain
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
    trace: str = ""
    authorized: Authorized | None = None
    """Whom the route's authorizer has let in."""

    @property
    def arn(self) -> str:
        return self.api.method_arn(self.stage, self.call.method, printable(self.path))


def api_target(host: str, raw_path: bytes) -> UrlTarget | None:
    """Return the API that a request is for; None if it is for another service."""
    named = api_of_host(host)
    if named is not None:
        return UrlTarget(named[0], raw_path or b"/", region=named[1])
    if not raw_path.startswith(PATH_PREFIX):
        return None
    name, slash, rest = raw_path.removeprefix(PATH_PREFIX).partition(b"/")
    return UrlTarget(name.decode("latin-1"), (slash + rest) or b"/", is_by_path=True)


def api_event(asked: ApiCall, body: bytes, *, now: float) -> bytes:
    """Return the event for the function behind a route."""
    integration = asked.match.route.integration
    if integration is not None and integration.payload == PAYLOAD_2:
        return framed_event(asked.call, frame_of(asked), body, trace=asked.trace, now=now)
    text, is_base64 = _body(asked, body)
    event: dict[str, Any] = {
        **({"version": "1.0"} if asked.api.kind is ApiKind.HTTP else {}),
        **request_1(asked, now),
        "requestContext": context_1(asked, now) | _authorizer_1(asked),
        "body": text,
        "isBase64Encoded": is_base64,
    }
    return orjson.dumps(event)


def frame_of(asked: ApiCall) -> EventFrame:
    return EventFrame(
        domain_name=_domain(asked),
        account=asked.api.scope.account,
        raw_path=asked.call.target.path,
        authorizer=_authorizer_2(asked),
        route_key=asked.match.route.key,
        stage=asked.stage.name,
        path_parameters=asked.match.parameters,
        stage_variables=asked.stage.variables,
    )


def is_binary(types: Iterable[str], content_type: str) -> bool:
    """Whether a media type is among those that a REST API was told to be binary."""
    wanted = media_type(content_type)
    return any(each == "*/*" or fnmatchcase(wanted, each.lower()) for each in types)


def request_1(asked: ApiCall, now: float) -> dict[str, Any]:
    """Return what an event of payload format 1.0 says of a request, but for its body."""
    call, route, is_http = asked.call, asked.match.route, asked.api.kind is ApiKind.HTTP
    headers = _headers(call, asked.trace)
    parameters = query_parameters(call.query)
    return {
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
        "requestContext": context_1(asked, now),
    }


def context_1(asked: ApiCall, now: float) -> dict[str, Any]:
    call, api, route = asked.call, asked.api, asked.match.route
    is_http = api.kind is ApiKind.HTTP
    identity = dict.fromkeys(_NOBODY) | {
        "sourceIp": call.source_ip,
        "userAgent": call.headers.get("user-agent", ""),
    }
    return {
        "accountId": api.scope.account,
        "apiId": api.id,
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


def _authorizer_1(asked: ApiCall) -> dict[str, Any]:
    """Return what payload format 1.0 tells of an authorizer; an HTTP API tells of none, too."""
    known, is_http = asked.authorized, asked.api.kind is ApiKind.HTTP
    if known is None or known.claims is not None:
        told = {
            "claims": known.claims if known else None,
            "scopes": known.scopes if known else None,
        }
        return {"authorizer": told} if is_http else {}
    context = known.context or {}
    if not is_http:
        context = {name: _scalar_text(value) for name, value in context.items()}
    return {
        "authorizer": {
            **context,
            **({} if known.principal is None else {"principalId": known.principal}),
            "integrationLatency": known.latency_ms,
        }
    }


def _authorizer_2(asked: ApiCall) -> dict[str, Any] | None:
    known = asked.authorized
    if known is None:
        return None
    if known.claims is not None:
        return {"jwt": {"claims": known.claims, "scopes": known.scopes}}
    return {"lambda": known.context}


def _scalar_text(value: Any) -> Any:
    """A REST API shows numbers and booleans as texts."""
    return value if isinstance(value, str) or value is None else orjson.dumps(value).decode()


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
