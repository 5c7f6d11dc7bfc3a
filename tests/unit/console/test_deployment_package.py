"""Reading packages for the editor, and making changed ones."""

import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lambdabox.console import deployment_package
from lambdabox.console.deployment_package import (
    Edit,
    NotText,
    PackageFile,
    edited,
    read_listing,
    read_text,
)
from lambdabox.domain.errors import InvalidParameterValueException


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", "def handler(event, context): ...\n")
        archive.writestr("lib/", "")
        archive.writestr("lib/tools.py", "X = 1\n")
        archive.writestr("logo.png", b"\x89PNG\r\n\x1a\n\0\0")
        link = zipfile.ZipInfo("link.py")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "app.py")
        script = zipfile.ZipInfo("run.sh")
        script.create_system = 3
        script.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(script, "#!/bin/sh\n")
    return path


def contents(content: bytes) -> Mapping[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def modes(content: bytes) -> Mapping[str, int]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}


def test_a_listing_has_every_file_in_order(package: Path) -> None:
    assert read_listing(package).files == (
        PackageFile("app.py", 33),
        PackageFile("lib/tools.py", 6),
        PackageFile("link.py", 6, is_link=True),
        PackageFile("logo.png", 10),
        PackageFile("run.sh", 10),
    )


def test_a_package_too_large_to_edit_says_so(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment_package, "MAX_FILES", 4)
    listing = read_listing(package)
    assert listing.files == ()
    assert "5 files, and the editor takes up to 4" in (listing.too_large or "")
    with pytest.raises(InvalidParameterValueException, match="5 files"):
        edited(package, Edit(written={"a.py": ""}))
    monkeypatch.setattr(deployment_package, "MAX_FILES", 5)
    monkeypatch.setattr(deployment_package, "MAX_UNZIPPED_BYTES", 64)
    assert "The files are 65 bytes" in (read_listing(package).too_large or "")
    monkeypatch.setattr(deployment_package, "MAX_PACKAGE_BYTES", 100)
    assert "and the editor takes up to 100 bytes" in (read_listing(package).too_large or "")


def test_text_is_read_and_what_is_none_says_why(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_text(package, "lib/tools.py") == "X = 1\n"
    with pytest.raises(NotText, match="not text"):
        read_text(package, "logo.png")
    with pytest.raises(NotText, match="link"):
        read_text(package, "link.py")
    with pytest.raises(KeyError):
        read_text(package, "lib")
    monkeypatch.setattr(deployment_package, "MAX_TEXT_BYTES", 5)
    with pytest.raises(NotText, match="6 bytes, and the editor takes up to 5 bytes"):
        read_text(package, "lib/tools.py")


def test_an_edit_changes_what_it_names_and_nothing_else(package: Path) -> None:
    edit = Edit(
        removed={"logo.png"},
        renamed={"lib/tools.py": "lib/kit.py"},
        written={"app.py": "new\n", "lib/more.py": "Ä\n"},
    )
    changed = edited(package, edit)
    assert contents(changed) == {
        "app.py": b"new\n",
        "lib/kit.py": b"X = 1\n",
        "lib/more.py": "Ä\n".encode(),
        "link.py": b"app.py",
        "run.sh": b"#!/bin/sh\n",
    }
    assert edited(package, edit) == changed  # the same files are the same package


def test_modes_and_links_stay_and_a_bootstrap_is_executable(package: Path) -> None:
    found = modes(edited(package, Edit(written={"run.sh": "#!/bin/sh\nls\n", "bootstrap": "x"})))
    assert found["run.sh"] == stat.S_IFREG | 0o755
    assert stat.S_ISLNK(found["link.py"])
    assert found["bootstrap"] == stat.S_IFREG | 0o755


def test_a_file_may_take_the_name_of_one_that_goes(package: Path) -> None:
    changed = edited(package, Edit(removed={"app.py"}, renamed={"run.sh": "app.py"}))
    assert contents(changed)["app.py"] == b"#!/bin/sh\n"


def test_two_files_change_names(package: Path) -> None:
    changed = edited(package, Edit(renamed={"app.py": "run.sh", "run.sh": "app.py"}))
    assert contents(changed)["app.py"] == b"#!/bin/sh\n"


def test_two_files_cannot_have_one_name(package: Path) -> None:
    with pytest.raises(InvalidParameterValueException, match="one name"):
        edited(package, Edit(renamed={"run.sh": "app.py"}))


def test_a_function_keeps_one_file_at_least(package: Path) -> None:
    every = {file.path for file in read_listing(package).files}
    with pytest.raises(InvalidParameterValueException, match="at least one file"):
        edited(package, Edit(removed=every))
    assert contents(edited(package, Edit(removed=every, written={"a.py": ""}))) == {"a.py": b""}


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../app.py", "a/../b", "a//b", "a/", ".", "a\\b", "a\nb", "a\0b",
     "x" * 256, "é" * 128, "a/" * 501 + "b"],
)  # fmt: skip
def test_names_that_are_none_are_refused(package: Path, name: str) -> None:
    for edit in (Edit(written={name: ""}), Edit(renamed={"app.py": name})):
        with pytest.raises(InvalidParameterValueException, match="cannot be a file's name"):
            edited(package, edit)
