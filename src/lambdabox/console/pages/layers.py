"""The list of layers: what there is, and what to write to use it."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.rendering import View
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.visit import visit_of


class LayersPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        return [Answer("GET", "/layers", self.show)]

    async def show(self, request: Request) -> Response:
        parameters: dict[str, object] = {"MaxItems": 50}
        if marker := request.query_params.get("after"):
            parameters["Marker"] = marker
        listed = await self._services.api.call("ListLayers", visit_of(request).scope, parameters)
        return self._view.page(
            request,
            "layers.html",
            layers=[
                {"name": layer["LayerName"], **layer["LatestMatchingVersion"]}
                for layer in listed["Layers"]
            ],
            next=listed.get("NextMarker"),
        )
