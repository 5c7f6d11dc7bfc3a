"""The platform's own lines, in AWS's two formats."""

import orjson
import pytest

from lambdabox.telemetry.platform_events import (
    LEVELS,
    InitReport,
    InitStart,
    LogsDropped,
    PlatformEvent,
    Report,
    RuntimeDone,
    Start,
    iso,
    to_json,
)
from lambdabox.telemetry.restore_events import (
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    SnapshotUnusable,
)

INIT_START = InitStart("hello", "7", "on-demand", "init", "python:3.13.v1", "arn:runtime")

RESTORE_START = RestoreStart("hello", "7", "python:3.13.v1", "arn:runtime")

TEXTS = [
    (INIT_START, "INIT_START Runtime Version: python:3.13.v1\tRuntime Version ARN: arn:runtime\n"),
    (
        InitReport("on-demand", "init", "timeout", 9999.994),
        "INIT_REPORT Init Duration: 9999.99 ms\tPhase: init\tStatus: timeout\n",
    ),
    (
        InitReport("provisioned-concurrency", "init", "success", 1.0),
        "INIT_REPORT Init Duration: 1.00 ms\tPhase: init\tStatus: success\n",
    ),
    (
        InitReport("on-demand", "invoke", "error", 1.0, "Runtime.ExitError"),
        (
            "INIT_REPORT Init Duration: 1.00 ms\tPhase: invoke\tStatus: error"
            "\tError Type: Runtime.ExitError\n"
        ),
    ),
    (
        InitReport("snap-start", "snap-start", "success", 1.0),
        "INIT_REPORT Init Duration: 1.00 ms\tPhase: snap-start\tStatus: success\n",
    ),
    (InitReport("on-demand", "init", "success", 1.0), ""),
    (
        RESTORE_START,
        "RESTORE_START Runtime Version: python:3.13.v1\tRuntime Version ARN: arn:runtime\n",
    ),
    (RestoreRuntimeDone("success"), ""),
    (RestoreReport("success", 123.456), "RESTORE_REPORT Restore Duration: 123.46 ms\n"),
    (
        RestoreReport("timeout", 10_000.0, "Runtime.RestoreHookUserTimeout"),
        (
            "RESTORE_REPORT Restore Duration: 10000.00 ms\tStatus: timeout"
            "\tError Type: Runtime.RestoreHookUserTimeout\n"
        ),
    ),
    (
        SnapshotUnusable("it has threads"),
        ("SNAPSHOT_UNUSABLE Each environment of this version runs its own init: it has threads\n"),
    ),
    (
        Report("id", "success", 1.2, 7, 128, 35, restore_ms=12.5, billed_restore_ms=5),
        (
            "REPORT RequestId: id\tDuration: 1.20 ms\tBilled Duration: 7 ms\t"
            "Memory Size: 128 MB\tMax Memory Used: 35 MB\t"
            "Restore Duration: 12.50 ms\tBilled Restore Duration: 5 ms\t\n"
        ),
    ),
    (Start("id", "$LATEST"), "START RequestId: id Version: $LATEST\n"),
    (RuntimeDone("id", "success", 1.5, 2), "END RequestId: id\n"),
    (
        Report("id", "success", 1.234, 2, 128, 35),
        (
            "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 2 ms\t"
            "Memory Size: 128 MB\tMax Memory Used: 35 MB\t\n"
        ),
    ),
    (
        Report("id", "success", 1.234, 102, 128, 35, init_ms=100.0),
        (
            "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 102 ms\t"
            "Memory Size: 128 MB\tMax Memory Used: 35 MB\tInit Duration: 100.00 ms\t\n"
        ),
    ),
    (
        Report("id", "timeout", 3000.0, 3000, 128, 35, error_type="ignored"),
        (
            "REPORT RequestId: id\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\t"
            "Memory Size: 128 MB\tMax Memory Used: 35 MB\tStatus: timeout\t\n"
        ),
    ),
    (
        Report("id", "error", 3.0, 3, 128, 35, error_type="Runtime.ExitError"),
        (
            "REPORT RequestId: id\tDuration: 3.00 ms\tBilled Duration: 3 ms\t"
            "Memory Size: 128 MB\tMax Memory Used: 35 MB\tStatus: error\t"
            "Error Type: Runtime.ExitError\t\n"
        ),
    ),
    (
        Report("id", "error", 3.0, 3, 128, 35),
        (
            "REPORT RequestId: id\tDuration: 3.00 ms\tBilled Duration: 3 ms\t"
            "Memory Size: 128 MB\tMax Memory Used: 35 MB\t\n"
        ),
    ),
    (LogsDropped(10, 2, "full"), "LOGS_DROPPED Records: 2\tBytes: 10\tReason: full\n"),
]

