"""What the function of an authorizer is asked: the three events that API Gateway has for it.

REST APIs send a token alone, or the whole request; HTTP APIs send the request in payload
format 1.0 or 2.0. None of them has the body.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from lambdabox.domain.authorizers import Authorizer, AuthorizerKind
from lambdabox.domain.http_apis import PAYLOAD_2, ApiKind
from lambdabox.gateway.api_requests import ApiCall, frame_of, request_1
from lambdabox.gateway.url_requests import framed_request


def authorizer_event(
    asked: ApiCall, authorizer: Authorizer, identity: Sequence[str], now: float
) -> bytes:
    """Return the event for a request whose identity sources have these values."""
    if authorizer.kind is AuthorizerKind.TOKEN:
        return orjson.dumps(
            {"type": "TOKEN", "methodArn": asked.arn, "authorizationToken": identity[0]}
        )
    if asked.api.kind is ApiKind.REST:
        event = {"type": "REQUEST", "methodArn": asked.arn, **request_1(asked, now)}
    elif authorizer.payload == PAYLOAD_2:
        event = _event_2(asked, identity, now)
    else:
        event = _event_1(asked, identity, now)
    return orjson.dumps(event)


def _event_2(asked: ApiCall, identity: Sequence[str], now: float) -> dict[str, Any]:
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": asked.arn,
        "identitySource": list(identity) or None,
        **framed_request(asked.call, frame_of(asked), trace=asked.trace, now=now),
    }


def _event_1(asked: ApiCall, identity: Sequence[str], now: float) -> dict[str, Any]:
    given = ",".join(identity) or None
    request = request_1(asked, now)
    for name in ("multiValueHeaders", "multiValueQueryStringParameters"):
        del request[name]
    return {
        "version": "1.0",
        "type": "REQUEST",
        "methodArn": asked.arn,
        "identitySource": given,
        "authorizationToken": given,
        **request,
    }
