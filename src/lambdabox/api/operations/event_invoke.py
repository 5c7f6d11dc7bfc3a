"""PutFunctionEventInvokeConfig to DeleteFunctionEventInvokeConfig."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from lambdabox.api import paging
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.event_invoke import DestinationSettings, EventInvoke, EventInvokeChange
from lambdabox.domain.arn import FunctionReference, parse_function
from lambdabox.domain.destinations import qualified
from lambdabox.domain.event_invoke import EventInvokeConfig


class EventInvokeOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "PutFunctionEventInvokeConfig": (
            "Whether the function's role may write to a destination is not checked."
        ),
    }

    def __init__(self, configs: EventInvoke) -> None:
        self._configs = configs

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutFunctionEventInvokeConfig": self.put,
            "UpdateFunctionEventInvokeConfig": self.update,
            "GetFunctionEventInvokeConfig": self.get,
            "ListFunctionEventInvokeConfigs": self.list,
            "DeleteFunctionEventInvokeConfig": self.delete,
        }

    async def put(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        return _rendered(reference, await self._configs.put(reference, _change(parameters)))

    async def update(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        return _rendered(reference, await self._configs.update(reference, _change(parameters)))

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        return _rendered(reference, await self._configs.get(reference))

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = _reference(request, parameters).key
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._configs.list_page(
            key, after=marker[0] if marker else None, limit=size + 1
        )
        page = found[:size]
        return {
            "FunctionEventInvokeConfigs": [
                _rendered(FunctionReference(key, owned.qualifier), owned.record) for owned in page
            ],
            "NextMarker": (paging.write_marker(page[-1].qualifier) if len(found) > size else None),
        }

    async def delete(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._configs.delete(_reference(request, parameters))
        return {}


def _reference(request: Request, parameters: Parameters) -> FunctionReference:
    return parse_function(parameters["FunctionName"], request.scope, parameters.get("Qualifier"))


def _change(parameters: Parameters) -> EventInvokeChange:
    destinations = parameters.get("DestinationConfig")
    return EventInvokeChange(
        max_retries=parameters.get("MaximumRetryAttempts"),
        max_age_seconds=parameters.get("MaximumEventAgeInSeconds"),
        destinations=(
            None
            if destinations is None
            else DestinationSettings(
                _destination(destinations, "OnSuccess"), _destination(destinations, "OnFailure")
            )
        ),
    )


def _destination(destinations: Mapping[str, Any], name: str) -> str | None:
    """An empty ARN clears a destination."""
    return destinations.get(name, {}).get("Destination") or None


def _rendered(reference: FunctionReference, config: EventInvokeConfig) -> dict[str, Any]:
    def member(arn: str | None) -> dict[str, str]:
        return {"Destination": arn} if arn else {}

    return {
        "LastModified": datetime.fromtimestamp(config.last_modified, UTC),
        "FunctionArn": qualified(reference),
        "MaximumRetryAttempts": config.max_retries,
        "MaximumEventAgeInSeconds": config.max_age_seconds,
        "DestinationConfig": {
            "OnSuccess": member(config.on_success),
            "OnFailure": member(config.on_failure),
        },
    }
