"""PutRuntimeManagementConfig and GetRuntimeManagementConfig."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.runtime_management import RuntimeUpdates
from lambdabox.domain.arn import FunctionReference, parse_function
from lambdabox.domain.event_invoke import RuntimeManagement

_SHOWN = "Kept and shown; functions run on the interpreters that this machine has."


class RuntimeManagementOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "PutRuntimeManagementConfig": _SHOWN,
        "GetRuntimeManagementConfig": _SHOWN,
    }

    def __init__(self, updates: RuntimeUpdates) -> None:
        self._updates = updates

    def handlers(self) -> Mapping[str, Handler]:
        return {"PutRuntimeManagementConfig": self.put, "GetRuntimeManagementConfig": self.get}

    async def put(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        management = RuntimeManagement(
            parameters["UpdateRuntimeOn"], parameters.get("RuntimeVersionArn")
        )
        await self._updates.put(reference, management)
        return _rendered(reference, management)

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        return _rendered(reference, await self._updates.get(reference))


def _reference(request: Request, parameters: Parameters) -> FunctionReference:
    return parse_function(parameters["FunctionName"], request.scope, parameters.get("Qualifier"))


def _rendered(reference: FunctionReference, management: RuntimeManagement) -> dict[str, Any]:
    return {
        "UpdateRuntimeOn": management.update_on,
        "FunctionArn": reference.arn,
        "RuntimeVersionArn": management.runtime_version_arn,
    }
