"""APIs in front of functions: AWS::ApiGateway::* and AWS::ApiGatewayV2::*.

They are made in the service that stands for API Gateway, which shows them. What its URLs
answer is that service's business; a function URL is the node's.
"""

from typing import Any

import orjson

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceKind,
    Result,
    Work,
    nothing_to_delete,
    picked,
    tag_map,
    without,
)

_REST = "apigateway"
_HTTP = "apigatewayv2"


async def _body(work: Work, properties: Properties) -> Any:
    """Return the definition that the properties hold or name, None if there is none."""
    if "BodyS3Location" in properties:
        where = properties["BodyS3Location"]
        return (await work.call("s3", "GetObject", picked(where, "Bucket", "Key")))["Body"]
    return properties.get("Body")


async def _rest_result(work: Work, id: str) -> Result:
    listed = await work.call(_REST, "GetResources", {"restApiId": id})
    root = next((each["id"] for each in listed["items"] if each["path"] == "/"), "")
    return Result(id, {"RestApiId": id, "RootResourceId": root})


async def _import(work: Work, id: str, properties: Properties) -> None:
    body = await _body(work, properties)
    if body is None:
        return
    if not isinstance(body, bytes):
        body = orjson.dumps(body)
    given = {"restApiId": id, "mode": "overwrite", "body": body}
    await work.call(_REST, "PutRestApi", given)


async def _create_rest(work: Work, properties: Properties) -> Result:
    tags = tag_map(properties.get("Tags"))
    given = picked(
        properties, "ApiKeySourceType", "BinaryMediaTypes", "Description", "EndpointConfiguration",
        "MinimumCompressionSize", "Name", "Policy",
    )  # fmt: skip
    source = {"apiKeySource": given.pop("ApiKeySourceType", None)}
    endpoint = given.get("EndpointConfiguration")
    if isinstance(endpoint, dict):
        given["EndpointConfiguration"] = picked(endpoint, "Types", "VpcEndpointIds")
    created = await work.call(
        _REST, "CreateRestApi", {**given, **source, **({"tags": tags} if tags else {})}
    )
    await work.initiated(created["id"])
    await _import(work, created["id"], properties)
    return await _rest_result(work, created["id"])


async def _update_rest(work: Work, id: str, properties: Properties, _before: Properties) -> Result:
    await _import(work, id, properties)
    return await _rest_result(work, id)


