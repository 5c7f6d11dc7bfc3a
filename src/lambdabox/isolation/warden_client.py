"""The node's side of the conversation with the warden, which makes sandboxes for it.

See `warden/node_link.py` for the language. Answers may come in any order; what the warden says
of its own accord (a sandbox has ended, it is gone itself) reaches whoever registered.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from lambdabox.isolation.guest import messages


class WardenError(Exception):
    """The warden could not do what it was asked, for the reason given."""


class WardenClient:
    """Owns the socket. Belongs to the loop that first uses it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._ended: dict[int, Callable[[], None]] = {}
        self._number = 0
        self._unsent: list[tuple[dict[str, Any], list[int]]] = []
        self.lost: asyncio.Future[None] | None = None
        """Done once the warden is gone."""

    async def ask(
        self, request: dict[str, Any], descriptors: list[int] | None = None
    ) -> tuple[dict[str, Any], list[int]]:
        """Return the answer and its descriptors, which are the caller's. Raises WardenError."""
        loop = self._attach()
        self._number += 1
        number = self._number
        answer = self._answers[number] = loop.create_future()
        try:
            self.tell({**request, "id": number}, descriptors)
            message, descriptors = await answer
        except asyncio.CancelledError:
            if not answer.done():
                # Its answer will come, with descriptors to close and a sandbox to end.
                answer = self._answers[number] = loop.create_future()
                answer.add_done_callback(self._throw_away)
            elif not answer.cancelled() and answer.exception() is None:
                self._throw_away(answer)
            raise
        if "error" in message:
            for descriptor in descriptors:
                os.close(descriptor)
            raise WardenError(message["error"])
        if not descriptors:
            # Every other answer brings some, which did not all fit.
            if "sandbox" in message:
                self.tell({"do": "end", "sandbox": message["sandbox"]})
            raise WardenError("the node has too many open files")
        return message, descriptors

    def tell(self, request: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send what has no answer. Never blocks."""
        loop = self._attach()
        if self.lost is not None and self.lost.done():
            raise WardenError("the process that makes sandboxes is gone")
        if self._unsent:
            self._unsent.append((request, [os.dup(one) for one in descriptors or []]))
            return
        try:
            messages.send(self._connection, request, descriptors)
        except BlockingIOError:
            self._unsent.append((request, [os.dup(one) for one in descriptors or []]))
            loop.add_writer(self._connection, self._send_rest)
        except messages.Closed as exc:
            self._lose()
            raise WardenError("the process that makes sandboxes is gone") from exc

    def on_end(self, sandbox: int, listener: Callable[[], None]) -> None:
        """Call `listener` once when the sandbox has ended and is given back."""
        self._ended[sandbox] = listener

    async def gone(self) -> None:
        """Return once the warden is gone."""
        self._attach()
        if self.lost is not None:
            await asyncio.shield(self.lost)

    def close(self) -> None:
        """Let go of the warden: it then ends every sandbox and itself."""
        if self._connection.fileno() >= 0:
            self._lose()
            with contextlib.suppress(OSError):  # the other side may be gone
                # The node holds a copy, from which the warden would not see that it is let go.
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()

    def _attach(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self.lost = self._loop.create_future()
            self._loop.add_reader(self._connection, self._receive)
        return self._loop

    def _receive(self) -> None:
        for _ in range(64):
            try:
                message, descriptors = messages.receive(self._connection)
            except BlockingIOError:
                return
            except messages.Closed:
                self._lose()
                return
            if "ended" in message:
                listener = self._ended.pop(message["ended"], None)
                if listener is not None:
                    listener()
                continue
            answer = self._answers.pop(message.get("id", 0), None)
            if answer is None or answer.done():
                for descriptor in descriptors:
                    os.close(descriptor)
            else:
                answer.set_result((message, descriptors))

    def _throw_away(self, answer: "asyncio.Future[tuple[dict[str, Any], list[int]]]") -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        message, descriptors = answer.result()
        for descriptor in descriptors:
            os.close(descriptor)
        if "sandbox" in message:
            with contextlib.suppress(WardenError):
                self.tell({"do": "end", "sandbox": message["sandbox"]})

    def _send_rest(self) -> None:
        while self._unsent:
            request, descriptors = self._unsent[0]
            try:
                messages.send(self._connection, request, descriptors)
            except BlockingIOError:
                return
            except messages.Closed:
                self._lose()
                return
            del self._unsent[0]
            for descriptor in descriptors:
                os.close(descriptor)
        if self._loop is not None:
            self._loop.remove_writer(self._connection)

    def _lose(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
        if self.lost is not None and not self.lost.done():
            self.lost.set_result(None)
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(WardenError("the process that makes sandboxes is gone"))
        ended, self._ended = self._ended, {}
        for listener in ended.values():
            listener()
