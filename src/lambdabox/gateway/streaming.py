"""Send a response while it is made, over the ASGI server.

The server's `send` waits while the client is slow, which holds back whoever makes the
response. It is silent about a client that has gone, so that is watched for beside it.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import anyio

from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.api.streaming import ResponseBrokenError, WireStream
from lambdabox.execution_ports import ConsumerGoneError
from lambdabox.gateway.body import Receive

TRUNCATE = "lambdabox.truncate"
"""The ASGI extension of our server: its `now` ends the connection once all that was sent is out."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiChannel:
    """An `api.streaming.Channel`. `own_headers` are added to those of the response."""

    def __init__(self, send: Send, own_headers: Headers) -> None:
        self._send = send
        self._own_headers = own_headers
        self._is_gone = False

    async def watch(self, receive: Receive) -> None:
        """Notice when the client goes."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True

    async def begin(self, status: int, headers: Headers) -> None:
        self._check()
        headers = [*headers, *self._own_headers]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        self._check()
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    def _check(self) -> None:
        if self._is_gone:
            raise ConsumerGoneError


async def send_stream(
    stream: WireStream,
    scope: Mapping[str, Any],
    receive: Receive,
    send: Send,
    own_headers: Headers,
) -> WireResponse | None:
    """Send the response; return what is to be sent in its place, if it comes to that."""
    channel = AsgiChannel(send, own_headers)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(channel.watch, receive)
        try:
            instead = await stream.run(channel)
            if instead is None:
                await channel.end()
        except ResponseBrokenError:
            instead = None
            extension = scope.get("extensions", {}).get(TRUNCATE)
            if extension is not None:
                extension["now"]()
        tasks.cancel_scope.cancel()
    return instead
