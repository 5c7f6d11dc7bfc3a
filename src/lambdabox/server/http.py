"""The HTTP server: uvicorn, with bounds on what a client may send before it is answered.

uvicorn's parser takes headers of any length and answers malformed requests in plain
text. Here a request's head is bounded, and whatever cannot be parsed gets an error in
the shape AWS clients read.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import orjson
import uvicorn
from anyio.abc import TaskStatus
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lambdabox.domain import limits


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bounded head and AWS-shaped refusals."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading_head = True
        self._head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_bytes > limits.REQUEST_HEAD_BYTES:
                self.send_400_response("The request line and headers exceed 1 MB in total.")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._reading_head, self._head_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        body = orjson.dumps({"message": msg})
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            "content-type: application/json\r\n"
            "x-amzn-errortype: SerializationException\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)
            self.transport.close()


async def _serve_until_cancelled(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Answer a request that is cancelled, which uvicorn does to whatever outlasts the drain."""
    has_begun = False

    async def note_and_send(message: Any) -> None:
        nonlocal has_begun
        has_begun = True
        await send(message)

    try:
        await app(scope, receive, note_and_send)
    except asyncio.CancelledError:
        if not has_begun:
            body = orjson.dumps({"message": "The node is stopping."})
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": body})


class HttpServer(uvicorn.Server):
    """Serves an ASGI application on sockets that are already bound, until cancelled."""

    def __init__(
        self, app: Any, listeners: Sequence[socket.socket], *, drain_seconds: float
    ) -> None:
        super().__init__(
            uvicorn.Config(
                partial(_serve_until_cancelled, app),
                interface="asgi3",
                http=BoundedHttpProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level=logging.WARNING,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                # Requests whose function is ended at the end of the drain still get an answer.
                timeout_graceful_shutdown=round(drain_seconds + limits.KILL_SECONDS + 1),
            )
        )
        self._listeners = list(listeners)
        self._ready = anyio.Event()

    async def serve_forever(
        self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Ready once connections are accepted. Cancelled, it answers what it has accepted."""
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope(shield=True):
                tasks.start_soon(self._serve_shielded)
                await self._ready.wait()
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                self.should_exit = True

    async def _serve_shielded(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.serve(sockets=self._listeners)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the node's business."""
        yield
