"""What counts as a change of a directory, and how packages are made of one again and again."""

import os
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from lambdabox.cli import dependencies
from lambdabox.cli.dev_packages import DevPackages
from lambdabox.cli.packaging import Package
from lambdabox.cli.watching import Watcher


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "lib").mkdir(parents=True)
    (root / "app.py").write_text("one")
    (root / "lib" / "more.py").write_text("more")
    return root


def contents(package: Package) -> Mapping[str, str]:
    with zipfile.ZipFile(BytesIO(package.content)) as archive:
        assert sorted(archive.namelist()) == package.names
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_nothing_has_changed_at_first(source: Path) -> None:
    assert Watcher(source).wait(0) == []


def test_changed_new_and_removed_files_are_told_once(source: Path) -> None:
    watcher = Watcher(source)
    (source / "app.py").write_text("another")
    (source / "new.py").write_text("")
    (source / "lib" / "more.py").unlink()
    assert watcher.wait(5) == ["app.py", "lib/more.py", "new.py"]
    assert watcher.wait(0) == []


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_a_change(source: Path) -> None:
    watcher = Watcher(source)
    before = (source / "app.py").stat()
    draft = source.parent / "draft"
    draft.write_text("two")
    os.utime(draft, ns=(before.st_atime_ns, before.st_mtime_ns))
    draft.replace(source / "app.py")
    assert watcher.wait(5) == ["app.py"]


@pytest.mark.parametrize("name", [".app.py.swp", "app.py~", "4913", "app.pyc", ".git/index"])
def test_what_is_no_part_of_the_function_is_not_looked_at(source: Path, name: str) -> None:
    watcher = Watcher(source)
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_text("x")
    assert watcher.wait(0) == []


def test_a_directory_that_is_gone_has_no_files(source: Path) -> None:
    watcher = Watcher(source)
    source.rename(source.with_name("elsewhere"))
    assert watcher.wait(5) == ["app.py", "lib/more.py"]


def test_a_package_has_what_is_there_now(source: Path, tmp_path: Path) -> None:
    packages = DevPackages(tmp_path)
    first = packages.package(source, "python3.12", "x86_64")
    (source / "app.py").write_text("two")
    second = packages.package(source, "python3.12", "x86_64")
    assert contents(first) == {"app.py": "one", "lib/more.py": "more"}
    assert contents(second) == {"app.py": "two", "lib/more.py": "more"}


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An installer that makes the packages named in requirements.txt, and what it was given."""
    given: list[str] = []

    def install(
        asked_by: str, source: Path, work: Path, *, runtime: str, architecture: str
    ) -> Path:
        given.append((source / asked_by).read_text())
        for name in given[-1].split():
            (work / "packages" / name).mkdir(parents=True, exist_ok=True)
            (work / "packages" / name / "__init__.py").write_text(f"# {name}")
        return work / "packages"

    monkeypatch.setattr(dependencies, "install", install)
    return given


def test_requirements_are_installed_again_only_when_they_change(
    source: Path, tmp_path: Path, installs: list[str]
) -> None:
    (tmp_path / "work").mkdir()
    packages = DevPackages(tmp_path / "work")
    (source / "requirements.txt").write_text("tea")
    packages.package(source, "python3.12", "x86_64")
    (source / "app.py").write_text("two")
    second = contents(packages.package(source, "python3.12", "x86_64"))
    assert installs == ["tea"]
    assert (second["app.py"], second["tea/__init__.py"]) == ("two", "# tea")
    (source / "requirements.txt").write_text("milk")
    third = contents(packages.package(source, "python3.12", "x86_64"))
    assert installs == ["tea", "milk"]
    assert "milk/__init__.py" in third
    assert "tea/__init__.py" not in third


def test_ones_own_file_hides_an_installed_one(
    source: Path, tmp_path: Path, installs: list[str]
) -> None:
    (tmp_path / "work").mkdir()
    packages = DevPackages(tmp_path / "work")
    (source / "requirements.txt").write_text("tea")
    packages.package(source, "python3.12", "x86_64")
    (source / "tea").mkdir()
    (source / "tea" / "__init__.py").write_text("mine")
    assert contents(packages.package(source, "python3.12", "x86_64"))["tea/__init__.py"] == "mine"
    (source / "tea" / "__init__.py").unlink()
    assert contents(packages.package(source, "python3.12", "x86_64"))["tea/__init__.py"] == "# tea"
