"""uvicorn's HTTP protocol, with a shorter way for the requests that are nearly all.

For each request uvicorn makes a scope, a cycle, an event, a task and a timer. A warm
invocation needs none of them, so a small POST to an Invoke path is first shown to the warm
path. What that refuses, and every other request, goes to uvicorn as it always would have.
docs/adr/0011 has the measurements.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from lambdabox.server.http_protocol import BoundedHttpProtocol

WARM_PREFIX = b"/2015-03-31/functions/"
WARM_BODY_BYTES = 128 * 1024
"""A longer body is for the general road, which can read it off the loop."""


KEEP_ALIVE_SECONDS = 75.0

Respond = Callable[[int, bytes, bytes], None]


class WarmPath(Protocol):
    def begin(
        self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes, respond: Respond
    ) -> bool:
        """Answer by `respond(status, header lines, body)`, later and once, or return False."""


class _Nobody:
    """Stands for the task that waits for more of a request."""

    def set(self) -> None:
        pass


class _WarmCycle:
    """What uvicorn's protocol asks of the request that is being answered."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self) -> None:
        self.response_complete = False
        self.keep_alive = True
        self.disconnected = False
        self.message_event = _NOBODY


_NOBODY = _Nobody()


class WarmHttpProtocol(BoundedHttpProtocol):
    def __init__(self, warm_path: WarmPath, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begin_warm = warm_path.begin
        self._held: bytes | None = None
        """The body so far of a request that may be warm."""
        self._quiet_since = 0.0
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._defaults: list[tuple[bytes, bytes]] = []
        self._default_lines = b""

    # Called by the parser.

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        if self._may_be_warm():
            self._reading_head = False
            self._held = b""
        else:
            self._begin_general()

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
        elif len(self._held) + len(body) <= WARM_BODY_BYTES:
            self._held += body
        else:
            self._release()
            super().on_body(body)

    def on_message_complete(self) -> None:
        held = self._held
        if held is None:
            super().on_message_complete()
            return
        cycle = _WarmCycle()
        if self._begin_warm(self.url, self.headers, held, partial(self._respond, cycle)):
            self.cycle = cast(RequestResponseCycle, cycle)
            self._held = None
            self._reading_head, self._head_bytes = True, 0
        else:
            self._release()
            super().on_message_complete()

    def _may_be_warm(self) -> bool:
        """Whether a request, whose head is complete, is small talk about an invocation."""
        parser = self.parser
        return (
            self.url.startswith(WARM_PREFIX)
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (self.cycle is None or self.cycle.response_complete)
        )

    def _release(self) -> None:
        """Hand what has been held to uvicorn."""
        held, self._held = self._held, None
        self._begin_general()
        if held:
            super().on_body(held)

    def _begin_general(self) -> None:
        target, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = target, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

    # Answering.

    def _respond(self, cycle: _WarmCycle, status: int, lines: bytes, body: bytes) -> None:
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        closing = b"" if cycle.keep_alive else b"connection: close\r\n"
        head = (STATUS_LINE[status], self._server_lines(), lines, closing, b"\r\n", body)
        self.transport.write(b"".join(head))
        if not cycle.keep_alive:
            self.transport.close()
        if self.pipeline:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._stay_open()

    def _server_lines(self) -> bytes:
        """The headers of every answer. uvicorn makes them anew each second."""
        if self._defaults is not self.server_state.default_headers:
            self._defaults = self.server_state.default_headers
            self._default_lines = b"".join(b"%b: %b\r\n" % header for header in self._defaults)
        return self._default_lines

    # Keeping quiet connections for a while. One timer serves request after request.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._quiet_since = self.loop.time()

    def _stay_open(self) -> None:
        self._quiet_since = self.loop.time()
        if self._quiet_timer is None:
            self._quiet_timer = self.loop.call_later(KEEP_ALIVE_SECONDS, self._end_if_quiet)

    def _end_if_quiet(self) -> None:
        self._quiet_timer = None
        if self.transport.is_closing():
            return
        is_busy = self._head_bytes or self._held is not None or not self.cycle.response_complete
        quiet = 0.0 if is_busy else self.loop.time() - self._quiet_since
        if quiet >= KEEP_ALIVE_SECONDS:
            self.transport.close()
        else:
            self._quiet_timer = self.loop.call_later(KEEP_ALIVE_SECONDS - quiet, self._end_if_quiet)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()

    def shutdown(self) -> None:
        if self._held is not None:
            self._release()
        super().shutdown()
