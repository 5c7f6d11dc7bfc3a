"""CreateCodeSigningConfig to DeleteFunctionCodeSigningConfig."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api import paging
from lambdabox.api.render import timestamp
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.code_signing import CodeSigning
from lambdabox.domain.arn import parse_function
from lambdabox.domain.code_signatures import CodeSigningConfig

_SCHEME = (
    "AWS Signer is not there: packages are signed with `lambdabox sign`, and profiles are public "
    "keys that the node's settings name; see [code-signing.md](code-signing.md)."
)


class CodeSigningOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "CreateCodeSigningConfig": _SCHEME,
        "PutFunctionCodeSigningConfig": (
            "Under Warn the node's log tells what was let through; there is no metric."
        ),
    }

    def __init__(self, signing: CodeSigning) -> None:
        self._signing = signing

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateCodeSigningConfig": self.create,
            "GetCodeSigningConfig": self.get,
            "ListCodeSigningConfigs": self.list,
            "UpdateCodeSigningConfig": self.update,
            "DeleteCodeSigningConfig": self.delete,
            "ListFunctionsByCodeSigningConfig": self.list_functions,
            "PutFunctionCodeSigningConfig": self.assign,
            "GetFunctionCodeSigningConfig": self.assigned,
            "DeleteFunctionCodeSigningConfig": self.unassign,
        }

    async def create(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        config = await self._signing.create(
            request.scope, _settings(parameters), parameters.get("Tags", {})
        )
        return {"CodeSigningConfig": _shown(config)}

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        config = await self._signing.get(request.scope, parameters["CodeSigningConfigArn"])
        return {"CodeSigningConfig": _shown(config)}

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._signing.list_page(
            request.scope, after=marker[0] if marker else None, limit=size + 1
        )
        page = found[:size]
        return {
            "CodeSigningConfigs": [_shown(config) for config in page],
            "NextMarker": paging.write_marker(page[-1].id) if len(found) > size else None,
        }

    async def update(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        config = await self._signing.update(
            request.scope, parameters["CodeSigningConfigArn"], _settings(parameters)
        )
        return {"CodeSigningConfig": _shown(config)}

    async def delete(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._signing.delete(request.scope, parameters["CodeSigningConfigArn"])
        return {}

    async def list_functions(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._signing.functions_of(
            request.scope,
            parameters["CodeSigningConfigArn"],
            after=marker[0] if marker else None,
            limit=size + 1,
        )
        page = found[:size]
        return {
            "FunctionArns": [key.arn for key in page],
            "NextMarker": paging.write_marker(page[-1].name) if len(found) > size else None,
        }

    async def assign(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = parse_function(parameters["FunctionName"], request.scope).key
        arn = parameters["CodeSigningConfigArn"]
        await self._signing.assign(key, arn)
        return {"CodeSigningConfigArn": arn, "FunctionName": key.name}

    async def assigned(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = parse_function(parameters["FunctionName"], request.scope).key
        arn = await self._signing.assigned(key)
        return {} if arn is None else {"CodeSigningConfigArn": arn, "FunctionName": key.name}

    async def unassign(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._signing.unassign(parse_function(parameters["FunctionName"], request.scope).key)
        return {}


def _settings(parameters: Parameters) -> dict[str, Any]:
    """Return the fields of CodeSigningConfig that a request sets."""
    settings: dict[str, Any] = {}
    if "Description" in parameters:
        settings["description"] = parameters["Description"]
    if "AllowedPublishers" in parameters:
        publishers = parameters["AllowedPublishers"]
        settings["publishers"] = tuple(publishers["SigningProfileVersionArns"])
    policy = parameters.get("CodeSigningPolicies", {}).get("UntrustedArtifactOnDeployment")
    if policy is not None:
        settings["policy"] = policy
    return settings


def _shown(config: CodeSigningConfig) -> dict[str, Any]:
    return {
        "CodeSigningConfigId": config.id,
        "CodeSigningConfigArn": config.arn,
        "Description": config.description,
        "AllowedPublishers": {"SigningProfileVersionArns": list(config.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.policy},
        "LastModified": timestamp(config.last_modified),
    }
