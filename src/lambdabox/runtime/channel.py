"""The private channel between an execution environment and a bundled bootstrap.

A connected Unix stream socket whose descriptor the bootstrap finds in
LAMBDABOX_CHANNEL_FD. Both sides send frames: a body length (4 bytes, big-endian), a type
(1 byte), the body. HTTP costs the bootstrap 110 microseconds an event, frames 15.

    node → bootstrap   I  head length (4 bytes), head, payload
                          head: request id, deadline in epoch milliseconds, invoked ARN,
                          trace header, client context, Cognito identity, tenant id;
                          UTF-8, separated by NUL, empty where absent
    bootstrap → node   N  ready for an invocation; the first one ends init
                       R  the invocation's result; body: payload
                       E  the invocation failed; body: head length, head, error JSON
                          head: error type, X-Ray cause; separated by NUL
                       X  init failed; body as for E; the bootstrap then exits with 1
                       B  the result will be streamed; body: its content type
                       C  some of the streamed result
                       F  the streamed result is complete; no body
                       L  the invocation failed after B; body as for E

Under SnapStart init ends, once, where each environment begins:

    bootstrap → node   S  init and before-snapshot hooks are done: take the snapshot now
    node → bootstrap   T  restored; body: environment variables to set, as a JSON object.
                          A fork of the process that sent S gets it on a channel of its own
    bootstrap → node   H  an after-restore hook failed; body as for E; it then exits with 65

The bootstrap runs user code, so nothing it sends is trusted: a frame that is not legal
in the session's state closes the channel, which ends the sandbox.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Mapping

import orjson

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.runtime.session import (
    IllegalCallError,
    RuntimeSession,
    State,
    UnknownRequestError,
)

_FRAME = struct.Struct("!IB")
_FRAME_BYTES = _FRAME.size
_LENGTH = struct.Struct("!I")
_INVOCATION = struct.Struct("!IBI")

# Frames up to this size are parsed where they were received; a longer one gets memory of its
# own length, once its header has shown that it is legal.
_BUFFER_BYTES = 16 * 1024
_JOINED_BYTES = 64 * 1024
_ERROR_HEAD_BYTES = 128 * 1024
_INVOCATION_FIELDS = 7

_CONTENT_TYPE_BYTES = 1024

_READY, _RESULT, _ERROR, _INIT_ERROR, _INVOKE = b"NREXI"
_BEGIN, _CHUNK, _FINISH, _LATE_ERROR = b"BCFL"
_SNAPSHOT, _RESTORE, _RESTORE_ERROR = b"STH"
_NEXT = _FRAME.pack(0, _READY)
_LEGAL_STATES = {
    _READY: (State.INIT, State.RESTORING, State.ANSWERED),
    _RESULT: (State.BUSY,),
    _ERROR: (State.BUSY,),
    _INIT_ERROR: (State.INIT,),
    _SNAPSHOT: (State.INIT,),
    _RESTORE_ERROR: (State.RESTORING,),
    _BEGIN: (State.BUSY,),
    _CHUNK: (State.STREAMING,),
    _FINISH: (State.STREAMING,),
    _LATE_ERROR: (State.STREAMING,),
}
_LONGEST = {
    _READY: 0,
    _SNAPSHOT: 0,
    _INIT_ERROR: limits.RESPONSE_BYTES,
    _RESTORE_ERROR: limits.RESPONSE_BYTES,
    _BEGIN: _CONTENT_TYPE_BYTES,
    _FINISH: 0,
    _LATE_ERROR: limits.RESPONSE_BYTES,
}
"""Bytes of a body. Longer results and errors are thrown away; the rest has no limit of its own."""


class FrameError(Exception):
    """The peer broke the channel's rules."""


