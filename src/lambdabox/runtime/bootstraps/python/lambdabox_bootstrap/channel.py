"""Speak the frames of the private channel to the node.

Plain reads and writes on the descriptor: the socket module would cost more start-up time
than all of this package. An answer leaves in the same system call as the request for the
next invocation.
"""

import os

READ_SIZE = 65536
MAX_BODY = 2**32 - 1
MAX_CAUSE = 65536
"""Longest X-Ray cause the platform takes."""
MAX_ERROR_TYPE = 256

NEXT = b"\0\0\0\0N"
SNAPSHOT = b"\0\0\0\0S"


class Invocation:
    """One event, and what the node says about it. Absent texts are empty."""

    __slots__ = (
        "client_context",
        "deadline_ms",
        "identity",
        "invoked_arn",
        "payload",
        "request_id",
        "tenant_id",
        "trace_header",
    )

    def __init__(self, head: str, payload: bytes) -> None:
        fields = head.split("\0")
        self.request_id = fields[0]
        self.deadline_ms = int(fields[1])
        self.invoked_arn = fields[2]
        self.trace_header = fields[3]
        self.client_context = fields[4]
        self.identity = fields[5]
        self.tenant_id = fields[6]
        self.payload = payload


class Channel:
    """The runtime's end. A child process that user code starts does not inherit it."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, True)
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def move_to(self, descriptor: int) -> None:
        """Go on with another descriptor: this process is a fork of the one that had the first."""
        if descriptor != self._descriptor:
            os.close(self._descriptor)
            self.__init__(descriptor)  # type: ignore[misc]  # it is made anew

    def receive(self) -> "Invocation | None":
        """Return the next invocation, or None once the node has closed the channel."""
        body = self._receive(b"I")
        if body is None:
            return None
        end = 4 + int.from_bytes(body[:4], "big")
        return Invocation(body[4:end].decode(), body[end:])

    def receive_restore(self) -> "dict[str, str] | None":
        """Wait to be restored: return the variables to set, or None if the channel is closed."""
        body = self._receive(b"T")
        if body is None:
            return None
        import json  # a start without SnapStart need not pay for it

        variables: dict[str, str] = json.loads(body)
        return variables

    def _receive(self, kind: bytes) -> "bytes | None":
        data = os.read(self._descriptor, READ_SIZE)
        while 0 < len(data) < 5:
            more = os.read(self._descriptor, READ_SIZE)
            if not more:
                return None
            data += more
        if not data:
            return None
        if data[4:5] != kind:
            raise ValueError(f"the node sent a frame of type {data[4:5]!r}, not {kind!r}")
        return self._complete(data, int.from_bytes(data[:4], "big"))

    def send(self, *parts: bytes) -> None:
        left = [memoryview(part) for part in parts if part]
        while left:
            written = os.writev(self._descriptor, left)
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]

    def _complete(self, data: bytes, length: int) -> "bytes | None":
        if len(data) == 5 + length:
            return data[5:]
        if len(data) > 5 + length:
            raise ValueError("the node sent a frame before the last one was answered")
        body = bytearray(length)
        filled = len(data) - 5
        body[:filled] = data[5:]
        with memoryview(body) as view:
            while filled < length:
                count = os.readv(self._descriptor, [view[filled:]])
                if not count:
                    return None
                filled += count
        return bytes(body)


def result_frame(payload: bytes) -> "tuple[bytes, ...]":
    # Cut to what a frame can say: the node refuses anything near that size anyway.
    payload = payload[:MAX_BODY] if len(payload) > MAX_BODY else payload
    return len(payload).to_bytes(4, "big") + b"R", payload


def error_frame(kind: bytes, error_type: str, cause: bytes, body: bytes) -> "tuple[bytes, ...]":
    """Return frame `E` (an invocation failed), `X` (init) or `H` (an after-restore hook)."""
    name = error_type.replace("\0", "")[:MAX_ERROR_TYPE].encode("utf-8", "replace")
    head = name + b"\0" + (cause if len(cause) <= MAX_CAUSE else b"")
    body = body[: MAX_BODY - 4 - len(head)]
    size = 4 + len(head) + len(body)
    return size.to_bytes(4, "big") + kind + len(head).to_bytes(4, "big") + head, body
