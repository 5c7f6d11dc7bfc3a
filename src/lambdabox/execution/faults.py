"""The faults of a function that the platform, not the runtime, reports.

Each is the JSON body a caller receives beside `X-Amz-Function-Error: Unhandled`, in the
words AWS uses.
"""

import signal

import orjson

from lambdabox.domain import limits
from lambdabox.domain.values import dataclass
from lambdabox.ports import Exit
from lambdabox.runtime.extensions import ExtensionFailure


@dataclass(frozen=True, slots=True)
class Fault:
    error_type: str
    message: str

    @property
    def body(self) -> bytes:
        return orjson.dumps({"errorType": self.error_type, "errorMessage": self.message})


def timed_out(request_id: str, timeout_seconds: float) -> Fault:
    return Fault(
        "Sandbox.Timedout",
        f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds",
    )


def exited(request_id: str, exit: Exit) -> Fault:
    if exit.out_of_memory:
        return Fault(
            "Runtime.OutOfMemory",
            f"RequestId: {request_id} Error: Runtime exited with error: signal: killed",
        )
    return Fault("Runtime.ExitError", f"RequestId: {request_id} Error: {exit_reason(exit)}")


def exit_reason(exit: Exit) -> str:
    if exit.signal is not None:
        return f"Runtime exited with error: signal: {_signal_name(exit.signal)}"
    if exit.status:
        return f"Runtime exited with error: exit status {exit.status}"
    return "Runtime exited without providing a reason"


def truncated(request_id: str, exit: Exit | None) -> Fault:
    reason = f": {exit_reason(exit)}" if exit is not None else ""
    return Fault(
        "Runtime.TruncatedResponse",
        f"RequestId: {request_id} Error: The response ended before it was complete{reason}",
    )


def response_too_large(limit: int = limits.RESPONSE_BYTES) -> Fault:
    return Fault(
        "Function.ResponseSizeTooLarge",
        f"Response payload size exceeded maximum allowed payload size ({limit} bytes).",
    )


def cannot_launch(request_id: str, error_type: str, message: str) -> Fault:
    return Fault(error_type, f"RequestId: {request_id} Error: {message}")


def extension_failed(request_id: str, failure: ExtensionFailure) -> Fault:
    return Fault(failure.error_type, f"RequestId: {request_id} Error: {failure.message}")


def extension_exit_reason(exit: Exit) -> str:
    """How an extension's program ended, in the words AWS uses for extensions."""
    if exit.signal is not None:
        return f"signal: {_signal_name(exit.signal)}"
    return f"exit status {exit.status}" if exit.status else "exit code 0"


def _signal_name(number: int) -> str:
    """The name as Go prints it, which is what AWS's agent is written in: `killed`."""
    try:
        return (signal.strsignal(number) or f"signal {number}").lower()
    except ValueError:
        return f"signal {number}"
