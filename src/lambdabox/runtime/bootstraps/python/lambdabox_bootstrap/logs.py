"""Log records and uncaught errors in AWS's two formats, text and JSON.

The logging module takes as long to import as the interpreter to start, so it is set up at
the moment something imports it: functions that do not log do not pay for it.
"""

import sys
import time

from .output import Log
from .payloads import Marshaller

TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"
NO_BREAK_SPACE = "\u00a0"


class LogSettings:
    """How to log: AWS_LAMBDA_LOG_FORMAT and AWS_LAMBDA_LOG_LEVEL, as AWS reads them."""

    def __init__(self, log_format: str, level: str) -> None:
        self.is_json = log_format.upper() == "JSON"
        self.level = "DEBUG" if level.upper() == "TRACE" else level.upper()


class Subject:
    """The invocation that log records belong to, as the log filter finds it."""

    __slots__ = ("request_id", "tenant_id")

    def __init__(self) -> None:
        self.request_id = ""
        self.tenant_id: str | None = None


def write_error(
    error: "dict[str, object]", log: Log, settings: LogSettings, marshaller: Marshaller
) -> None:
    """Log an error that nobody in the function caught."""
    if settings.is_json:
        timestamp = time.strftime(TIMESTAMP, time.gmtime())
        entry = {"timestamp": timestamp, "level": "ERROR", **error}
        log.write(marshaller.encode_report(entry).decode())
    else:
        log.write(error_text(error))


def error_text(error: "dict[str, object]") -> str:
    """Return the error with indentation that the log keeps: NO-BREAK SPACE."""
    kind, message = error["errorType"], error["errorMessage"]
    title = f"{kind}: {message}" if kind and message else f"{kind}{message}"
    lines = [f"[ERROR] {title}", "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:  # type: ignore[attr-defined]  # always a list
        lines += [_keep_indentation(line) for line in entry.splitlines()]
    return "\n".join(lines)


def _keep_indentation(line: str) -> str:
    bare = line.lstrip(" ")
    return NO_BREAK_SPACE * (len(line) - len(bare)) + bare


def set_up(log: Log, settings: LogSettings, subject: Subject) -> None:
    """Give the root logger AWS's handler, now or when logging is first imported."""

    def install() -> None:
        from .logging_handler import install_handler

        install_handler(log, settings, subject)

    if "logging" in sys.modules:
        install()
    else:
        from .logging_import import on_import_of_logging

        on_import_of_logging(install)
