"""The root logger's handler and its formats. Imported once the logging module is wanted."""

import json
import logging
import time
import traceback

from .faults import text_of
from .logs import TIMESTAMP, LogSettings, Subject
from .output import Log

TEXT_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"

RESERVED = frozenset(
    (
        "args",
        "aws_request_id",
        "created",
        "exc_info",
        "exc_text",
        "filename",
        "funcName",
        "levelname",
        "levelno",
        "lineno",
        "module",
        "msecs",
        "msg",
        "name",
        "pathname",
        "process",
        "processName",
        "relativeCreated",
        "stack_info",
        "tenant_id",
        "thread",
        "threadName",
    )
)
"""Attributes of a record that are not the user's `extra`."""


def install_handler(log: Log, settings: LogSettings, subject: Subject) -> None:
    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler(log)
    if settings.is_json:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(TEXT_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(LambdaLoggerFilter(subject))
    root = logging.getLogger()
    if isinstance(logging.getLevelName(settings.level), int):
        root.setLevel(settings.level)
    root.addHandler(handler)


class LambdaLoggerHandler(logging.Handler):
    """Makes one log event of each record."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.write(self.format(record))
        except Exception:
            self.handleError(record)


class LambdaLoggerFilter(logging.Filter):
    """Lets every record pass, marked with its invocation."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self._subject = subject

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self._subject.request_id
        record.tenant_id = self._subject.tenant_id
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a record; what JSON cannot hold is written as its text."""

    def __init__(self) -> None:
        super().__init__(datefmt=TIMESTAMP)
        self._encoder = json.JSONEncoder(ensure_ascii=False, default=str)

    def format(self, record: logging.LogRecord) -> str:
        is_object = isinstance(record.msg, dict) and not record.args
        entry: dict[str, object] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": logging.getLevelName(min(50, max(0, record.levelno)) // 10 * 10),
            "message": record.msg if is_object else record.getMessage(),
            "logger": record.name,
            **_error_fields(record),
            "requestId": getattr(record, "aws_request_id", None),
            "location": _location(record),
        }
        tenant_id = getattr(record, "tenant_id", None)
        if tenant_id is not None:
            entry["tenantId"] = tenant_id
        for key, value in record.__dict__.items():
            if key not in RESERVED and key not in entry:
                entry[key] = value
        present = {key: value for key, value in entry.items() if value is not None}
        return self._encoder.encode(present) + "\n"


def _error_fields(record: logging.LogRecord) -> "dict[str, object]":
    if not record.exc_info:
        return {"stackTrace": None, "errorType": None, "errorMessage": None}
    kind, error, trace = record.exc_info
    return {
        "stackTrace": traceback.format_tb(trace),
        "errorType": kind.__name__ if kind else "NoneType",
        "errorMessage": text_of(error) if error else "None",
    }


def _location(record: logging.LogRecord) -> "str | None":
    if not record.exc_info:
        return None
    return f"{record.pathname}:{record.funcName}:{record.lineno}"
