"""Read the REPORT of an invocation from the tail of its log, in either log format."""

import json
import re
from dataclasses import dataclass

_TEXT = re.compile(
    r"^REPORT RequestId: \S+\tDuration: (?P<duration>[\d.]+) ms"
    r"\tBilled Duration: (?P<billed>\d+) ms"
    r"\tMemory Size: \d+ MB\tMax Memory Used: (?P<used>\d+) MB"
    r"(?:\tInit Duration: (?P<init>[\d.]+) ms)?",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Report:
    duration_ms: float
    billed_ms: int
    used_mib: int
    init_ms: float | None


def parse_report(log: str) -> Report | None:
    """Return the last report of a log, None if there is none."""
    found = list(_TEXT.finditer(log))
    if found:
        last = found[-1]
        init = last["init"]
        return Report(
            float(last["duration"]), int(last["billed"]), int(last["used"]),
            None if init is None else float(init),
        )  # fmt: skip
    for line in reversed(log.splitlines()):
        if '"platform.report"' in line and (report := _of_json(line)) is not None:
            return report
    return None


def _of_json(line: str) -> Report | None:
    try:
        metrics = json.loads(line)["record"]["metrics"]
        return Report(
            float(metrics["durationMs"]),
            int(metrics["billedDurationMs"]),
            int(metrics["maxMemoryUsedMB"]),
            metrics.get("initDurationMs"),
        )
    except (ValueError, KeyError, TypeError):  # a function's own line that looks like one
        return None
