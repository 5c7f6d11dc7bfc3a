"""What is read of a log's report."""

import json

import pytest

from lambdabox.domain.reports import Report, read_report

WARM = (
    "START RequestId: 1 Version: $LATEST\nREPORT RequestId: 1\tDuration: 3.01 ms\t"
    "Billed Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n"
)
COLD = WARM.replace("36 MB\t", "36 MB\tInit Duration: 9.03 ms\t")


def test_the_last_report_counts() -> None:
    other = WARM.replace("3.01", "5.50")
    assert read_report(other + WARM) == Report(3.01, 4, 128, 36)


def test_init_and_restore_come_before_the_run() -> None:
    cold = read_report(COLD)
    assert cold == Report(3.01, 4, 128, 36, init_ms=9.03)
    assert (cold.start_percent, cold.memory_percent) == (75.0, 28.1)
    restored = read_report(COLD.replace("Init", "Restore"))
    assert restored == Report(3.01, 4, 128, 36, restore_ms=9.03)


def test_a_report_in_json_is_read_too() -> None:
    metrics = {"durationMs": 3.01, "billedDurationMs": 13, "memorySizeMB": 128,
               "maxMemoryUsedMB": 36, "initDurationMs": 9.5}  # fmt: skip
    line = json.dumps({"type": "platform.report", "record": {"metrics": metrics}})
    assert read_report(f'{line}\n{{"message": "bye"}}') == Report(3.01, 13, 128, 36, init_ms=9.5)


@pytest.mark.parametrize(
    "log",
    ["", "hello", "REPORT RequestId: 1", '{"type": "platform.report"}', '"platform.report"',
     '"platform.report" {', '{"type":"platform.report","record":{"metrics":{"durationMs":"x"}}}',
     WARM.replace("3.01", "1.2.3"), WARM.replace("128 MB", "x MB")],
)  # fmt: skip
def test_what_only_looks_like_a_report_is_none(log: str) -> None:
    assert read_report(log) is None
