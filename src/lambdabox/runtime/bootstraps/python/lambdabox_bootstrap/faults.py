"""Describe a failure the way AWS's Python runtime does.

The keys, their order and the stack trace's text are what users parse. The trace begins
at the user's first frame: how this runtime is built is not their business.
"""

import os

TYPE_CHECKING = False  # importing typing costs milliseconds
if TYPE_CHECKING:
    from types import TracebackType

OWN_FILES = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Fault(Exception):
    """A failure with a type and wording of its own, which has no Python traceback."""

    def __init__(self, error_type: str, message: str, trace: "list[str] | None" = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.trace = trace or []


class Report:
    """What is told about one failure: `error` to the caller, `cause` to X-Ray."""

    __slots__ = ("cause", "error", "error_type")

    def __init__(self, error: "dict[str, object]", cause: "dict[str, object]") -> None:
        self.error = error
        self.error_type = str(error["errorType"])
        self.cause = cause


def describe(failure: Exception, request_id: str = "") -> Report:
    if isinstance(failure, Fault):
        error = error_body(failure.message, failure.error_type, failure.trace, request_id)
        return Report(error, _cause("LambdaValidationError", failure.message, []))
    import traceback  # costs milliseconds that a start without an error need not pay

    frames = [
        (frame.filename, frame.lineno or 0, frame.name, frame.line)
        for frame in traceback.extract_tb(_users_part(failure.__traceback__))
    ]
    name, message = type(failure).__name__, text_of(failure)
    error = error_body(message, name, traceback.format_list(frames), request_id)
    return Report(error, _cause(name, message, frames))


def error_body(
    message: str, error_type: str, trace: "list[str]", request_id: str
) -> "dict[str, object]":
    return {
        "errorMessage": message,
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": trace,
    }


def text_of(failure: BaseException) -> str:
    try:
        return str(failure)
    except Exception:
        # User code again: a __str__ that raises must not cost the error its report.
        return f"<unprintable {type(failure).__name__} object>"


def _users_part(trace: "TracebackType | None") -> "TracebackType | None":
    entry = trace
    while entry is not None and entry.tb_frame.f_code.co_filename.startswith(OWN_FILES):
        entry = entry.tb_next
    return entry or trace


def _cause(
    error_type: str, message: str, frames: "list[tuple[str, int, str, str | None]]"
) -> "dict[str, object]":
    stack = [{"label": name, "path": path, "line": line} for path, line, name, _ in frames]
    return {
        "working_directory": _working_directory(),
        "exceptions": [{"message": message, "type": error_type, "stack": stack}],
        "paths": list(dict.fromkeys(path for path, _, _, _ in frames)),
    }


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # the function has removed it
