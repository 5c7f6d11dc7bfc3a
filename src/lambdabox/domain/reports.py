"""Read what a log says of an invocation: how long it took, and what memory it used.

Functions choose the form of their log, so the report is a line of text or of JSON.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXT = re.compile(
    r"^REPORT RequestId: \S+\tDuration: (?P<duration>\d{1,9}\.\d\d) ms\t"
    r"Billed Duration: (?P<billed>\d{1,9}) ms\tMemory Size: (?P<memory>\d{1,9}) MB\t"
    r"Max Memory Used: (?P<used>\d{1,9}) MB(?P<rest>.*)$",
    re.MULTILINE,
)
_INIT = re.compile(r"\tInit Duration: (\d{1,9}\.\d\d) ms")
_RESTORE = re.compile(r"\tRestore Duration: (\d{1,9}\.\d\d) ms")


@dataclass(frozen=True, slots=True)
class Report:
    duration_ms: float
    billed_ms: int
    memory_mib: int
    used_mib: int
    init_ms: float | None = None
    restore_ms: float | None = None

    @property
    def start_ms(self) -> float:
        """What came before the run: init, or a restore."""
        return (self.init_ms or 0.0) + (self.restore_ms or 0.0)

    @property
    def start_percent(self) -> float:
        total = self.start_ms + self.duration_ms
        return round(100 * self.start_ms / total, 1) if total else 0.0

    @property
    def memory_percent(self) -> float:
        return min(100.0, round(100 * self.used_mib / max(1, self.memory_mib), 1))


def read_report(log: str) -> Report | None:
    """Return the last report in a log; None if it has none."""
    texts = list(_TEXT.finditer(log))
    return _of_text(texts[-1]) if texts else _of_json(log)


def _of_text(found: re.Match[str]) -> Report:
    rest = found["rest"]
    init, restore = _INIT.search(rest), _RESTORE.search(rest)
    return Report(
        duration_ms=float(found["duration"]),
        billed_ms=int(found["billed"]),
        memory_mib=int(found["memory"]),
        used_mib=int(found["used"]),
        init_ms=float(init[1]) if init else None,
        restore_ms=float(restore[1]) if restore else None,
    )


def _of_json(log: str) -> Report | None:
    for line in reversed(log.splitlines()):
        if '"platform.report"' not in line:
            continue
        try:
            metrics: Mapping[str, Any] = json.loads(line)["record"]["metrics"]
            return Report(
                duration_ms=float(metrics["durationMs"]),
                billed_ms=int(metrics["billedDurationMs"]),
                memory_mib=int(metrics["memorySizeMB"]),
                used_mib=int(metrics["maxMemoryUsedMB"]),
                init_ms=_optional(metrics.get("initDurationMs")),
                restore_ms=_optional(metrics.get("restoreDurationMs")),
            )
        except (KeyError, TypeError, ValueError, RecursionError):
            continue  # a function may print what looks like one
    return None


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
