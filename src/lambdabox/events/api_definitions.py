"""What APIs there are: read from the service that has them, and remembered for a moment.

An API is forgotten when a write to it passes through the node, so that a route serves as soon
as it is made; what is written elsewhere is seen when the moment is over. Requests say which
API they are for, not whose it is: that is learnt from what passes, and what nobody has asked
about through this node is looked for in the node's own account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import anyio

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.authorizers import Authorizer
from lambdabox.domain.http_apis import (
    ANY,
    DEFAULT,
    PAYLOAD_1,
    Api,
    ApiKind,
    Integration,
    Route,
    Stage,
    is_api_id,
)
from lambdabox.domain.urls import Cors
from lambdabox.events.authorizer_definitions import (
    function_arn,
    http_authorizer,
    rest_authorizer,
)
from lambdabox.ports import Clock

REMEMBERED_SECONDS = 10.0
REMEMBERED = 1_000
_NOT_FOUND = "NotFoundException"
_PAGE_SIZE = 500

_HTTP_SECONDS = 30.0
_REST_SECONDS = 29.0

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    scope: Scope
    kind: ApiKind


@dataclass(frozen=True, slots=True)
class _Known:
    api: Api | None
    until: float


class ApiDefinitions:
    """`scope` is where an API is looked for of which nothing is known: there alone, as what a
    `Host` header says may be anything."""

    def __init__(self, services: AwsServices, clock: Clock, scope: Scope) -> None:
        self._services = services
        self._clock = clock
        self._scope = scope
        self._owners: dict[str, Owner] = {}
        self._known: dict[str, _Known] = {}
        self._reading: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._forgotten = 0

    def learn(self, api_id: str, owner: Owner) -> None:
        self._owners[api_id] = owner

    def forget(self, api_id: str, *, is_gone: bool = False) -> None:
        """Read it again when it is asked for. `is_gone` if it is not the owner's any more."""
        self._forgotten += 1
        self._known.pop(api_id, None)
        if is_gone:
            self._owners.pop(api_id, None)

    async def find(self, api_id: str, region: str = "") -> Api | None:
        """Return the API that has this id, in `region` if one is given. Raises AwsCallError."""
        if not is_api_id(api_id):
            return None
        lock = self._reading.get(api_id)
        if lock is None:
            self._reading[api_id] = lock = anyio.Lock()
        async with lock:
            known = self._known.get(api_id)
            if known is not None and self._clock.monotonic() < known.until:
                api = known.api
            else:
                api = await self._look_up(api_id)
        return api if api is not None and region in ("", api.scope.region) else None

    async def _look_up(self, api_id: str) -> Api | None:
        before = self._forgotten
        owner = self._owners.get(api_id)
        owners = [owner] if owner else [Owner(self._scope, kind) for kind in ApiKind]
        api = None
        for owner in owners:
            api = api or await self._read(api_id, owner)
        # Remembered only if nothing was written while it was read.
        if before == self._forgotten:
            self._remember(api_id, api)
        return api

    def _remember(self, api_id: str, api: Api | None) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[api_id] = _Known(api, self._clock.monotonic() + REMEMBERED_SECONDS)

    async def _read(self, api_id: str, owner: Owner) -> Api | None:
        try:
            if owner.kind is ApiKind.HTTP:
                return await self._read_http(api_id, owner.scope)
            return await self._read_rest(api_id, owner.scope)
        except AwsCallError as exc:
            if exc.code == _NOT_FOUND:
                return None
            raise

    async def _read_http(self, api_id: str, scope: Scope) -> Api | None:
        named = {"ApiId": api_id}
        api = await self._services.call("apigatewayv2", "GetApi", named, scope)
        if api.get("ProtocolType") != ApiKind.HTTP.value:
            return None
        routes, integrations, stages = [
            await self._pages("apigatewayv2", operation, named, scope)
            for operation in ("GetRoutes", "GetIntegrations", "GetStages")
        ]
        authorizers = await self._authorizers(routes, api_id, scope)
        behind = {f"integrations/{each['IntegrationId']}": each for each in integrations}
        return Api(
            id=api_id,
            scope=scope,
            kind=ApiKind.HTTP,
            routes=[
                _http_route(each, behind.get(each.get("Target") or ""), authorizers)
                for each in routes
            ],
            stages={
                each["StageName"]: Stage(each["StageName"], each.get("StageVariables") or {})
                for each in stages
            },
            cors=_cors(api.get("CorsConfiguration")),
            is_disabled=bool(api.get("DisableExecuteApiEndpoint")),
        )

    async def _authorizers(
        self, routes: list[Document], api_id: str, scope: Scope
    ) -> dict[str, Authorizer]:
        """Return the authorizers that routes of an HTTP API name, by their ids."""
        found = {}
        for id in {each["AuthorizerId"] for each in routes if each.get("AuthorizerId")}:
            named = {"ApiId": api_id, "AuthorizerId": id}
            try:
                given = await self._services.call("apigatewayv2", "GetAuthorizer", named, scope)
            except AwsCallError as exc:
                if exc.code == _NOT_FOUND:
                    continue  # its routes let nobody in
                raise
            authorizer = http_authorizer(given)
            if authorizer is not None:
                found[id] = authorizer
        return found

    async def _read_rest(self, api_id: str, scope: Scope) -> Api:
        named = {"restApiId": api_id}
        api = await self._services.call("apigateway", "GetRestApi", named, scope)
        resources = await self._pages(
            "apigateway", "GetResources", {**named, "embed": ["methods"]}, scope
        )
        stages = await self._services.call("apigateway", "GetStages", named, scope)
        listed = await self._pages("apigateway", "GetAuthorizers", named, scope)
        authorizers = {each["id"]: rest_authorizer(each) for each in listed}
        return Api(
            id=api_id,
            scope=scope,
            kind=ApiKind.REST,
            routes=[
                _rest_route(resource, method, given, authorizers)
                for resource in resources
                for method, given in (resource.get("resourceMethods") or {}).items()
            ],
            stages={
                each["stageName"]: Stage(
                    each["stageName"], each.get("variables") or {}, each.get("deploymentId") or ""
                )
                for each in stages.get("item") or ()
            },
            binary_types=api.get("binaryMediaTypes") or (),
            is_disabled=bool(api.get("disableExecuteApiEndpoint")),
        )

    async def _pages(
        self, service: str, operation: str, parameters: Document, scope: Scope
    ) -> list[Document]:
        """Return the items of all pages of a list."""
        is_rest = service == "apigateway"
        items, token, limit = (
            ("items", "position", {"limit": _PAGE_SIZE}) if is_rest else ("Items", "NextToken", {})
        )
        found: list[Document] = []
        asked = {**parameters, **limit}
        while True:
            page = await self._services.call(service, operation, asked, scope)
            found += page.get(items) or ()
            following = page.get(token)
            if not following or following == asked.get(token):
                return found
            asked[token] = following


