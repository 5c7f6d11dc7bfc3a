"""REST APIs: AWS::ApiGateway::RestApi, Resource, Method, Deployment, Stage and Account.

They are made in the service that stands for API Gateway, which keeps them; the node serves
them.
"""

from collections.abc import Sequence
from typing import Any

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
from lambdabox.stacks.resources.open_api import ApiDocument, document_of
from lambdabox.stacks.resources.rest_documents import lead

_REST = "apigateway"


async def _rest_result(work: Work, id: str) -> Result:
    listed = await work.call(_REST, "GetResources", {"restApiId": id})
    root = next((each["id"] for each in listed["items"] if each["path"] == "/"), "")
    return Result(id, {"RestApiId": id, "RootResourceId": root})


async def _create_rest(work: Work, properties: Properties) -> Result:
    document = await document_of(work, properties)
    given = _rest(work, properties, document)
    created = await work.call(_REST, "CreateRestApi", given)
    await work.initiated(created["id"])
    # What stands for API Gateway leaves out some of what it is given.
    await _patch(work, created, given)
    if document is not None:
        await lead(work, created["id"], document)
    return await _rest_result(work, created["id"])


def _rest(work: Work, properties: Properties, document: ApiDocument | None) -> dict[str, Any]:
    given = picked(
        properties, "BinaryMediaTypes", "Description", "DisableExecuteApiEndpoint",
        "MinimumCompressionSize", "Name", "Policy",
    )  # fmt: skip
    if document is not None:
        if work.name and document.title:  # the name was made up
            given["Name"] = document.title
        if document.binary_types:
            given.setdefault("BinaryMediaTypes", list(document.binary_types))
    if "ApiKeySourceType" in properties:
        given["apiKeySource"] = properties["ApiKeySourceType"]
    endpoint = properties.get("EndpointConfiguration")
    if isinstance(endpoint, dict):
        given["EndpointConfiguration"] = picked(endpoint, "Types", "VpcEndpointIds")
    if tags := tag_map(properties.get("Tags")):
        given["tags"] = tags
    return given


async def _update_rest(work: Work, id: str, properties: Properties, _before: Properties) -> Result:
    document = await document_of(work, properties)
    shown = await work.call(_REST, "GetRestApi", {"restApiId": id})
    await _patch(work, shown, _rest(work, properties, document))
    if document is not None:
        await lead(work, id, document)
    return await _rest_result(work, id)


async def _patch(work: Work, shown: Properties, given: Properties) -> None:
    """Bring what is shown of an API to what is given."""
    changes = [
        {"op": "replace", "path": f"/{name.lower()}", "value": given.get(name, "")}
        for name in ("Name", "Description")
        if given.get(name, "") != (shown.get(name.lower()) or "")
    ]
    changes += _binary_changes(
        shown.get("binaryMediaTypes") or (), given.get("BinaryMediaTypes") or ()
    )
    if changes:
        patch = {"restApiId": shown["id"], "patchOperations": changes}
        await work.call(_REST, "UpdateRestApi", patch)


def _binary_changes(before: Sequence[str], after: Sequence[str]) -> list[dict[str, str]]:
    changes = [("remove", each) for each in before if each not in after]
    changes += [("add", each) for each in after if each not in before]
    return [
        {"op": op, "path": f"/binaryMediaTypes/{each.replace('/', '~1')}", "value": each}
        for op, each in changes
    ]


async def _delete_rest(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there(_REST, "DeleteRestApi", {"restApiId": id})


REST_API = ResourceKind(
    _create_rest,
    _delete_rest,
    _update_rest,
    fixed=frozenset({"DisableExecuteApiEndpoint"}),
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


async def _update_stage(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    old, new = (each.get("Variables") or {} for each in (before, properties))
    wanted = {"/deploymentId": properties["DeploymentId"]}
    wanted |= {f"/variables/{name}": str(value) for name, value in new.items()}
    changes = [{"op": "replace", "path": path, "value": each} for path, each in wanted.items()]
    changes += [{"op": "remove", "path": f"/variables/{name}"} for name in old.keys() - new.keys()]
    what = {"restApiId": properties["RestApiId"], "stageName": id, "patchOperations": changes}
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
