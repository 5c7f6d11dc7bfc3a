"""HTTP APIs: AWS::ApiGatewayV2::Api, Stage, Integration, Route and Authorizer.

An API may be declared by an OpenAPI document, which is what SAM makes of a function's events.
An API that is changed keeps its id, for that is in its address; routes are led elsewhere
before those that are not wanted any more go, so that requests find them at all times.
"""

from collections.abc import Mapping
from typing import Any

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceKind,
    Result,
    Work,
    changed_properties,
    picked,
    tag_map,
    without,
)
from lambdabox.stacks.resources.open_api import ApiDocument, Operation, Scheme, document_of

_HTTP = "apigatewayv2"
_ELSEWHERE = ("BasePath", "Body", "BodyS3Location", "FailOnWarnings", "Tags")
_CREATED_ONLY = ("CredentialsArn", "ProtocolType", "RouteKey", "Target")
_INTEGRATION = {
    "connectionId": "ConnectionId",
    "connectionType": "ConnectionType",
    "credentials": "CredentialsArn",
    "description": "Description",
    "httpMethod": "IntegrationMethod",
    "integrationSubtype": "IntegrationSubtype",
    "payloadFormatVersion": "PayloadFormatVersion",
    "requestParameters": "RequestParameters",
    "timeoutInMillis": "TimeoutInMillis",
    "uri": "IntegrationUri",
}
_AUTHORIZER = {
    "authorizerCredentials": "AuthorizerCredentialsArn",
    "authorizerPayloadFormatVersion": "AuthorizerPayloadFormatVersion",
    "authorizerResultTtlInSeconds": "AuthorizerResultTtlInSeconds",
    "authorizerUri": "AuthorizerUri",
    "enableSimpleResponses": "EnableSimpleResponses",
    "jwtConfiguration": "JwtConfiguration",
}


async def _create_api(work: Work, properties: Properties) -> Result:
    document = await document_of(work, properties)
    tags = tag_map(properties.get("Tags"))
    given = _settings(work, properties, document)
    created = await work.call(
        _HTTP, "CreateApi", {"ProtocolType": "HTTP", **given, **({"Tags": tags} if tags else {})}
    )
    id = created["ApiId"]
    await work.initiated(id)
    if document is not None:
        await _lead(work, id, document)
    return _api(created)


def _api(shown: Mapping[str, Any]) -> Result:
    id = shown["ApiId"]
    return Result(id, {"ApiEndpoint": shown.get("ApiEndpoint", ""), "ApiId": id})


def _settings(work: Work, properties: Properties, document: ApiDocument | None) -> dict[str, Any]:
    given = without(properties, *_ELSEWHERE)
    if document is None:
        return given
    told = {
        "Name": document.title,
        "Description": document.description,
        "Version": document.version,
        "CorsConfiguration": document.cors,
    }
    if work.name:  # it was made up
        given.pop("Name", None)
    return {**{name: value for name, value in told.items() if value is not None}, **given}


async def _lead(work: Work, id: str, document: ApiDocument) -> None:
    """Bring an API's routes to what a document declares."""
    api = {"ApiId": id}
    integrations = (await work.call(_HTTP, "GetIntegrations", api))["Items"]
    before = (await work.call(_HTTP, "GetRoutes", api))["Items"]
    routes = {each["RouteKey"]: each["RouteId"] for each in before}
    authorizers = {
        scheme.name: (await work.call(_HTTP, "CreateAuthorizer", {**api, **_authorizer(scheme)}))[
            "AuthorizerId"
        ]
        for scheme in document.authorizers
    }
    for operation in document.operations:
        key = _route_key(operation)
        route = {**api, "RouteKey": key, **_access(operation, authorizers)}
        if operation.integration is not None:
            wanted = {**api, **_integration(operation.integration)}
            made = await work.call(_HTTP, "CreateIntegration", wanted)
            route["Target"] = f"integrations/{made['IntegrationId']}"
        if key in routes:
            await work.call(_HTTP, "UpdateRoute", {**route, "RouteId": routes.pop(key)})
        else:
            await work.call(_HTTP, "CreateRoute", route)
    for route_id in routes.values():
        await work.call_if_there(_HTTP, "DeleteRoute", {**api, "RouteId": route_id})
    for each in integrations:
        gone = {**api, "IntegrationId": each["IntegrationId"]}
        await work.call_if_there(_HTTP, "DeleteIntegration", gone)
    for authorizer_id in {each.get("AuthorizerId") for each in before} - {None}:
        gone = {**api, "AuthorizerId": authorizer_id}
        await work.call_if_there(_HTTP, "DeleteAuthorizer", gone)


def _route_key(operation: Operation) -> str:
    if operation.path.removeprefix("/") == "$default":
        return "$default"
    return f"{operation.method} {operation.path}"


