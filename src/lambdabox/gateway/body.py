"""Read a request's body, no more of it than the operation accepts."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lambdabox.api.request import BodyTooLarge, ClientGone, ReadBody
from lambdabox.domain import limits

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

DISCARD_BYTES = 4 * limits.REQUEST_BODY_BYTES
"""How much of a body that is too long is read and thrown away, so that the client, which
sends before it listens, gets to see why."""


def reader(receive: Receive, headers: Mapping[str, str]) -> ReadBody:
    """Return a function that reads the body once."""

    async def read(limit: int) -> bytes:
        announced = headers.get("content-length", "0")
        length = int(announced) if announced.isdigit() else 0
        if length > DISCARD_BYTES:
            raise BodyTooLarge
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if size > DISCARD_BYTES:
                raise BodyTooLarge
            if size <= limit:
                chunks.append(chunk)
            else:
                chunks.clear()
        if size > limit:
            raise BodyTooLarge
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    return read