RECORDS = [
    (
        INIT_START,
        "platform.initStart",
        {
            "initializationType": "on-demand",
            "phase": "init",
            "runtimeVersion": "python:3.13.v1",
            "runtimeVersionArn": "arn:runtime",
            "functionName": "hello",
            "functionVersion": "7",
        },
    ),
    (
        InitReport("on-demand", "init", "success", 1.23456),
        "platform.initReport",
        {
            "initializationType": "on-demand",
            "phase": "init",
            "status": "success",
            "metrics": {"durationMs": 1.235},
        },
    ),
    (
        RESTORE_START,
        "platform.restoreStart",
        {
            "functionName": "hello",
            "functionVersion": "7",
            "runtimeVersion": "python:3.13.v1",
            "runtimeVersionArn": "arn:runtime",
        },
    ),
    (
        RestoreRuntimeDone("error", "Runtime.AfterRestoreError"),
        "platform.restoreRuntimeDone",
        {"status": "error", "errorType": "Runtime.AfterRestoreError"},
    ),
    (
        RestoreReport("success", 1.23456),
        "platform.restoreReport",
        {"status": "success", "metrics": {"durationMs": 1.235}},
    ),
    (SnapshotUnusable("why"), "platform.snapshotUnusable", {"reason": "why"}),
    (
        Report("id", "success", 1.5, 7, 128, 35, restore_ms=12.3456, billed_restore_ms=5),
        "platform.report",
        {
            "requestId": "id",
            "metrics": {
                "durationMs": 1.5,
                "billedDurationMs": 7,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 35,
                "restoreDurationMs": 12.346,
                "billedRestoreDurationMs": 5,
            },
            "status": "success",
        },
    ),
    (Start("id", "7"), "platform.start", {"requestId": "id", "version": "7"}),
    (
        RuntimeDone("id", "error", 1.5, 2, "Runtime.ExitError"),
        "platform.runtimeDone",
        {
            "requestId": "id",
            "status": "error",
            "errorType": "Runtime.ExitError",
            "metrics": {"durationMs": 1.5, "producedBytes": 2},
        },
    ),
    (
        Report("id", "success", 1.5, 12, 128, 35, init_ms=10.0, error_type="ignored"),
        "platform.report",
        {
            "requestId": "id",
            "metrics": {
                "durationMs": 1.5,
                "billedDurationMs": 12,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 35,
                "initDurationMs": 10.0,
            },
            "status": "success",
        },
    ),
    (
        LogsDropped(10, 2, "full"),
        "platform.logsDropped",
        {"droppedBytes": 10, "droppedRecords": 2, "reason": "full"},
    ),
]


@pytest.mark.parametrize(("event", "text"), TEXTS)
def test_text(event: PlatformEvent, text: str) -> None:
    assert event.text() == text


@pytest.mark.parametrize(("event", "type", "record"), RECORDS)
def test_json(event: PlatformEvent, type: str, record: dict[str, object]) -> None:
    line = to_json(event, 1_795_000_000.1239)
    assert line.endswith("\n")
    assert orjson.loads(line) == {
        "time": "2026-11-18T11:06:40.123Z",
        "type": type,
        "record": record,
    }


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (INIT_START, "INFO"),
        (InitReport("on-demand", "init", "success", 1.0), "DEBUG"),
        (InitReport("on-demand", "init", "error", 1.0), "WARN"),
        (InitReport("snap-start", "init", "success", 1.0), "INFO"),
        (RESTORE_START, "INFO"),
        (RestoreRuntimeDone("success"), "DEBUG"),
        (RestoreRuntimeDone("timeout"), "WARN"),
        (RestoreReport("success", 1.0), "INFO"),
        (RestoreReport("error", 1.0), "WARN"),
        (Start("id", "7"), "INFO"),
        (RuntimeDone("id", "success", 1.0, 1), "DEBUG"),
        (RuntimeDone("id", "timeout", 1.0, 1), "WARN"),
        (Report("id", "success", 1.0, 1, 128, 1), "INFO"),
        (Report("id", "error", 1.0, 1, 128, 1), "WARN"),
        (LogsDropped(1, 1, "x"), "WARN"),
    ],
)
def test_failures_are_louder_than_successes(event: PlatformEvent, level: str) -> None:
    assert event.level == level
    assert level in LEVELS


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_795_000_000.9999, "2026-11-18T11:06:40.999Z"),
    ],
)
def test_times_are_cut_to_the_millisecond(timestamp: float, shown: str) -> None:
    assert iso(timestamp) == shown
