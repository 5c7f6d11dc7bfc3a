"""A function's stream, on its way to become an HTTP response.

A runtime may send status, headers and cookies ahead of the body. Until they are complete
nothing is sent, so that an answer that is no response can still become a 502.
"""

from collections.abc import Callable

from lambdabox.api.serialize import Headers
from lambdabox.api.streaming import Channel
from lambdabox.execution_ports import ConsumerGoneError
from lambdabox.gateway.url_responses import (
    BODILESS,
    BYTES,
    HTTP_STREAM,
    PRELUDE_BYTES,
    PRELUDE_END,
    BadResponseError,
    head_of,
    prelude_of,
    streamed_type,
)

PIECE_BYTES = 256 * 1024
"""A response that comes whole is sent in pieces, so that a slow client is waited for."""


class UrlSink:
    """An `execution_ports.ResponseSink`. `dress` completes the headers of the response."""

    def __init__(self, channel: Channel, dress: Callable[[Headers], Headers]) -> None:
        self._channel = channel
        self._dress = dress
        self._prelude: bytearray | None = None
        """What has come of the head, while that is not complete."""
        self._has_body = True
        self.has_begun = False
        self.trouble: BadResponseError | None = None
        """Why nothing was sent of what came."""

    async def begin(self, content_type: str) -> None:
        if content_type == HTTP_STREAM:
            self._prelude = bytearray()
        else:
            await self._open(200, [(b"content-type", streamed_type(content_type))])

    async def write(self, data: bytes) -> None:
        if self._prelude is None:
            await self._pass(data)
            return
        searched = max(len(self._prelude) - len(PRELUDE_END) + 1, 0)
        self._prelude += data
        end = self._prelude.find(PRELUDE_END, searched)
        try:
            if max(end, len(self._prelude) - len(data)) > PRELUDE_BYTES:
                raise BadResponseError(f"the metadata is longer than {PRELUDE_BYTES} bytes")
            if end < 0:
                return
            status, headers = head_of(prelude_of(bytes(self._prelude[:end])), BYTES)
        except BadResponseError as exc:
            self.trouble = exc
            raise ConsumerGoneError from exc
        body = bytes(self._prelude[end + len(PRELUDE_END) :])
        self._prelude = None
        await self._open(status, headers)
        await self._pass(body)

    def finish(self) -> None:
        """The function is through. Raises BadResponseError if there was no whole head."""
        if self._prelude is not None:
            raise self.trouble or BadResponseError("the metadata does not end")

    async def _open(self, status: int, headers: Headers) -> None:
        self._has_body = status not in BODILESS
        await self._channel.begin(status, self._dress(headers))
        self.has_begun = True

    async def _pass(self, data: bytes) -> None:
        if self._has_body:
            for at in range(0, len(data), PIECE_BYTES):
                await self._channel.write(data[at : at + PIECE_BYTES])
