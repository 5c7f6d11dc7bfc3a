"""PutFunctionRecursionConfig and GetFunctionRecursionConfig."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.recursion import Recursion
from lambdabox.domain.arn import parse_function
from lambdabox.domain.event_invoke import RecursionConfig


class RecursionOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "PutFunctionRecursionConfig": (
            "A chain is counted as far as its trace header is carried on: by functions that call "
            "through an AWS SDK, and by destinations."
        ),
    }

    def __init__(self, recursion: Recursion) -> None:
        self._recursion = recursion

    def handlers(self) -> Mapping[str, Handler]:
        return {"PutFunctionRecursionConfig": self.put, "GetFunctionRecursionConfig": self.get}

    async def put(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = parse_function(parameters["FunctionName"], request.scope)
        config = RecursionConfig(parameters["RecursiveLoop"])
        await self._recursion.put(reference.key, config)
        return {"RecursiveLoop": config.recursive_loop}

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = parse_function(parameters["FunctionName"], request.scope)
        config = await self._recursion.get(reference.key)
        return {"RecursiveLoop": config.recursive_loop}