async def _delete_rest(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there(_REST, "DeleteRestApi", {"restApiId": id})


REST_API = ResourceKind(
    _create_rest,
    _delete_rest,
    _update_rest,
    fixed=frozenset({"Name"}),
    name=NameRule("Name", 128),
    tags="list",
)


async def _create_resource(work: Work, properties: Properties) -> Result:
    created = await work.call(_REST, "CreateResource", properties)
    return Result(created["id"], {"ResourceId": created["id"]})


async def _delete_resource(work: Work, id: str, properties: Properties) -> None:
    what = {"restApiId": properties["RestApiId"], "resourceId": id}
    await work.call_if_there(_REST, "DeleteResource", what)


RESOURCE = ResourceKind(
    _create_resource, _delete_resource, required=("ParentId", "PathPart", "RestApiId")
)


def _place(properties: Properties) -> dict[str, Any]:
    return picked(properties, "RestApiId", "ResourceId", "HttpMethod")


async def _create_method(work: Work, properties: Properties) -> Result:
    given = without(properties, "Integration", "MethodResponses")
    await work.call(_REST, "PutMethod", given)
    integration = properties.get("Integration")
    if integration:
        wanted = without(integration, "IntegrationResponses", "IntegrationHttpMethod")
        method = {"integrationHttpMethod": integration.get("IntegrationHttpMethod")}
        await work.call(_REST, "PutIntegration", {**wanted, **method, **_place(properties)})
    for response in properties.get("MethodResponses") or ():
        await work.call(_REST, "PutMethodResponse", {**response, **_place(properties)})
    for response in (integration or {}).get("IntegrationResponses") or ():
        await work.call(_REST, "PutIntegrationResponse", {**response, **_place(properties)})
    return Result(f"{properties['RestApiId']}|{properties['ResourceId']}|{work.logical_id}")


async def _delete_method(work: Work, _id: str, properties: Properties) -> None:
    await work.call_if_there(_REST, "DeleteMethod", _place(properties))


METHOD = ResourceKind(
    _create_method, _delete_method, required=("HttpMethod", "ResourceId", "RestApiId")
)


async def _create_authorizer(work: Work, properties: Properties) -> Result:
    created = await work.call(_REST, "CreateAuthorizer", properties)
    return Result(created["id"], {"AuthorizerId": created["id"]})


async def _delete_authorizer(work: Work, id: str, properties: Properties) -> None:
    what = {"restApiId": properties["RestApiId"], "authorizerId": id}
    await work.call_if_there(_REST, "DeleteAuthorizer", what)


AUTHORIZER = ResourceKind(
    _create_authorizer, _delete_authorizer, required=("Name", "RestApiId", "Type")
)


async def _create_deployment(work: Work, properties: Properties) -> Result:
    given = picked(properties, "RestApiId", "Description", "StageName")
    created = await work.call(_REST, "CreateDeployment", given)
    return Result(created["id"], {"DeploymentId": created["id"]})


async def _delete_deployment(work: Work, id: str, properties: Properties) -> None:
    what = {"restApiId": properties["RestApiId"], "deploymentId": id}
    if name := properties.get("StageName"):
        stage = {"restApiId": properties["RestApiId"], "stageName": name}
        await work.call_if_there(_REST, "DeleteStage", stage)
    await work.call_if_there(_REST, "DeleteDeployment", what)


DEPLOYMENT = ResourceKind(_create_deployment, _delete_deployment, required=("RestApiId",))


async def _create_stage(work: Work, properties: Properties) -> Result:
    tags = tag_map(properties.get("Tags"))
    given = picked(
        properties, "CacheClusterEnabled", "DeploymentId", "Description", "RestApiId", "StageName",
        "TracingEnabled", "Variables",
    )  # fmt: skip
    await work.call(_REST, "CreateStage", {**given, **({"tags": tags} if tags else {})})
    return Result(properties["StageName"])


async def _update_stage(work: Work, id: str, properties: Properties, _before: Properties) -> Result:
    change = {"op": "replace", "path": "/deploymentId", "value": properties["DeploymentId"]}
    what = {"restApiId": properties["RestApiId"], "stageName": id, "patchOperations": [change]}
    await work.call(_REST, "UpdateStage", what)
    return Result(id)


async def _delete_stage(work: Work, id: str, properties: Properties) -> None:
    what = {"restApiId": properties["RestApiId"], "stageName": id}
    await work.call_if_there(_REST, "DeleteStage", what)


STAGE = ResourceKind(
    _create_stage,
    _delete_stage,
    _update_stage,
    fixed=frozenset({"RestApiId", "StageName"}),
    required=("DeploymentId", "RestApiId", "StageName"),
    tags="list",
)


async def _nothing(work: Work, _properties: Properties) -> Result:
    return Result(work.logical_id)


ACCOUNT = ResourceKind(_nothing, nothing_to_delete)
"""Where API Gateway writes its logs: there is one for an account, and nobody reads it here."""


async def _create_http(work: Work, properties: Properties) -> Result:
    tags = tag_map(properties.get("Tags"))
    body = await _body(work, properties)
    if body is not None:
        text = body.decode() if isinstance(body, bytes) else body
        created = await work.call(_HTTP, "ImportApi", {"Body": text})
    else:
        given = without(properties, "Tags", "FailOnWarnings")
        given.setdefault("ProtocolType", "HTTP")
        created = await work.call(_HTTP, "CreateApi", {**given, **({"Tags": tags} if tags else {})})
    id = created["ApiId"]
    return Result(id, {"ApiEndpoint": created.get("ApiEndpoint", ""), "ApiId": id})


async def _delete_http(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there(_HTTP, "DeleteApi", {"ApiId": id})


HTTP_API = ResourceKind(_create_http, _delete_http, name=NameRule("Name", 128), tags="map")


async def _create_http_stage(work: Work, properties: Properties) -> Result:
    await work.call(_HTTP, "CreateStage", properties)
    return Result(properties["StageName"])


async def _delete_http_stage(work: Work, id: str, properties: Properties) -> None:
    what = {"ApiId": properties["ApiId"], "StageName": id}
    await work.call_if_there(_HTTP, "DeleteStage", what)


HTTP_STAGE = ResourceKind(
    _create_http_stage, _delete_http_stage, required=("ApiId", "StageName"), tags="map"
)


async def _create_integration(work: Work, properties: Properties) -> Result:
    created = await work.call(_HTTP, "CreateIntegration", properties)
    return Result(created["IntegrationId"], {"IntegrationId": created["IntegrationId"]})


async def _delete_integration(work: Work, id: str, properties: Properties) -> None:
    what = {"ApiId": properties["ApiId"], "IntegrationId": id}
    await work.call_if_there(_HTTP, "DeleteIntegration", what)


INTEGRATION = ResourceKind(
    _create_integration, _delete_integration, required=("ApiId", "IntegrationType")
)


async def _create_route(work: Work, properties: Properties) -> Result:
    created = await work.call(_HTTP, "CreateRoute", properties)
    return Result(created["RouteId"], {"RouteId": created["RouteId"]})


async def _delete_route(work: Work, id: str, properties: Properties) -> None:
    what = {"ApiId": properties["ApiId"], "RouteId": id}
    await work.call_if_there(_HTTP, "DeleteRoute", what)


ROUTE = ResourceKind(_create_route, _delete_route, required=("ApiId", "RouteKey"))


async def _create_http_authorizer(work: Work, properties: Properties) -> Result:
    created = await work.call(_HTTP, "CreateAuthorizer", properties)
    return Result(created["AuthorizerId"], {"AuthorizerId": created["AuthorizerId"]})


async def _delete_http_authorizer(work: Work, id: str, properties: Properties) -> None:
    what = {"ApiId": properties["ApiId"], "AuthorizerId": id}
    await work.call_if_there(_HTTP, "DeleteAuthorizer", what)


HTTP_AUTHORIZER = ResourceKind(
    _create_http_authorizer, _delete_http_authorizer, required=("ApiId", "AuthorizerType", "Name")
)
