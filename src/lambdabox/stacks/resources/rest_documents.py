"""Bring a REST API to what an OpenAPI document declares, one resource and method at a time.

What is there already and wanted again keeps its resource, so that requests find their way
while an API is changed.
"""

from collections.abc import Mapping
from typing import Any

from lambdabox.stacks.resources.kinds import Work
from lambdabox.stacks.resources.open_api import ApiDocument, Operation, Scheme

_REST = "apigateway"
_INTEGRATION = (
    "cacheKeyParameters", "cacheNamespace", "connectionId", "connectionType", "contentHandling",
    "credentials", "passthroughBehavior", "requestParameters", "requestTemplates",
    "timeoutInMillis", "uri",
)  # fmt: skip
_AUTHORIZER = (
    "authorizerCredentials", "authorizerResultTtlInSeconds", "authorizerUri", "identitySource",
    "identityValidationExpression", "providerARNs",
)  # fmt: skip
# "With the caller's own credentials": what stands for API Gateway takes it for a foreign role.
_CALLER = "arn:aws:iam::*:user/*"
_TYPES = {"token": "TOKEN", "request": "REQUEST", "cognito_user_pools": "COGNITO_USER_POOLS"}


async def lead(work: Work, api_id: str, document: ApiDocument) -> None:
    """Make, change and delete resources and methods as the document has them."""
    api = {"restApiId": api_id}
    authorizers = await _authorizers(work, api, document)
    listed = await work.call(_REST, "GetResources", {**api, "embed": ["methods"], "limit": 500})
    resources = {each["path"]: each for each in listed["items"]}
    ids = {path: each["id"] for path, each in resources.items()}
    wanted: dict[str, set[str]] = {}
    for operation in document.operations:
        resource_id = await _resource(work, api, ids, operation.path)
        wanted.setdefault(_path(operation.path), set()).add(operation.method)
        place = {**api, "resourceId": resource_id, "httpMethod": operation.method}
        await _method(work, place, operation, authorizers)
    for path, resource in resources.items():
        for method in (resource.get("resourceMethods") or {}).keys() - wanted.get(path, set()):
            gone = {**api, "resourceId": resource["id"], "httpMethod": method}
            await work.call_if_there(_REST, "DeleteMethod", gone)
    # The deepest first: a resource goes with those below it.
    for path in sorted(resources.keys() - {"/"}, key=len, reverse=True):
        if not any(each == path or each.startswith(f"{path}/") for each in wanted):
            gone = {**api, "resourceId": resources[path]["id"]}
            await work.call_if_there(_REST, "DeleteResource", gone)


def _path(path: str) -> str:
    return f"/{path.strip('/')}"


async def _resource(work: Work, api: Mapping[str, str], ids: dict[str, str], path: str) -> str:
    """Return the id of a path's resource, made with those above it where it is not there."""
    at = "/"
    for part in _path(path).split("/")[1:]:
        if not part:
            continue
        below = f"{at.rstrip('/')}/{part}"
        if below not in ids:
            made = await work.call(
                _REST, "CreateResource", {**api, "parentId": ids[at], "pathPart": part}
            )
            ids[below] = made["id"]
        at = below
    return ids[at]


async def _authorizers(work: Work, api: Mapping[str, str], document: ApiDocument) -> dict[str, str]:
    """Return the ids of the document's authorizers, made anew, by their schemes' names."""
    for each in (await work.call(_REST, "GetAuthorizers", api)).get("items") or ():
        await work.call_if_there(_REST, "DeleteAuthorizer", {**api, "authorizerId": each["id"]})
    return {
        scheme.name: (
            await work.call(_REST, "CreateAuthorizer", {**api, **_authorizer(scheme)})
        )["id"]
        for scheme in document.authorizers
    }  # fmt: skip


def _authorizer(scheme: Scheme) -> dict[str, Any]:
    declared = scheme.authorizer or {}
    given = {name: declared[name] for name in _AUTHORIZER if name in declared}
    kind = _TYPES.get(str(declared.get("type", scheme.kind)).lower(), "REQUEST")
    if kind != "REQUEST":
        given.setdefault("identitySource", f"method.request.header.{scheme.header}")
    return {"name": scheme.name, "type": kind, **given}


async def _method(
    work: Work, place: Mapping[str, str], operation: Operation, authorizers: Mapping[str, str]
) -> None:
    await work.call_if_there(_REST, "DeleteMethod", place)
    method = {
        **place,
        **_access(operation.scheme, authorizers),
        "apiKeyRequired": operation.needs_key,
        "operationName": operation.name,
        "authorizationScopes": list(operation.scopes) or None,
    }
    await work.call(_REST, "PutMethod", method)
    declared = operation.integration or {}
    for status in operation.responses:
        if status.isdecimal():
            await work.call(_REST, "PutMethodResponse", {**place, "statusCode": status})
    if not declared:
        return
    given = {name: declared[name] for name in _INTEGRATION if name in declared}
    if given.get("credentials") == _CALLER:
        del given["credentials"]
    integration = {
        **place,
        **given,
        "type": str(declared.get("type", "aws_proxy")).upper(),
        "integrationHttpMethod": declared.get("httpMethod"),
    }
    await work.call(_REST, "PutIntegration", integration)
    for pattern, response in (declared.get("responses") or {}).items():
        made = {
            "statusCode": str(response.get("statusCode", "200")),
            "selectionPattern": None if pattern == "default" else pattern,
            "responseParameters": response.get("responseParameters"),
            "responseTemplates": response.get("responseTemplates"),
            "contentHandling": response.get("contentHandling"),
        }
        await work.call(_REST, "PutIntegrationResponse", {**place, **made})


def _access(scheme: Scheme | None, authorizers: Mapping[str, str]) -> dict[str, Any]:
    if scheme is None:
        return {"authorizationType": "NONE"}
    kind = scheme.kind.lower()
    if kind == "awssigv4":
        return {"authorizationType": "AWS_IAM"}
    known = "COGNITO_USER_POOLS" if kind == "cognito_user_pools" else "CUSTOM"
    return {"authorizationType": known, "authorizerId": authorizers.get(scheme.name)}
