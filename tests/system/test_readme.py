"""What README.md tells people to type works as it stands there.

A block of `sh` or `python` that follows the comment `<!-- test -->` is run, in the order
of the page, in one directory and against one node.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.node import PROGRAM, running

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^<!-- test -->\s*\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str]]:
    """The language and text of each block to be run."""
    return BLOCK.findall(text)


def test_only_marked_blocks_are_run() -> None:
    text = (
        "```sh\nno\n```\n<!-- test -->\n```sh\nyes\n```\n\n<!-- test -->\n\n```python\ntoo\n```\n"
    )
    assert blocks(text) == [("sh", "yes\n"), ("python", "too\n")]


@pytest.mark.skipif(not blocks(README.read_text()), reason="README.md marks no block to be run")
def test_the_blocks_of_the_readme_run(tmp_path: Path) -> None:
    with running(tmp_path / "data") as node:
        environment = {
            **os.environ,
            "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": node.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        place = tmp_path / "checkout"
        place.mkdir()
        (place / ".venv").symlink_to(PROGRAM.parents[1])
        (place / "examples").symlink_to(README.parent / "examples")
        page = README.read_text().replace("http://127.0.0.1:4566", node.url)
        for language, text in blocks(page):
            command = {"sh": ["sh", "-eu", "-c", text], "python": [sys.executable, "-c", text]}
            ended = subprocess.run(
                command[language],
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ended.returncode == 0, f"{text}\n{ended.stdout}{ended.stderr}"
