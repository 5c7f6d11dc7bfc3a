"""CreateEventSourceMapping to DeleteEventSourceMapping."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api import paging
from lambdabox.api.mapping_shapes import changes, configuration
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.mappings import Mappings, Place
from lambdabox.domain.arn import parse_function
from lambdabox.domain.limits import MAPPING_PAGE_ITEMS


class MappingOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "CreateEventSourceMapping": (
            "The role is not looked up, and KMSKeyArn, MetricsConfig, LoggingConfig, "
            "SchemaRegistryConfig and ConsumptionMode are kept and shown, and have no effect. "
            "Where a broker is, the setting `brokers` says. RabbitMQ and Kafka are polled by one "
            "poller for each mapping, whatever ProvisionedPollerConfig says, and Kafka's retries "
            "and partial responses hold without it; OAuth and IAM are not known to them. Mappings "
            "of ActiveMQ and DocumentDB are kept and not polled. Filters may use EventBridge's "
            "wildcard and cidr too. LastProcessingResult is shown for a queue that is missing."
        ),
        "UpdateEventSourceMapping": "As CreateEventSourceMapping.",
        "DeleteEventSourceMapping": "Takes effect when what is under way has ended.",
    }

    def __init__(self, mappings: Mappings) -> None:
        self._mappings = mappings

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateEventSourceMapping": self.create,
            "GetEventSourceMapping": self.get,
            "ListEventSourceMappings": self.list,
            "UpdateEventSourceMapping": self.update,
            "DeleteEventSourceMapping": self.delete,
        }

    async def create(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        mapping = await self._mappings.create(
            parse_function(parameters["FunctionName"], request.scope),
            parameters.get("EventSourceArn"),
            changes(parameters),
            tags=parameters.get("Tags", {}),
        )
        return configuration(mapping)

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        return configuration(await self._mappings.get(request.scope, parameters["UUID"]))

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        name = parameters.get("FunctionName")
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = min(parameters.get("MaxItems") or MAPPING_PAGE_ITEMS, MAPPING_PAGE_ITEMS)
        found = await self._mappings.list_page(
            request.scope,
            function=parse_function(name, request.scope) if name else None,
            source_arn=parameters.get("EventSourceArn"),
            after=Place(*marker) if marker else None,
            limit=size + 1,
        )
        page = found[:size]
        return {
            "EventSourceMappings": [configuration(mapping) for mapping in page],
            "NextMarker": paging.write_marker(page[-1].id) if len(found) > size else None,
        }

    async def update(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        name = parameters.get("FunctionName")
        mapping = await self._mappings.update(
            request.scope,
            parameters["UUID"],
            changes(parameters),
            parse_function(name, request.scope) if name else None,
        )
        return configuration(mapping)

    async def delete(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        return configuration(await self._mappings.delete(request.scope, parameters["UUID"]))
