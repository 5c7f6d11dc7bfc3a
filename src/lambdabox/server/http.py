"""The HTTP server: uvicorn on a socket of ours, stopped in an orderly way.

It neither handles signals nor outlives the task group that runs it, and a request that is
still unanswered at the end of the drain is told that the node stops.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import anyio
import orjson
import uvicorn
from anyio.abc import TaskStatus

from lambdabox.domain import limits
from lambdabox.server.warm_protocol import WarmHttpProtocol, WarmPath


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
        self,
        app: Any,
        warm_path: WarmPath,
        listeners: Sequence[socket.socket],
        *,
        drain_seconds: float,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                partial(_serve_until_cancelled, app),
                interface="asgi3",
                http=cast(type[asyncio.Protocol], partial(WarmHttpProtocol, warm_path)),
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
