"""The tour that README.md promises runs to its end."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import missing

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.slow
@pytest.mark.timeout(410)
def test_the_demo_ends_well_and_leaves_nothing_running() -> None:
    ended = subprocess.run(
        [sys.executable, DEMO],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    for name in ("libraries", "bucket-files", "postgres-url"):
        if f"{name:<16} skipped" in ended.stdout:
            missing("no package index can be reached, or PostgreSQL is not installed")
    assert '{"total": "1,285.00 EUR"}' in ended.stdout
    assert '{"lines": ["400 x tea", "2 x scone", "total' in ended.stdout
    for told in (
        "a picture of 640x480 became a thumbnail of 128x96",
        "the record without a name is in the queue",
        "2 are in dead-letter queues",
        "the tagged one slept",
        "in Europe/Berlin the report of",
        "three visits over one connection",
    ):
        assert told in ended.stdout
