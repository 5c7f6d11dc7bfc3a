"""The tour that README.md promises runs to its end."""

import subprocess
import sys
from pathlib import Path

from support.programs import missing

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo_ends_well_and_leaves_nothing_running() -> None:
    ended = subprocess.run(
        [sys.executable, DEMO],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    if "libraries        skipped" in ended.stdout:
        missing("no package index can be reached")
    assert '{"total": "1,285.00 EUR"}' in ended.stdout
    assert '{"lines": ["400 x tea", "2 x scone", "total' in ended.stdout
