"""CloudFormation's front end: from a form to XML, whatever happens.

Deployment tools create functions through stacks, so that stacks are the node's own: the
functions in them must be.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any

import anyio.to_thread

from lambdabox.api import query_protocol
from lambdabox.api.model import ServiceApi
from lambdabox.api.request import BodyTooLarge, ClientGone, Request
from lambdabox.api.serialize import WireResponse
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import ApiError
from lambdabox.domain.stacks import StackError

log = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024
NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"

Handler = Callable[[Scope, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class CloudFormationFrontEnd:
    """Handlers by operation."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    @cached_property
    def _service(self) -> ServiceApi:
        return ServiceApi.load("cloudformation")

    async def answer(self, request: Request) -> WireResponse:
        """Return the response. Raises ClientGone only: an unexpected failure is a logged 500."""
        try:
            return await self._answer(request)
        except ClientGone:
            raise
        except StackError as exc:
            return _refusal(request, exc.code, exc.message, exc.status)
        except ApiError as exc:
            return _refusal(request, "ValidationError", exc.message, 400)
        except BodyTooLarge:
            message = f"Request must be smaller than {MAX_BYTES} bytes."
            return _refusal(request, "RequestEntityTooLarge", message, 413)
        except Exception:
            # The outermost handler: the caller learns the request id, the log the reason.
            log.exception("request %s failed", request.request_id)
            message = "An internal error occurred. Look for the request id in the node's log."
            return _refusal(request, "InternalFailure", message, 500)

    async def _answer(self, request: Request) -> WireResponse:
        body = await request.read_body(MAX_BYTES) or request.query_string
        form = query_protocol.read_form(body)
        name = form.get("Action", "")
        # The model is large: the first request of a node's life waits for it on a thread.
        service = await anyio.to_thread.run_sync(lambda: self._service)
        if name not in service.operation_names:
            message = f"Could not find operation {name[:100]} for version 2010-05-15"
            raise StackError(message, "InvalidAction")
        handler = self._handlers.get(name)
        if handler is None:
            message = f"{name} is not implemented in this release of lambdabox."
            raise StackError(message, "NotImplemented", 501)
        operation = service.operation(name)
        parameters = query_protocol.read_parameters(operation, form)
        service.check(operation.name, parameters)
        output = await handler(request.scope, parameters)
        return query_protocol.output(operation, NAMESPACE, output, request.request_id)


def _refusal(request: Request, code: str, message: str, status: int) -> WireResponse:
    return query_protocol.error(code, message, status, NAMESPACE, request.request_id)
