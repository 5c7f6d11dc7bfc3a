"""One request to run a version, and what came of it.

A failure of the function is a value here, not an exception: it travels the same road
as success, so that admission, logging and billing cannot be bypassed by it.
"""

import os
from dataclasses import dataclass
from enum import StrEnum


class InitializationType(StrEnum):
    ON_DEMAND = "on-demand"
    PROVISIONED = "provisioned-concurrency"
    SNAP_START = "snap-start"


# Not frozen, as others are that each invocation makes: it takes three times as long to make one
# that is. Nobody changes them.
@dataclass(slots=True)
class Invocation:
    """One event on its way to a function."""

    request_id: str
    invoked_arn: str
    """The ARN as the caller named the function: qualified only if the call was."""
    payload: bytes
    client_context: str = ""
    """JSON text, or empty."""
    trace: str = ""
    """`Root=1-…;Parent=…;Sampled=…`"""
    tenant_id: str = ""
    wants_log_tail: bool = False
    enqueued_at: float = 0.0
    """When its event was accepted, in seconds since the epoch; 0 for who waits for the answer."""


@dataclass(slots=True)
class Outcome:
    """How an invocation ended, for its caller.

    `function_error` is None on success and "Unhandled" otherwise; `payload` is then the
    error's JSON body. `error_type` is the body's errorType, for logs and metrics.
    """

    payload: bytes
    function_error: str | None = None
    error_type: str | None = None
    executed_version: str = "$LATEST"
    log_tail: bytes = b""


class _RandomHex:
    """Random digits. The system is asked for many at a time, because asking is what costs."""

    BYTES = 8_192

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0

    def take(self, count: int) -> str:
        at = self._at
        if at + count > len(self._digits):
            self._digits, at = os.urandom(self.BYTES).hex(), 0
        self._at = at + count
        return self._digits[at : self._at]


_random_hex = _RandomHex()


def new_request_id() -> str:
    """Return a random UUID (version 4), made on the event loop."""
    h = _random_hex.take(32)
    variant = "89ab"[int(h[16], 16) & 3]
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}"


def new_span_id() -> str:
    """Return the id of a span, as a trace header names its parent. Made on the event loop."""
    return _random_hex.take(16)


def new_trace(now: float) -> str:
    """Return a fresh X-Ray trace header, not sampled, for a caller that sent none."""
    ids = _random_hex.take(40)
    return f"Root=1-{int(now):08x}-{ids[:24]};Parent={ids[24:]};Sampled=0"