class ChannelTransport:
    """The node's side of one channel. Reads and writes the socket itself, not through an
    asyncio transport: `drain` must be able to read, at once, what a dead process left behind,
    and an event leaves in the very call that invokes.

    Close it before its sandbox is destroyed: a descriptor must leave the loop before it ends.
    """

    def __init__(self, sock: socket.socket, session: RuntimeSession) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str | None] = self._loop.create_future()
        """Set when the channel ends: to the rule the peer broke, or None if it broke none."""
        self._sock = sock
        self._session = session
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._body: memoryview | None = None
        self._body_kind = 0
        self._filled = 0
        self._to_discard = 0
        self._to_stream = 0
        self._unsent: deque[memoryview] = deque()
        self._deliver_callback = self._deliver
        sock.setblocking(False)
        self._loop.add_reader(sock, self._receive)

    def drain(self) -> None:
        """Handle all that the peer has sent so far. For a process that has ended."""
        budget = limits.RESPONSE_BYTES + _BUFFER_BYTES
        while budget > 0 and (received := self._receive()):
            budget -= received

    def begin_at_restore_point(self) -> None:
        """The peer is a fork of a process that has sent frame S, and sends none itself."""
        self._session.snapshot(self._resume_runtime, can_be_forked=True)

    def pause(self) -> None:
        self._loop.remove_reader(self._sock)

    def resume(self) -> None:
        if not self.closed.done():
            self._loop.add_reader(self._sock, self._receive)

    def close(self) -> None:
        """Let go of the socket. May be called twice."""
        self._close(None)

    def _close(self, broken_rule: str | None) -> None:
        if self.closed.done():
            return
        self.closed.set_result(broken_rule)
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._unsent.clear()
        self._body = None

    # From the bootstrap.

    def _receive(self) -> int:
        """Take what one read gives; return its size, 0 if there was nothing or no more."""
        if self.closed.done():
            return 0
        room = self._body[self._filled :] if self._body is not None else self._view[self._end :]
        try:
            received = self._sock.recv_into(room)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            received = 0
        if not received:
            self._close(None)
            return 0
        try:
            self._accept(received)
        except FrameError as error:
            self._close(str(error))
        except IllegalCallError as error:
            self._close(str(error))
        except UnknownRequestError:
            self._close("an answer came although no request was ever handed out")
        return received

    def _accept(self, received: int) -> None:
        if self._body is not None:
            self._filled += received
            if self._filled == len(self._body):
                body, self._body = bytes(self._body), None
                self._handle(self._body_kind, body)
            return
        self._end += received
        if self._to_discard:
            self._discard()
        elif self._to_stream:
            self._stream()
        self._parse()

    def _parse(self) -> None:
        """Handle the whole frames in the buffer; move the rest to where more can follow."""
        while not (self._to_discard or self._to_stream) and self._end - self._start >= _FRAME_BYTES:
            length, kind = _FRAME.unpack_from(self._buffer, self._start)
            self._check(kind, length)
            body = self._start + _FRAME_BYTES
            if kind == _CHUNK:
                self._start, self._to_stream = body, length
                self._stream()
            elif length > limits.RESPONSE_BYTES:
                self._start, self._to_discard = body, length
                self._discard()
            elif body + length <= self._end:
                self._start = body + length
                content = bytes(self._view[body : self._start])
                if kind == _RESULT and self._next_follows():
                    self._start += _FRAME_BYTES
                    self._session.response(
                        self._session.request_id, content, and_next=self._deliver_callback
                    )
                else:
                    self._handle(kind, content)
            elif length > _BUFFER_BYTES - _FRAME_BYTES:
                self._gather(kind, body, length)
            else:
                break
            if self.closed.done():
                return
        self._compact()

    def _next_follows(self) -> bool:
        """Whether a whole frame N comes next, as it does when a bundled bootstrap answers."""
        return self._buffer.startswith(_NEXT, self._start, self._end)

    def _check(self, kind: int, length: int) -> None:
        legal = _LEGAL_STATES.get(kind)
        if legal is None:
            raise FrameError(f"frame type {kind:#04x} is unknown")
        if self._session.state not in legal:
            state = self._session.state.name.lower()
            raise FrameError(f"frame {chr(kind)} is not allowed while {state}")
        longest = _LONGEST.get(kind)
        if longest is not None and length > longest:
            frame = f"frame {chr(kind)}"
            if not longest:
                raise FrameError(f"{frame} has a body of {length} bytes; it has none")
            raise FrameError(f"{frame} of {length} bytes is longer than {longest}")

    def _gather(self, kind: int, body: int, length: int) -> None:
        """Receive the rest of a long frame straight into memory of its own."""
        self._body = memoryview(bytearray(length))
        self._body_kind = kind
        self._filled = self._end - body
        self._body[: self._filled] = self._view[body : self._end]
        self._start = self._end = 0

    def _discard(self) -> None:
        skipped = min(self._to_discard, self._end - self._start)
        self._start += skipped
        self._to_discard -= skipped
        if not self._to_discard:
            self._session.too_large(self._session.request_id)
        self._compact()

    def _stream(self) -> None:
        """Hand on what is there of a streamed piece, which may be longer than the buffer."""
        end = self._start + min(self._to_stream, self._end - self._start)
        self._to_stream -= end - self._start
        self._session.stream(bytes(self._view[self._start : end]))
        self._start = end
        self._compact()

    def _compact(self) -> None:
        rest = self._end - self._start
        if rest and self._start:
            self._buffer[:rest] = self._buffer[self._start : self._end]
        self._start, self._end = 0, rest

    def _handle(self, kind: int, body: bytes) -> None:
        session = self._session
        if kind == _RESULT:
            session.response(session.request_id, body)
        elif kind == _READY:
            session.next(self._deliver_callback)
        elif kind == _SNAPSHOT:
            session.snapshot(self._resume_runtime, can_be_forked=True)
        elif kind == _BEGIN:
            content_type = body.decode("latin-1")
            session.begin_stream(session.request_id, content_type, self)
        elif kind == _FINISH:
            session.end_stream()
        else:
            error_type, payload = _split_error(body)
            if kind == _ERROR:
                session.error(session.request_id, payload, error_type)
            elif kind == _LATE_ERROR:
                session.fail_stream(payload, error_type)
            elif kind == _INIT_ERROR:
                session.init_error(payload, error_type)
            else:
                session.restore_error(payload, error_type)

    # To the bootstrap.

    def _deliver(self, invocation: Invocation, deadline_ms: int) -> None:
        if self.closed.done():
            return
        head = _invocation_head(invocation, deadline_ms)
        payload = invocation.payload
        length = _LENGTH.size + len(head) + len(payload)
        start = _INVOCATION.pack(length, _INVOKE, len(head)) + head
        if len(payload) <= _JOINED_BYTES:
            self._send_joined(start + payload)
        else:
            self._unsent.extend((memoryview(start), memoryview(payload)))
            self._send()

    def _send_joined(self, message: bytes) -> None:
        sent = 0
        if not self._unsent:
            try:
                sent = self._sock.send(message)
            except OSError:
                sent = 0  # whatever it is, `_send` meets it again
        if sent < len(message):
            self._unsent.append(memoryview(message)[sent:])
            self._send()

    def _resume_runtime(self, variables: Mapping[str, str]) -> None:
        if not self.closed.done():
            body = orjson.dumps(variables)
            self._unsent.append(memoryview(_FRAME.pack(len(body), _RESTORE) + body))
            self._send()

    def _send(self) -> None:
        """Write as much as the socket takes. No more than one event is ever waiting here."""
        try:
            while self._unsent:
                sent = self._sock.sendmsg(self._unsent)
                self._forget_sent(sent)
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._sock, self._resume)
        except OSError:
            self._close(None)

    def _resume(self) -> None:
        self._loop.remove_writer(self._sock)
        self._send()

    def _forget_sent(self, sent: int) -> None:
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.popleft())
        if sent:
            self._unsent[0] = self._unsent[0][sent:]


def _invocation_head(invocation: Invocation, deadline_ms: int) -> bytes:
    fields = (
        invocation.request_id,
        str(deadline_ms),
        invocation.invoked_arn,
        invocation.trace,
        invocation.client_context,
        "",  # Cognito identity
        invocation.tenant_id,
    )
    head = "\0".join(fields)
    if head.count("\0") != _INVOCATION_FIELDS - 1:
        # A caller's NUL must not move its client context into the fields that follow.
        head = "\0".join(value.replace("\0", "") for value in fields)
    return head.encode(errors="replace")


def _split_error(body: bytes) -> tuple[str, bytes]:
    """Return the error type and the JSON body of an E, X, L or H frame."""
    if len(body) < _LENGTH.size:
        raise FrameError(f"an error frame of {len(body)} bytes has no head")
    (length,) = _LENGTH.unpack_from(body)
    if length > min(len(body) - _LENGTH.size, _ERROR_HEAD_BYTES):
        raise FrameError(f"an error frame of {len(body)} bytes cannot have a head of {length}")
    end = _LENGTH.size + length
    error_type = body[_LENGTH.size : end].split(b"\0", 1)[0]
    return error_type.decode(errors="replace"), body[end:]
