"""InvokeWithResponseStream's body: a function's response as events that SDKs read.

The encoding is AWS's `application/vnd.amazon.eventstream`: each message has its length, its
headers' length and a checksum of both, then headers and payload, and a checksum of it all.
"""

import base64
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from lambdabox.api.serialize import Headers
from lambdabox.api.streaming import Channel
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Outcome

PIECE_BYTES = 256 * 1024
"""A response that comes whole is sent in pieces, so that a slow client is waited for."""

_U32 = struct.Struct(">I")
_PRELUDE = struct.Struct(">II")
_STRING = 7
_PLATFORM_ERRORS = ("Extension.", "Function.", "Runtime.", "Sandbox.")


def event(kind: str, content_type: str, payload: bytes) -> bytes:
    """Return one message of the stream."""
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (b":event-type", kind.encode()),
            (b":content-type", content_type.encode()),
            (b":message-type", b"event"),
        )
    )
    total = _PRELUDE.size + _U32.size + len(headers) + len(payload) + _U32.size
    prelude = _PRELUDE.pack(total, len(headers))
    message = b"".join((prelude, _U32.pack(zlib.crc32(prelude)), headers, payload))
    return message + _U32.pack(zlib.crc32(message))


def invoke_complete(outcome: Outcome, *, wants_log_tail: bool) -> bytes:
    """Return the last message: whether the function failed, how, and the end of its log."""
    members: dict[str, Any] = {}
    if outcome.function_error is not None:
        members["ErrorCode"] = _platform_error(outcome.payload) or outcome.function_error
        members["ErrorDetails"] = outcome.payload.decode(errors="replace")
    if wants_log_tail:
        members["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    return event("InvokeComplete", "application/json", orjson.dumps(members))


class EventStreamSink:
    """An `execution_ports.ResponseSink` that sends a response as events."""

    def __init__(self, channel: Channel, status: int, headers: Headers) -> None:
        self._channel = channel
        self._status = status
        self._headers = headers
        self.has_begun = False

    def tell_version(self, deployment: Deployment) -> None:
        """Say in the head what runs. Called before anything is sent."""
        self._headers.append((b"x-amz-executed-version", deployment.version.encode()))

    async def begin(self, content_type: str) -> None:
        del content_type  # of the function's bytes; the response is an event stream
        self.has_begun = True
        await self._channel.begin(self._status, self._headers)

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            await self._channel.write(event("PayloadChunk", "application/octet-stream", piece))

    async def complete(self, outcome: Outcome, *, wants_log_tail: bool) -> None:
        """Send the end, after nothing but the head if the function failed before it answered."""
        if not self.has_begun:
            await self.begin("")
        await self._channel.write(invoke_complete(outcome, wants_log_tail=wants_log_tail))


EventSource = Callable[[EventStreamSink], Awaitable[None]]
"""What an operation gives for its member `EventStream`: it sends the events."""


def _platform_error(body: bytes) -> str | None:
    """Return the type of an error that the platform found; None for the function's own."""
    try:
        error_type = orjson.loads(body)["errorType"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return error_type if str(error_type).startswith(_PLATFORM_ERRORS) else None


def _header(name: bytes, value: bytes) -> bytes:
    return b"".join((bytes([len(name)]), name, struct.pack(">BH", _STRING, len(value)), value))
