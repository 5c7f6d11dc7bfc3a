"""A response that is made while it is sent.

A front end answers with it where the whole is not there at once. Whoever has the connection
runs it, hands it a channel, and is slow in `write` if the client is.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.domain.values import dataclass


class ResponseBrokenError(Exception):
    """The response has begun and cannot be completed, which the client must be able to see."""


class Channel(Protocol):
    """The way to one client. Both methods raise ConsumerGoneError once it has gone."""

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head. Called once, before any `write`."""

    async def write(self, data: bytes) -> None:
        """Send more of the body; return when there is room for what follows."""


@dataclass(frozen=True, slots=True)
class WireStream:
    """A response that `run` sends.

    What `run` returns, if anything, is to be sent in its place: then nothing has been. It
    raises ResponseBrokenError, and otherwise only if it is cancelled.
    """

    run: Callable[[Channel], Awaitable[WireResponse | None]]