def _http_route(
    given: Document, integration: Document | None, authorizers: Mapping[str, Authorizer]
) -> Route:
    method, _, path = given["RouteKey"].partition(" ")
    is_default = method == DEFAULT or path == f"/{DEFAULT}"
    behind = None
    if integration is not None:
        is_function = (
            _is_proxy(integration.get("IntegrationType"))
            and not integration.get("IntegrationSubtype")
        )  # fmt: skip
        behind = Integration(
            function_arn=function_arn(integration.get("IntegrationUri")) if is_function else "",
            payload=integration.get("PayloadFormatVersion") or PAYLOAD_1,
            timeout_seconds=_seconds(integration.get("TimeoutInMillis"), _HTTP_SECONDS),
            acts_in_role=bool(integration.get("CredentialsArn")),
        )
    return Route(
        method=ANY if is_default else _method(method),
        path=DEFAULT if is_default else path,
        integration=behind,
        authorization=given.get("AuthorizationType") or "NONE",
        authorizer=authorizers.get(given.get("AuthorizerId") or ""),
        scopes=tuple(given.get("AuthorizationScopes") or ()),
    )


def _rest_route(
    resource: Document,
    method: str,
    given: Document,
    authorizers: Mapping[str, Authorizer | None],
) -> Route:
    integration = given.get("methodIntegration")
    behind = None
    if integration:
        is_function = _is_proxy(integration.get("type"))
        behind = Integration(
            function_arn=function_arn(integration.get("uri")) if is_function else "",
            payload=PAYLOAD_1,
            timeout_seconds=_seconds(integration.get("timeoutInMillis"), _REST_SECONDS),
            acts_in_role=bool(integration.get("credentials")),
        )
    authorization = given.get("authorizationType") or "NONE"
    authorizer = authorizers.get(given.get("authorizerId") or "")
    if given.get("apiKeyRequired"):
        authorization, authorizer = "API_KEY", None
    return Route(
        _method(method), resource["path"], behind, resource["id"], authorization, authorizer
    )


# moto keeps what OpenAPI documents have in their words: `aws_proxy`, and a long one for any
# method.
def _is_proxy(kind: Any) -> bool:
    return isinstance(kind, str) and kind.upper() == "AWS_PROXY"


def _method(name: str) -> str:
    return ANY if name.lower() == "x-amazon-apigateway-any-method" else name


def _seconds(milliseconds: Any, most: float) -> float:
    return min(milliseconds / 1000, most) if isinstance(milliseconds, int) else most


def _cors(given: Document | None) -> Cors | None:
    if not given:
        return None
    return Cors(
        allow_credentials=given.get("AllowCredentials"),
        allow_headers=_texts(given.get("AllowHeaders")),
        allow_methods=_texts(given.get("AllowMethods")),
        allow_origins=_texts(given.get("AllowOrigins")),
        expose_headers=_texts(given.get("ExposeHeaders")),
        max_age_seconds=given.get("MaxAge"),
    )


def _texts(given: Any) -> tuple[str, ...] | None:
    return tuple(given) if given else None
