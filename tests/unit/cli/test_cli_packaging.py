"""Deployment packages: reproducible, complete, and nothing from outside the directory."""

import hashlib
import os
import stat
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from lambdabox.cli import packaging
from lambdabox.cli.output import CommandError
from lambdabox.domain import limits


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def entries(package: packaging.Package) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(BytesIO(package.content)) as archive:
        return {entry.filename: entry for entry in archive.infolist()}


def content(package: packaging.Package, name: str) -> bytes:
    with zipfile.ZipFile(BytesIO(package.content)) as archive:
        return archive.read(name)


def test_the_same_files_make_the_same_package_whatever_their_times(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root, order in ((one, ("a", "sub__b")), (other, ("sub__b", "a"))):
        for name in order:
            write(root, **{name: "x = 1"})
    os.utime(other / "a", (1, 1))
    first, second = packaging.zip_directories([one]), packaging.zip_directories([other])
    assert hashlib.sha256(first.content).digest() == hashlib.sha256(second.content).digest()
    assert first.names == ["a", "sub/b"]


def test_what_never_belongs_in_a_package_is_left_out(tmp_path: Path) -> None:
    kept = ["app.py", "node_modules/left/index.js", "sub/app.py"]
    left_out = [
        ".git/config", ".venv/bin/python", "my-env/pyvenv.cfg", "my-env/lib/x.py",
        "__pycache__/app.cpython-312.pyc", "sub/__pycache__/x.py", "old.pyc", "sub/.DS_Store",
    ]  # fmt: skip
    for name in (*kept, *left_out):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert packaging.zip_directories([tmp_path]).names == kept


@pytest.mark.parametrize(
    ("mode", "packed"), [(0o700, 0o755), (0o600, 0o644), (0o777, 0o755), (0o444, 0o644)]
)
def test_modes_become_plain_readable_ones(tmp_path: Path, mode: int, packed: int) -> None:
    write(tmp_path, run="#!/bin/sh")
    (tmp_path / "run").chmod(mode)
    attributes = entries(packaging.zip_directories([tmp_path]))["run"].external_attr >> 16
    assert attributes == stat.S_IFREG | packed


def test_a_bootstrap_is_executable_even_if_its_file_is_not(tmp_path: Path) -> None:
    write(tmp_path, bootstrap="#!/bin/sh")
    (tmp_path / "bootstrap").chmod(0o644)
    attributes = entries(packaging.zip_directories([tmp_path]))["bootstrap"].external_attr >> 16
    assert stat.S_IMODE(attributes) == 0o755


def test_a_link_inside_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path, real="x", sub__other="y")
    (tmp_path / "sub" / "link").symlink_to("../real")
    (tmp_path / "absolute").symlink_to(tmp_path / "sub" / "other")
    (tmp_path / "folder").symlink_to("sub")
    package = packaging.zip_directories([tmp_path])
    assert stat.S_ISLNK(entries(package)["sub/link"].external_attr >> 16)
    assert content(package, "sub/link") == b"../real"
    assert content(package, "absolute") == b"sub/other"
    assert package.names == ["absolute", "folder", "real", "sub/link", "sub/other"]


def test_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    inside = write(tmp_path / "function", app="x")
    (inside / "keys").symlink_to(write(tmp_path, secret="s") / "secret")
    with pytest.raises(CommandError, match=r"keys links to .*secret, outside"):
        packaging.zip_directories([inside])


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CommandError, match="loop is a link that leads nowhere"):
        packaging.zip_directories([tmp_path])


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CommandError, match="pipe is neither"):
        packaging.zip_directories([tmp_path])


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no files to deploy"):
        packaging.zip_directories([tmp_path])


def test_the_functions_own_file_wins_over_an_installed_one(tmp_path: Path) -> None:
    installed = write(tmp_path / "installed", json="theirs", dep="d")
    source = write(tmp_path / "source", json="ours")
    package = packaging.zip_directories([installed, source])
    assert (content(package, "json"), content(package, "dep")) == (b"ours", b"d")


def test_too_many_bytes_are_refused_naming_the_largest_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNZIPPED_CODE_BYTES", 1000)
    write(tmp_path, small="x", big="y" * 2000)
    with pytest.raises(CommandError, match=r"2\.0 KiB together.*1000 B; the largest is big"):
        packaging.zip_directories([tmp_path])


def test_a_package_above_the_upload_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ZIPPED_CODE_BYTES", 10)
    with pytest.raises(CommandError, match="zipped and an upload may have 10 B"):
        packaging.zip_directories([write(tmp_path, app="x")])


def test_a_zip_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sub/", "")
        archive.writestr("sub/app.py", "x")
    package = packaging.read_zip(path)
    assert (package.content, package.names) == (path.read_bytes(), ["sub/app.py"])


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, app="print()") / "app"
    with pytest.raises(CommandError, match="app is not a zip archive"):
        packaging.read_zip(path)