def _access(operation: Operation, authorizers: Mapping[str, str]) -> dict[str, Any]:
    scheme = operation.scheme
    if scheme is None:
        return {"AuthorizationType": "NONE", "OperationName": operation.name}
    kind = {"awssigv4": "AWS_IAM", "jwt": "JWT"}.get(scheme.kind.lower(), "CUSTOM")
    return {
        "AuthorizationType": kind,
        "AuthorizerId": authorizers.get(scheme.name),
        "AuthorizationScopes": list(operation.scopes),
        "OperationName": operation.name,
    }


def _integration(declared: Mapping[str, Any]) -> dict[str, Any]:
    given = {theirs: declared[ours] for ours, theirs in _INTEGRATION.items() if ours in declared}
    kind = str(declared.get("type", "aws_proxy")).upper()
    return {"IntegrationType": kind, **given}


def _authorizer(scheme: Scheme) -> dict[str, Any]:
    declared = scheme.authorizer or {}
    given = {theirs: declared[ours] for ours, theirs in _AUTHORIZER.items() if ours in declared}
    source = declared.get("identitySource", [])
    sources = [each.strip() for each in source.split(",")] if isinstance(source, str) else source
    kind = "JWT" if str(declared.get("type", "")).lower() == "jwt" else "REQUEST"
    return {"Name": scheme.name, "AuthorizerType": kind, "IdentitySource": sources, **given}


async def _update_api(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    document = await document_of(work, properties)
    given = without(_settings(work, properties, document), *_CREATED_ONLY)
    api = {"ApiId": id}
    await work.call(_HTTP, "UpdateApi", {**api, **given})
    if "CorsConfiguration" not in given:
        await work.call_if_there(_HTTP, "DeleteCorsConfiguration", api)
    if document is not None:
        await _lead(work, id, document)
    if "Tags" in changed_properties(before, properties):
        await _retag(work, id, before, properties)
    return _api(await work.call(_HTTP, "GetApi", api))


async def _retag(work: Work, id: str, before: Properties, properties: Properties) -> None:
    old, new = tag_map(before.get("Tags")), tag_map(properties.get("Tags"))
    arn = f"arn:aws:apigateway:{work.scope.region}::/apis/{id}"
    if gone := sorted(old.keys() - new.keys()):
        await work.call(_HTTP, "UntagResource", {"ResourceArn": arn, "TagKeys": gone})
    if new:
        await work.call(_HTTP, "TagResource", {"ResourceArn": arn, "Tags": new})


async def _delete_api(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there(_HTTP, "DeleteApi", {"ApiId": id})


API = ResourceKind(
    _create_api,
    _delete_api,
    _update_api,
    fixed=frozenset(_CREATED_ONLY),
    name=NameRule("Name", 128),
    tags="map",
)


async def _create_stage(work: Work, properties: Properties) -> Result:
    await work.call(_HTTP, "CreateStage", properties)
    return Result(properties["StageName"])


async def _update_stage(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    # What stands for API Gateway makes and deletes stages, and does not change them.
    await _delete_stage(work, id, before)
    return await _create_stage(work, properties)


async def _delete_stage(work: Work, id: str, properties: Properties) -> None:
    what = {"ApiId": properties["ApiId"], "StageName": id}
    await work.call_if_there(_HTTP, "DeleteStage", what)


STAGE = ResourceKind(
    _create_stage,
    _delete_stage,
    _update_stage,
    fixed=frozenset({"ApiId", "StageName"}),
    required=("ApiId", "StageName"),
    tags="map",
)


def _part(name: str, *required: str) -> ResourceKind:
    """Return the kind of a part of an API that is made, changed and deleted by operations of
    its own name."""
    key = f"{name}Id"

    def place(properties: Properties, id: str) -> dict[str, Any]:
        return {**picked(properties, "ApiId"), key: id}

    async def create(work: Work, properties: Properties) -> Result:
        id = (await work.call(_HTTP, f"Create{name}", properties))[key]
        return Result(id, {key: id})

    async def update(work: Work, id: str, properties: Properties, _before: Properties) -> Result:
        await work.call(_HTTP, f"Update{name}", {**properties, **place(properties, id)})
        return Result(id, {key: id})

    async def delete(work: Work, id: str, properties: Properties) -> None:
        await work.call_if_there(_HTTP, f"Delete{name}", place(properties, id))

    return ResourceKind(
        create, delete, update, fixed=frozenset({"ApiId"}), required=("ApiId", *required)
    )


AUTHORIZER = _part("Authorizer", "AuthorizerType", "Name")
INTEGRATION = _part("Integration", "IntegrationType")
ROUTE = _part("Route", "RouteKey")
