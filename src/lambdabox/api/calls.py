"""Call operations from inside the node, with the checks and the words that clients meet.

For front ends with a face of their own, such as the console: what a person types is checked
like what a program sends, and what an operation does is done in one place.
"""

from collections.abc import Mapping
from typing import Any

from lambdabox.api.model import ServiceApi
from lambdabox.api.request import Handler, Request
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import NotImplementedException
from lambdabox.domain.invocations import new_request_id


class ApiCalls:
    def __init__(self, service: ServiceApi, handlers: Mapping[str, Handler]) -> None:
        self._service = service
        self._handlers = handlers

    async def call(
        self,
        operation: str,
        scope: Scope,
        parameters: Mapping[str, Any],
        *,
        request_id: str | None = None,
        base_url: str = "",
    ) -> Mapping[str, Any]:
        """Return the operation's output; members without a value may be missing or None.

        Parameters have the types of the service model (a blob is bytes). Raises ApiError.
        """
        handler = self._handlers.get(operation)
        if handler is None:
            raise NotImplementedException(
                f"{operation} is not implemented in this release of lambdabox."
            )
        self._service.check(operation, parameters)
        request = Request(
            method="POST",
            raw_path=b"/",
            query_string=b"",
            headers={},
            read_body=_no_body,
            scope=scope,
            request_id=request_id or new_request_id(),
            base_url=base_url,
        )
        return await handler(request, parameters)


async def _no_body(_limit: int) -> bytes:
    return b""
