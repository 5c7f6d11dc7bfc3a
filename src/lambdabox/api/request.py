"""A request as the front ends see it, whatever server received it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any

from lambdabox.domain.arn import Scope
from lambdabox.domain.values import dataclass


class BodyTooLarge(Exception):
    """The body is longer than the reader was told to accept."""


class ClientGone(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


ReadBody = Callable[[int], Awaitable[bytes]]
"""Return the whole body. Raises BodyTooLarge above the given number of bytes,
and ClientGone."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[str, str]
    """Names in lower case."""
    read_body: ReadBody
    scope: Scope
    request_id: str
    base_url: str
    """How this client reaches the node: scheme, host and port."""
    extra_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """A handler may add headers to the response that the service model does not know."""


Parameters = Mapping[str, Any]
"""An operation's checked input, in the API's own spelling."""

Handler = Callable[[Request, Any], Awaitable[Mapping[str, Any]]]
"""Answers one operation: from a request and its Parameters to the operation's output."""
