"""The platform's own log lines, in AWS's two formats.

Each event of an environment's life (its start, its invocations, their reports) is a value
here; `text` and `json` render it. Levels decide which events a function with JSON logs
gets to see. Those of every invocation are not frozen, because it takes three times as long
to make one that is.
"""

from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from lambdabox.domain.values import dataclass
from lambdabox.telemetry.extension_events import ExtensionStatus, Subscription
from lambdabox.telemetry.restore_events import (
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    SnapshotUnusable,
)

Status = Literal["success", "error", "timeout"]
Phase = Literal["init", "invoke", "snap-start"]

LEVELS = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "ERROR": 4, "FATAL": 5}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an event's time: from `start`, in seconds since the epoch."""

    name: str
    start: float
    duration_ms: float

    def record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "start": iso(self.start),
            "durationMs": round(self.duration_ms, 3),
        }


@dataclass(frozen=True, slots=True)
class InitStart:
    function_name: str
    version: str
    initialization_type: str
    phase: Phase
    release: str
    release_arn: str

    level = "INFO"
    type = "platform.initStart"

    def text(self) -> str:
        return (
            f"INIT_START Runtime Version: {self.release}\tRuntime Version ARN: {self.release_arn}\n"
        )

    def record(self) -> dict[str, Any]:
        return {
            "initializationType": self.initialization_type,
            "phase": self.phase,
            "runtimeVersion": self.release,
            "runtimeVersionArn": self.release_arn,
            "functionName": self.function_name,
            "functionVersion": self.version,
        }


@dataclass(frozen=True, slots=True)
class InitRuntimeDone:
    """Has no text form."""

    initialization_type: str
    phase: Phase
    status: Status
    error_type: str | None = None

    type = "platform.initRuntimeDone"

    @property
    def level(self) -> str:
        return "DEBUG" if self.status == "success" else "WARN"

    def text(self) -> str:
        return ""

    def record(self) -> dict[str, Any]:
        return {
            "initializationType": self.initialization_type,
            "phase": self.phase,
            "status": self.status,
            **({"errorType": self.error_type} if self.error_type else {}),
        }


@dataclass(frozen=True, slots=True)
class InitReport:
    initialization_type: str
    phase: Phase
    status: Status
    duration_ms: float
    error_type: str | None = None

    type = "platform.initReport"

    @property
    def level(self) -> str:
        if self.status != "success":
            return "WARN"
        return "DEBUG" if self.initialization_type == "on-demand" else "INFO"

    def text(self) -> str:
        # AWS reports the init of on-demand environments only when it failed.
        if self.status == "success" and self.initialization_type == "on-demand":
            return ""
        return (
            f"INIT_REPORT Init Duration: {self.duration_ms:.2f} ms\tPhase: {self.phase}"
            f"\tStatus: {self.status}{_error_type(self.error_type)}\n"
        )

    def record(self) -> dict[str, Any]:
        return {
            "initializationType": self.initialization_type,
            "phase": self.phase,
            "status": self.status,
            **({"errorType": self.error_type} if self.error_type else {}),
            "metrics": {"durationMs": round(self.duration_ms, 3)},
        }


@dataclass(slots=True)
class Start:
    request_id: str
    version: str
    trace: str = ""

    level = "INFO"
    type = "platform.start"

    def text(self) -> str:
        return f"START RequestId: {self.request_id} Version: {self.version}\n"

    def record(self) -> dict[str, Any]:
        return {"requestId": self.request_id, "version": self.version, **_tracing(self.trace)}


@dataclass(slots=True)
class RuntimeDone:
    """The text form is the END line."""

    request_id: str
    status: Status
    duration_ms: float
    produced_bytes: int
    error_type: str | None = None
    spans: tuple[Span, ...] = ()
    trace: str = ""

    type = "platform.runtimeDone"

    @property
    def level(self) -> str:
        return "DEBUG" if self.status == "success" else "WARN"

    def text(self) -> str:
        return f"END RequestId: {self.request_id}\n"

    def record(self) -> dict[str, Any]:
        return {
            "requestId": self.request_id,
            "status": self.status,
            **({"errorType": self.error_type} if self.error_type else {}),
            "metrics": {
                "durationMs": round(self.duration_ms, 3),
                "producedBytes": self.produced_bytes,
            },
            **_spans(self.spans),
            **_tracing(self.trace),
        }


