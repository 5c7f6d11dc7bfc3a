"""AddPermission, RemovePermission, GetPolicy, and whole resource policies."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.permissions import ResourcePolicies, Revision
from lambdabox.domain.arn import FunctionReference, parse_function
from lambdabox.domain.errors import NotImplementedException
from lambdabox.domain.policy_documents import Grant

_REVISION = "`RevisionId` is the policy's own, not the function's."
_RUNTIMES = "Policies of customer-managed runtimes answer 501. No policy is refused as public."


class PermissionOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "AddPermission": (
            f"{_REVISION} Policies are asked before services and callers of URLs get in, not yet "
            "before callers of the API. That a role or user exists is not checked."
        ),
        "RemovePermission": _REVISION,
        "GetPolicy": _REVISION,
        "PutResourcePolicy": _RUNTIMES,
        "GetResourcePolicy": _RUNTIMES,
        "DeleteResourcePolicy": _RUNTIMES,
    }

    def __init__(self, policies: ResourcePolicies) -> None:
        self._policies = policies

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "AddPermission": self.add,
            "RemovePermission": self.remove,
            "GetPolicy": self.get,
            "PutResourcePolicy": self.put_whole,
            "GetResourcePolicy": self.get_whole,
            "DeleteResourcePolicy": self.delete_whole,
        }

    async def add(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        grant = Grant(
            sid=parameters["StatementId"],
            action=parameters["Action"],
            principal=parameters["Principal"],
            source_arn=parameters.get("SourceArn"),
            source_account=parameters.get("SourceAccount"),
            event_source_token=parameters.get("EventSourceToken"),
            url_auth_type=parameters.get("FunctionUrlAuthType"),
            via_function_url=parameters.get("InvokedViaFunctionUrl"),
            organization=parameters.get("PrincipalOrgID"),
        )
        reference = _reference(request, parameters)
        revision = Revision(parameters.get("RevisionId"))
        return {"Statement": await self._policies.add(reference, grant, revision)}

    async def remove(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._policies.remove(
            _reference(request, parameters),
            parameters["StatementId"],
            Revision(parameters.get("RevisionId")),
        )
        return {}

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        record = await self._policies.get(_reference(request, parameters))
        return {"Policy": record.document, "RevisionId": record.revision_id}

    async def put_whole(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        record = await self._policies.put(
            _resource(request, parameters), parameters["Policy"], _revision(parameters)
        )
        return {"Policy": record.document, "RevisionId": record.revision_id}

    async def get_whole(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        record = await self._policies.get(_resource(request, parameters))
        return {"Policy": record.document, "RevisionId": record.revision_id}

    async def delete_whole(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._policies.delete(_resource(request, parameters), _revision(parameters))
        return {}


def _reference(request: Request, parameters: Parameters) -> FunctionReference:
    return parse_function(parameters["FunctionName"], request.scope, parameters.get("Qualifier"))


def _resource(request: Request, parameters: Parameters) -> FunctionReference:
    arn: str = parameters["ResourceArn"]
    if arn.split(":")[5] != "function":
        raise NotImplementedException(
            "Customer-managed runtimes are not implemented in this release of lambdabox; policies "
            "of functions, versions and aliases are."
        )
    return parse_function(arn, request.scope)


def _revision(parameters: Parameters) -> Revision:
    return Revision(parameters.get("RevisionId"), "GetResourcePolicy")
