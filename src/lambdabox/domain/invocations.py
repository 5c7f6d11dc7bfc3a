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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


def new_trace(now: float) -> str:
    """Return a fresh X-Ray trace header, not sampled, for a caller that sent none."""
    ids = os.urandom(20).hex()
    return f"Root=1-{int(now):08x}-{ids[:24]};Parent={ids[24:]};Sampled=0"
