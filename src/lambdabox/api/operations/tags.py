"""TagResource, UntagResource and ListTags."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.tags import Tags


class TagOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "TagResource": (
            "Functions, event source mappings and code signing configurations have tags; capacity "
            "providers and network connectors do not exist."
        ),
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
        await self._tags.add(request.scope, parameters["Resource"], parameters["Tags"])
        return {}

    async def untag(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._tags.remove(request.scope, parameters["Resource"], parameters["TagKeys"])
        return {}

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        return {"Tags": await self._tags.list(request.scope, parameters["Resource"])}
