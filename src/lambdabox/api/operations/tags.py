"""TagResource, UntagResource and ListTags."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.tags import Tags
from lambdabox.domain.arn import FunctionReference, parse_function
from lambdabox.domain.errors import NotImplementedException


class TagOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "TagResource": "Functions alone have tags; other resources do not exist yet.",
        "UntagResource": "As TagResource.",
        "ListTags": "As TagResource.",
    }

    def __init__(self, tags: Tags) -> None:
        self._tags = tags

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTags": self.list,
        }

    async def tag(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._tags.add(_resource(request, parameters), parameters["Tags"])
        return {}

    async def untag(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._tags.remove(_resource(request, parameters), parameters["TagKeys"])
        return {}

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        return {"Tags": await self._tags.list(_resource(request, parameters))}


def _resource(request: Request, parameters: Parameters) -> FunctionReference:
    arn = parameters["Resource"]
    kind = arn.split(":")[5]
    if kind != "function":
        raise NotImplementedException(
            f"Tags of a {kind} are not implemented in this release of lambdabox; those of a "
            "function are."
        )
    return parse_function(arn, request.scope)
