"""What docs/events.md tells people to run works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support.functions import PYTHON
from support.node import Node

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
BLOCK = re.compile(r"^<!-- test -->\s*\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_blocks_of_the_page_run(node: Node, tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 8
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": node.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    program = "\n".join(blocks).replace("python3.11", PYTHON)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
