"""What the pages of docs/ tell people to type works as it stands there.

A page's blocks of bash, sh, console and python are run in their order, in one directory,
against a node of the page's own. Python blocks share their names, but those that define tests
are run by pytest; shell blocks share what they export. In a console block each command after
`$` must print what follows it; `...` there stands for anything.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.functions import PYTHON
from support.node import PROGRAM, Node, running
from support.programs import missing

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
FENCE = re.compile(r"^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = {"bash", "sh", "console", "python"}
SHOWN = {"", "text", "toml", "ini", "json", "yaml", "js", "hcl"}
"""Languages of blocks that are there to be read."""
BLOCK_SECONDS = 100

# The plugin is named because an older installation in .venv may not announce it.
PYTEST = """
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
python3 -m pytest -q -p lambdabox.testing.plugin -p no:cacheprovider test_block.py
"""

WORKER = """
import json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what blocks and their programs print is no answer
names = {"__name__": "__main__"}
for line in sys.stdin:
    try:
        exec(compile(json.loads(line), "the block", "exec"), names)
        wrong = None
    except BaseException:
        wrong = traceback.format_exc()
    print(json.dumps(wrong), file=answers, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(found["language"], found["text"]) for found in FENCE.finditer(page)]


def pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page.read_text()) if block.language in RUN]


class Place:
    """Where the blocks of a page are run: a directory, its environment and one Python."""

    def __init__(self, directory: Path, node: Node) -> None:
        self._directory = directory
        self._exported = directory.with_name("exported")
        self._exported.touch()
        programs = [PROGRAM.parent, REPOSITORY / ".venv-awscli" / "bin"]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "HOME": str(directory),
            "AWS_ENDPOINT_URL": node.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
            "LAMBDABOX_DATA_DIR": str(node.data_dir),
        }
        self._python = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            cwd=directory,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, block: Block) -> None:
        match block.language:
            case "python" if re.search(r"^def test_", block.text, re.MULTILINE):
                (self._directory / "test_block.py").write_text(block.text)
                self._run_shell(PYTEST)
            case "python":
                self._run_python(block.text)
            case "console":
                for command, expected in conversation(block.text):
                    said = self._run_shell(command)
                    assert agrees(said, expected), f"$ {command}\n{said}\nis not\n{expected}"
            case _:
                self._run_shell(block.text)

    def close(self) -> None:
        self._python.kill()
        self._python.communicate()

    def _run_python(self, text: str) -> None:
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(text) + "\n")
        self._python.stdin.flush()
        wrong = json.loads(self._python.stdout.readline())
        assert wrong is None, f"{text}\n{wrong}"

    def _run_shell(self, text: str) -> str:
        script = f". {self._exported}\ntrap 'export -p > {self._exported}' EXIT\n{text}"
        ended = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=self._directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, f"{text}\n{ended.stdout}{ended.stderr}"
        return ended.stdout


@contextmanager
def place(directory: Path, node: Node) -> Iterator[Place]:
    directory.mkdir()
    (directory / "examples").symlink_to(REPOSITORY / "examples")
    made = Place(directory, node)
    try:
        yield made
    finally:
        made.close()


def conversation(text: str) -> list[tuple[str, str]]:
    """Each command of a console block, and what it is to print."""
    commands: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], ""))
        else:
            command, expected = commands.pop()
            commands.append((command, f"{expected}{line}\n"))
    return commands


def agrees(said: str, expected: str) -> bool:
    parts = map(re.escape, expected.strip().split("..."))
    return re.fullmatch(".*".join(parts), said.strip(), re.DOTALL) is not None


def needs_aws_cli(found: list[Block]) -> bool:
    shell = (block.text for block in found if block.language != "python")
    return any(re.search(r"^(\$ )?aws |\$\(aws ", text, re.MULTILINE) for text in shell)


def test_a_conversation_is_read_command_by_command() -> None:
    assert conversation("$ one\n1\n2\n$ two\n") == [("one", "1\n2\n"), ("two", "")]


@pytest.mark.parametrize(
    ("said", "expected", "is_so"),
    [
        ("a\n", "a", True),
        ("a", "b", False),
        ("a and more", "a", False),
        ("at 12:30 a line\nand another", "...a line\n...", True),
        ("a.b", "a...c", False),
    ],
)
def test_what_is_printed_is_compared_to_the_end(said: str, expected: str, is_so: bool) -> None:
    assert agrees(said, expected) is is_so


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_a_block_is_run_or_is_plainly_not_to_be(page: Path) -> None:
    assert {block.language for block in blocks(page.read_text())} <= RUN | SHOWN


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in pages() if runnable(page)], ids=lambda page: page.stem
)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    found = runnable(page)
    if needs_aws_cli(found) and not (REPOSITORY / ".venv-awscli" / "bin" / "aws").exists():
        missing("the AWS CLI is not installed in .venv-awscli")
    settings = {
        "async_retry_delays": "0.1,0.1",
        # This Python stands for those that pages name.
        "interpreters": f"{PYTHON}={sys.executable},python3.13={sys.executable}",
    }
    with (
        running(tmp_path / "node", settings=settings) as node,
        place(tmp_path / "place", node) as here,
    ):
        for block in found:
            text = block.text.replace("http://127.0.0.1:4566", node.url)
            here.run(Block(block.language, text.replace("python3.11", PYTHON)))


@pytest.mark.parametrize(
    "wrong",
    [
        Block("bash", "false\n"),
        Block("bash", "false | cat\n"),
        Block("python", "raise SystemExit\n"),
        Block("python", "assert 1 == 2\n"),
        Block("console", "$ echo one\ntwo\n"),
    ],
)
def test_a_block_that_is_wrong_is_found(tmp_path: Path, wrong: Block) -> None:
    with place(tmp_path / "place", Node(tmp_path / "node")) as here:
        here.run(Block("python", "kept = 1\n"))
        here.run(Block("python", "assert kept == 1\n"))
        here.run(Block("bash", "export KEPT=2\n"))
        here.run(Block("console", "$ echo $KEPT\n2\n"))
        with pytest.raises(AssertionError):
            here.run(wrong)
