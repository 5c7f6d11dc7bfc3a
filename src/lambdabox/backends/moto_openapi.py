"""What moto leaves out when it imports an OpenAPI document: who may call the methods.

It makes methods and integrations, and lets everybody in. Here the security schemes that are
authorizers are made too, and methods want what the document says they do.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_AUTHORIZER = "x-amazon-apigateway-authorizer"
_AUTH_TYPE = "x-amazon-apigateway-authtype"
_API_KEY_HEADER = "x-api-key"

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a method, or a route, wants of who calls it."""

    authorization: str
    authorizer_id: str | None = None
    scopes: tuple[str, ...] = ()


def secure_rest_api(
    document: Document, create: Callable[..., Any], method_of: Callable[[str, str], Any]
) -> None:
    """Have the methods of a REST API want what its document says. `create` makes authorizers."""

    def wanted(name: str, scheme: Document) -> Wanted | None:
        given = scheme.get(_AUTHORIZER)
        if not isinstance(given, Mapping):
            return _without_authorizer(scheme)
        kind = str(given.get("type", "")).upper()
        source = given.get("identitySource")
        if kind == "TOKEN" and not source:
            source = f"method.request.header.{scheme.get('name', 'Authorization')}"
        made = create(
            name=name,
            authorizer_type=kind,
            provider_arns=given.get("providerARNs"),
            auth_type=scheme.get(_AUTH_TYPE),
            authorizer_uri=given.get("authorizerUri"),
            authorizer_credentials=given.get("authorizerCredentials"),
            identity_source=source,
            identiy_validation_expression=given.get("identityValidationExpression"),
            authorizer_result_ttl=given.get("authorizerResultTtlInSeconds", 300),
        )
        return Wanted("COGNITO_USER_POOLS" if "COGNITO" in kind else "CUSTOM", made.id)

    for path, name, want in _secured(document, wanted):
        method = method_of(path, name.upper())
        if want.authorization == "API_KEY":
            method.api_key_required = True
        else:
            method.authorization_type, method.authorizer_id = (
                want.authorization,
                want.authorizer_id,
            )


def secure_http_api(document: Document, api: Any) -> None:
    """Have the routes of an HTTP API, moto's object, want what its document says."""

    def wanted(name: str, scheme: Document) -> Wanted | None:
        given = scheme.get(_AUTHORIZER)
        if not isinstance(given, Mapping):
            return _without_authorizer(scheme)
        is_token = str(given.get("type", "")).upper() == "JWT"
        source = given.get("identitySource") or ""
        made = api.create_authorizer(
            auth_creds_arn=given.get("authorizerCredentials"),
            auth_payload_format_version=given.get("authorizerPayloadFormatVersion"),
            auth_result_ttl=given.get("authorizerResultTtlInSeconds"),
            authorizer_type="JWT" if is_token else "REQUEST",
            authorizer_uri=given.get("authorizerUri"),
            enable_simple_response=given.get("enableSimpleResponses"),
            identity_source=[each.strip() for each in str(source).split(",") if each.strip()],
            identity_validation_expr=None,
            jwt_config=given.get("jwtConfiguration"),
            name=name,
        )
        return Wanted("JWT" if is_token else "CUSTOM", made.id)

    routes = {route.route_key: route for route in api.routes.values()}
    for path, method, want in _secured(document, wanted):
        route = routes.get(f"{method.upper()} {path}")
        if route is not None:
            route.authorization_type, route.authorizer_id = want.authorization, want.authorizer_id
            route.authorization_scopes = list(want.scopes)


def _secured(
    document: Document, wanted: Callable[[str, Document], Wanted | None]
) -> Iterator[tuple[str, str, Wanted]]:
    """Return path, method and demand of each operation that wants something."""
    schemes = (document.get("components") or {}).get("securitySchemes") or {}
    known = {name: wanted(name, scheme) for name, scheme in schemes.items()}
    for path, item in (document.get("paths") or {}).items():
        for method, operation in item.items():
            if not isinstance(operation, Mapping):
                continue
            demands = operation.get("security", document.get("security")) or ()
            for name, scopes in [pair for demand in demands for pair in demand.items()]:
                want = known.get(name)
                if want is not None:
                    yield (
                        path,
                        method,
                        Wanted(want.authorization, want.authorizer_id, tuple(scopes or ())),
                    )


def _without_authorizer(scheme: Document) -> Wanted | None:
    if scheme.get(_AUTH_TYPE) == "awsSigv4":
        return Wanted("AWS_IAM")
    is_key = scheme.get("type") == "apiKey"
    if is_key and str(scheme.get("name", "")).lower() == _API_KEY_HEADER:
        return Wanted("API_KEY")
    return None
