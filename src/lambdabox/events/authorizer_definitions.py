"""Authorizers as API Gateway describes them, in the words of the two kinds of API.

Cognito and IAM have authorizers too, which are not known here: a route that wants one has
none, and so lets nobody in.
"""

import re
from collections.abc import Mapping
from typing import Any

from lambdabox.domain.authorizers import DEFAULT_TTL_SECONDS, Authorizer, AuthorizerKind

# arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function's ARN}/invocations
_INVOCATIONS = re.compile(r".*/functions/(arn:.*)/invocations")
_REST_KINDS = {"TOKEN": AuthorizerKind.TOKEN, "REQUEST": AuthorizerKind.REQUEST}
_HEADER = "method.request.header.Authorization"

Document = Mapping[str, Any]


def http_authorizer(given: Document) -> Authorizer | None:
    token = given.get("JwtConfiguration") or {}
    kind = AuthorizerKind.JWT if given.get("AuthorizerType") == "JWT" else AuthorizerKind.REQUEST
    sources = tuple(given.get("IdentitySource") or ())
    if kind is AuthorizerKind.JWT and not (len(sources) == 1 and token.get("Issuer")):
        return None
    return Authorizer(
        id=given["AuthorizerId"],
        kind=kind,
        identity_sources=sources,
        ttl_seconds=_seconds(given.get("AuthorizerResultTtlInSeconds")),
        function_arn=function_arn(given.get("AuthorizerUri")),
        payload=given.get("AuthorizerPayloadFormatVersion") or "",
        acts_in_role=bool(given.get("AuthorizerCredentialsArn")),
        is_simple=bool(given.get("EnableSimpleResponses")),
        issuer=token.get("Issuer") or "",
        audience=tuple(token.get("Audience") or ()),
    )


def rest_authorizer(given: Document) -> Authorizer | None:
    kind = _REST_KINDS.get(given.get("type") or "")
    if kind is None:
        return None
    named = [each.strip() for each in (given.get("identitySource") or "").split(",")]
    sources = tuple(each for each in named if each)
    is_token = kind is AuthorizerKind.TOKEN
    return Authorizer(
        id=given["id"],
        kind=kind,
        identity_sources=(sources or (_HEADER,))[:1] if is_token else sources,
        ttl_seconds=_seconds(given.get("authorizerResultTtlInSeconds")),
        function_arn=function_arn(given.get("authorizerUri")),
        acts_in_role=bool(given.get("authorizerCredentials")),
        expression=(given.get("identityValidationExpression") or "") if is_token else "",
    )


def function_arn(uri: Any) -> str:
    """Return the function that an integration, or an authorizer, names by its path."""
    if not isinstance(uri, str):
        return ""
    found = _INVOCATIONS.fullmatch(uri)
    return found[1] if found else uri


def _seconds(given: Any) -> float:
    return given if isinstance(given, int) else DEFAULT_TTL_SECONDS
