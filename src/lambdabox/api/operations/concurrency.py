"""Reserved concurrency, provisioned concurrency, and the scaling of managed instances."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from lambdabox.api import paging
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.provisioned_concurrency import ProvisionedConcurrency, ProvisionedState
from lambdabox.control.reserved_concurrency import ReservedConcurrency
from lambdabox.control.scaling import FunctionScaling
from lambdabox.domain.arn import FunctionKey, parse_function, parse_unqualified


class ConcurrencyOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "PutFunctionConcurrency": (
            "In effect when it is answered. Requests are limited to ten a second for each reserved "
            "unit, unless the setting `requests_per_concurrency` says otherwise."
        ),
        "PutProvisionedConcurrencyConfig": (
            "The environments of an alias are its versions', and serve whoever names such a "
            "version. An alias that has some and gets weights has them divided by weight."
        ),
        "PutFunctionScalingConfig": (
            "There are no capacity providers, without which AWS refuses it too."
        ),
        "GetFunctionScalingConfig": "As PutFunctionScalingConfig.",
    }

    def __init__(
        self,
        reserved: ReservedConcurrency,
        provisioned: ProvisionedConcurrency,
        scaling: FunctionScaling,
    ) -> None:
        self._reserved = reserved
        self._provisioned = provisioned
        self._scaling = scaling

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutFunctionConcurrency": self.reserve,
            "GetFunctionConcurrency": self.get_reserved,
            "DeleteFunctionConcurrency": self.delete_reserved,
            "PutProvisionedConcurrencyConfig": self.provision,
            "GetProvisionedConcurrencyConfig": self.get_provisioned,
            "ListProvisionedConcurrencyConfigs": self.list_provisioned,
            "DeleteProvisionedConcurrencyConfig": self.delete_provisioned,
            "PutFunctionScalingConfig": self.scale,
            "GetFunctionScalingConfig": self.scale,
        }

    async def reserve(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        count = parameters["ReservedConcurrentExecutions"]
        await self._reserved.put(_function(request, parameters), count)
        return {"ReservedConcurrentExecutions": count}

    async def get_reserved(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        count = await self._reserved.get(_function(request, parameters))
        return {"ReservedConcurrentExecutions": count}

    async def delete_reserved(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._reserved.delete(_function(request, parameters))
        return {}

    async def provision(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key, qualifier = _qualified(request, parameters)
        count = parameters["ProvisionedConcurrentExecutions"]
        return _provisioned(await self._provisioned.put(key, qualifier, count))

    async def get_provisioned(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        return _provisioned(await self._provisioned.get(*_qualified(request, parameters)))

    async def list_provisioned(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = parse_function(parameters["FunctionName"], request.scope).key
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._provisioned.list_page(
            key, after=marker[0] if marker else None, limit=size + 1
        )
        page = found[:size]
        return {
            "ProvisionedConcurrencyConfigs": [
                {"FunctionArn": key.qualified_arn(state.qualifier), **_provisioned(state)}
                for state in page
            ],
            "NextMarker": (paging.write_marker(page[-1].qualifier) if len(found) > size else None),
        }

    async def delete_provisioned(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._provisioned.delete(*_qualified(request, parameters))
        return {}

    async def scale(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._scaling.refuse(*_qualified(request, parameters))
        return {}


def _function(request: Request, parameters: Parameters) -> FunctionKey:
    return parse_unqualified(parameters["FunctionName"], request.scope, takes_latest=False)


def _qualified(request: Request, parameters: Parameters) -> tuple[FunctionKey, str]:
    qualifier: str = parameters["Qualifier"]
    reference = parse_function(parameters["FunctionName"], request.scope, qualifier)
    return reference.key, qualifier


def _provisioned(state: ProvisionedState) -> dict[str, Any]:
    return {
        "RequestedProvisionedConcurrentExecutions": state.config.requested,
        "AvailableProvisionedConcurrentExecutions": state.standing.available,
        "AllocatedProvisionedConcurrentExecutions": state.standing.allocated,
        "Status": state.standing.status.value,
        "StatusReason": state.standing.failure,
        "LastModified": f"{datetime.fromtimestamp(state.config.last_modified, UTC):{_SECONDS}}",
    }


_SECONDS = "%Y-%m-%dT%H:%M:%S+0000"
"""Unlike that of functions, this time has no milliseconds."""
