"""CreateAlias to DeleteAlias."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api import paging
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.aliases import AliasChange, Aliases
from lambdabox.domain.aliases import Alias
from lambdabox.domain.arn import FunctionKey, parse_unqualified


class AliasOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "CreateAlias": "The number of aliases is not limited.",
        "UpdateAlias": "Takes effect at once.",
    }

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateAlias": self.create,
            "GetAlias": self.get,
            "UpdateAlias": self.update,
            "ListAliases": self.list,
            "DeleteAlias": self.delete,
        }

    async def create(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = _function(request, parameters)
        version = parameters["FunctionVersion"]
        alias = await self._aliases.create(key, parameters["Name"], version, _change(parameters))
        return _rendered(key, alias)

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = _function(request, parameters)
        return _rendered(key, await self._aliases.get(key, parameters["Name"]))

    async def update(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = _function(request, parameters)
        alias = await self._aliases.update(
            key, parameters["Name"], _change(parameters), parameters.get("RevisionId")
        )
        return _rendered(key, alias)

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = _function(request, parameters)
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._aliases.list_page(
            key,
            version=parameters.get("FunctionVersion"),
            after=marker[0] if marker else None,
            limit=size + 1,
        )
        page = found[:size]
        return {
            "Aliases": [_rendered(key, alias) for alias in page],
            "NextMarker": paging.write_marker(page[-1].name) if len(found) > size else None,
        }

    async def delete(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._aliases.delete(_function(request, parameters), parameters["Name"])
        return {}


def _function(request: Request, parameters: Parameters) -> FunctionKey:
    return parse_unqualified(parameters["FunctionName"], request.scope)


def _change(parameters: Parameters) -> AliasChange:
    routing = parameters.get("RoutingConfig")
    return AliasChange(
        function_version=parameters.get("FunctionVersion"),
        description=parameters.get("Description"),
        weights=None if routing is None else routing.get("AdditionalVersionWeights") or {},
    )


def _rendered(key: FunctionKey, alias: Alias) -> dict[str, Any]:
    routing = alias.routing
    return {
        "AliasArn": key.qualified_arn(alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RoutingConfig": (
            {"AdditionalVersionWeights": {routing.version: routing.weight}} if routing else None
        ),
        "RevisionId": alias.revision_id,
    }
