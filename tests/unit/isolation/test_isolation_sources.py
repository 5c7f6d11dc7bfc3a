"""What runs privileged, or inside sandboxes, needs little, and runs on old interpreters."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from lambdabox import isolation
from lambdabox.domain.runtimes import CREATABLE
from lambdabox.runtime.interpreters import Interpreters

ISOLATION = Path(isolation.__file__).parent
GUEST = ISOLATION / "guest"
WARDEN = ISOLATION / "warden"
OLDEST = (3, 9)


def modules(*directories: Path) -> list[Path]:
    found = [path for directory in directories for path in directory.glob("*.py")]
    assert len(found) > 5
    return found


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


@pytest.mark.parametrize("path", modules(WARDEN, GUEST), ids=lambda path: path.stem)
def test_the_warden_and_the_guest_need_the_standard_library_alone(path: Path) -> None:
    foreign = [
        name
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not name.startswith("lambdabox.isolation")
    ]
    assert not foreign


@pytest.mark.parametrize("path", modules(GUEST), ids=lambda path: path.stem)
def test_the_guest_needs_nothing_of_ours_but_itself(path: Path) -> None:
    # It is shown to sandboxes alone, without the rest of the package.
    assert not [name for name in imported(path) if name.startswith("lambdabox.")]


@pytest.mark.parametrize("path", modules(GUEST), ids=lambda path: path.stem)
def test_the_guest_is_written_for_the_oldest_python(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=OLDEST)
    if any(isinstance(node, ast.AnnAssign | ast.FunctionDef) for node in ast.walk(tree)):
        assert "from __future__ import annotations" in path.read_text()
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_the_guest_is_imported_by_each_python_of_this_machine(version: str) -> None:
    search = Interpreters({}, os.environ["PATH"], Path.home())
    found = anyio.run(search.find, CREATABLE[f"python{version}"])
    if found is None:
        pytest.skip(f"there is no Python {version}")
    names = [path.stem for path in modules(GUEST) if path.stem != "__init__"]
    source = f"import sys; sys.path.insert(0, {str(ISOLATION)!r})\n" + "\n".join(
        f"import guest.{name}" for name in names
    )
    subprocess.run([found.executable, "-I", "-S", "-B", "-W", "error", "-c", source], check=True)
