"""The API's operations on the function that a page is about.

Pages read and change a function only through them, so that what is shown is what a client
gets, and what is refused is refused in the same words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from lambdabox.api.calls import ApiCalls
from lambdabox.console.function import key_of
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.errors import ResourceNotFoundException

Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionCalls:
    api: ApiCalls
    key: FunctionKey
    base_url: str = ""
    """Where the browser reaches the node: addresses in answers lead there."""

    async def call(self, operation: str, parameters: Found | None = None) -> Found:
        """Call an operation that takes the function's name. Raises ApiError."""
        named = {"FunctionName": self.key.name, **(parameters or {})}
        return await self.call_plain(operation, named)

    async def call_plain(self, operation: str, parameters: Found) -> Found:
        """Call one that does not. Raises ApiError."""
        scope = Scope(self.key.account, self.key.region)
        return await self.api.call(operation, scope, parameters, base_url=self.base_url)

    async def find(self, operation: str, parameters: Found | None = None) -> Found | None:
        """Return what is there, or None."""
        try:
            return await self.call(operation, parameters)
        except ResourceNotFoundException:
            return None

    async def list(self, operation: str, member: str, parameters: Found) -> list[Found]:
        """Return what an operation lists, from all of its pages."""
        page = await self.call_plain(operation, parameters)
        found: list[Found] = [*(page.get(member) or ())]
        while marker := page.get("NextMarker"):
            page = await self.call_plain(operation, {**parameters, "Marker": marker})
            found += page.get(member) or ()
        return found


def calls_of(request: Request, api: ApiCalls) -> FunctionCalls:
    """Raises ResourceNotFoundException for what cannot be a function's name."""
    return FunctionCalls(api, key_of(request), _origin(request))


def _origin(request: Request) -> str:
    try:
        url = request.url
        _ = url.port
        return f"{url.scheme}://{url.netloc}"
    except ValueError:  # a port above 65535: the Host header is whatever was sent
        return ""