@dataclass(slots=True)
class Report:
    request_id: str
    status: Status
    duration_ms: float
    billed_ms: int
    memory_mib: int
    max_memory_mib: int
    init_ms: float | None = None
    error_type: str | None = None
    restore_ms: float | None = None
    billed_restore_ms: int = 0
    spans: tuple[Span, ...] = ()
    trace: str = ""

    type = "platform.report"

    @property
    def level(self) -> str:
        return "INFO" if self.status == "success" else "WARN"

    def text(self) -> str:
        init = f"Init Duration: {self.init_ms:.2f} ms\t" if self.init_ms is not None else ""
        restore = (
            f"Restore Duration: {self.restore_ms:.2f} ms\t"
            f"Billed Restore Duration: {self.billed_restore_ms} ms\t"
            if self.restore_ms is not None
            else ""
        )
        status = f"Status: {self.status}\t" if self._names_status else ""
        error_type = f"Error Type: {self.error_type}\t" if self._names_error else ""
        return (
            f"REPORT RequestId: {self.request_id}\tDuration: {self.duration_ms:.2f} ms\t"
            f"Billed Duration: {self.billed_ms} ms\tMemory Size: {self.memory_mib} MB\t"
            f"Max Memory Used: {self.max_memory_mib} MB\t{init}{restore}{status}{error_type}\n"
        )

    @property
    def _names_status(self) -> bool:
        # An error that the handler raised shows in the function's own lines alone.
        return self.status == "timeout" or self._names_error

    @property
    def _names_error(self) -> bool:
        return self.status == "error" and bool(self.error_type)

    def record(self) -> dict[str, Any]:
        return {
            "requestId": self.request_id,
            "metrics": {
                "durationMs": round(self.duration_ms, 3),
                "billedDurationMs": self.billed_ms,
                "memorySizeMB": self.memory_mib,
                "maxMemoryUsedMB": self.max_memory_mib,
                **({"initDurationMs": round(self.init_ms, 3)} if self.init_ms is not None else {}),
                **self._restore_metrics(),
            },
            "status": self.status,
            **({"errorType": self.error_type} if self._names_error else {}),
            **_spans(self.spans),
            **_tracing(self.trace),
        }

    def _restore_metrics(self) -> dict[str, Any]:
        if self.restore_ms is None:
            return {}
        return {
            "restoreDurationMs": round(self.restore_ms, 3),
            "billedRestoreDurationMs": self.billed_restore_ms,
        }


@dataclass(frozen=True, slots=True)
class LogsDropped:
    dropped_bytes: int
    dropped_records: int
    reason: str

    level = "WARN"
    type = "platform.logsDropped"

    def text(self) -> str:
        return (
            f"LOGS_DROPPED Records: {self.dropped_records}\tBytes: {self.dropped_bytes}"
            f"\tReason: {self.reason}\n"
        )

    def record(self) -> dict[str, Any]:
        return {
            "droppedBytes": self.dropped_bytes,
            "droppedRecords": self.dropped_records,
            "reason": self.reason,
        }


PlatformEvent = (
    InitStart
    | InitRuntimeDone
    | InitReport
    | RestoreStart
    | RestoreRuntimeDone
    | RestoreReport
    | SnapshotUnusable
    | Start
    | RuntimeDone
    | Report
    | LogsDropped
    | ExtensionStatus
    | Subscription
)


def to_json(event: PlatformEvent, timestamp: float) -> str:
    """Render `event` as a line of the JSON log format."""
    line = {"time": iso(timestamp), "type": event.type, "record": event.record()}
    return orjson.dumps(line).decode() + "\n"


def iso(timestamp: float) -> str:
    """`2026-11-23T06:00:00.123Z`"""
    moment = datetime.fromtimestamp(timestamp, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _spans(spans: tuple[Span, ...]) -> dict[str, Any]:
    return {"spans": [span.record() for span in spans]} if spans else {}


def _tracing(trace: str) -> dict[str, Any]:
    """Name the trace of an event whose caller records one; most do not."""
    if "Sampled=1" not in trace:
        return {}
    return {"tracing": {"type": "X-Amzn-Trace-Id", "value": trace}}


def _error_type(error_type: str | None) -> str:
    return f"\tError Type: {error_type}" if error_type else ""
