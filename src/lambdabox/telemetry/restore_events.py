"""The platform's log lines about SnapStart: restores, and snapshots that cannot be used.

Rendered like the other platform events; apart from them because only functions with
SnapStart ever have these.
"""

from typing import Any, Literal

from lambdabox.domain.values import dataclass

RestoreStatus = Literal["success", "error", "timeout"]


@dataclass(frozen=True, slots=True)
class RestoreStart:
    function_name: str
    version: str
    release: str
    release_arn: str

    level = "INFO"
    type = "platform.restoreStart"

    def text(self) -> str:
        return (
            f"RESTORE_START Runtime Version: {self.release}"
            f"\tRuntime Version ARN: {self.release_arn}\n"
        )

    def record(self) -> dict[str, Any]:
        return {
            "functionName": self.function_name,
            "functionVersion": self.version,
            "runtimeVersion": self.release,
            "runtimeVersionArn": self.release_arn,
        }


@dataclass(frozen=True, slots=True)
class RestoreRuntimeDone:
    """Has no text form."""

    status: RestoreStatus
    error_type: str | None = None

    type = "platform.restoreRuntimeDone"

    @property
    def level(self) -> str:
        return "DEBUG" if self.status == "success" else "WARN"

    def text(self) -> str:
        return ""

    def record(self) -> dict[str, Any]:
        return {
            "status": self.status,
            **({"errorType": self.error_type} if self.error_type else {}),
        }


@dataclass(frozen=True, slots=True)
class RestoreReport:
    status: RestoreStatus
    duration_ms: float
    error_type: str | None = None

    type = "platform.restoreReport"

    @property
    def level(self) -> str:
        return "INFO" if self.status == "success" else "WARN"

    def text(self) -> str:
        status = f"\tStatus: {self.status}" if self.status != "success" else ""
        error = f"\tError Type: {self.error_type}" if self.error_type else ""
        return f"RESTORE_REPORT Restore Duration: {self.duration_ms:.2f} ms{status}{error}\n"

    def record(self) -> dict[str, Any]:
        return {
            "status": self.status,
            **({"errorType": self.error_type} if self.error_type else {}),
            "metrics": {"durationMs": round(self.duration_ms, 3)},
        }


@dataclass(frozen=True, slots=True)
class SnapshotUnusable:
    """Not an event of AWS's, whose snapshots are of whole machines."""

    reason: str

    level = "WARN"
    type = "platform.snapshotUnusable"

    def text(self) -> str:
        return (
            f"SNAPSHOT_UNUSABLE Each environment of this version runs its own init: {self.reason}\n"
        )

    def record(self) -> dict[str, Any]:
        return {"reason": self.reason}
