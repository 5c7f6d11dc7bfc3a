"""Look into a stored package and make changed ones of it, for the editor.

A package was checked when it was taken in and is checked again when the changed one is; here
it is only read and put together. Everything blocks, and belongs on a thread.
"""

import io
import stat
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambdabox.console.formatting import size
from lambdabox.domain.errors import InvalidParameterValueException

MAX_PACKAGE_BYTES = 12 * 1024 * 1024
MAX_UNZIPPED_BYTES = 64 * 1024 * 1024
MAX_FILES = 1_000
MAX_TEXT_BYTES = 512 * 1024

# A zip cannot hold an earlier time, and the same files shall make the same package.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_MAX_PART_BYTES = 255


@dataclass(frozen=True, slots=True)
class PackageFile:
    path: str
    size: int
    is_link: bool = False

    @property
    def is_too_large(self) -> bool:
        return self.size > MAX_TEXT_BYTES


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a package; of one too large to edit none, and why."""

    files: tuple[PackageFile, ...]
    too_large: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change, in this order: what goes, then names, then contents."""

    removed: Collection[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old names to new ones."""
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.renamed or self.removed or self.written)


class NotText(Exception):
    """The file cannot be shown in an editor. The message says why."""


def read_listing(package: Path) -> Listing:
    packed = package.stat().st_size
    if packed > MAX_PACKAGE_BYTES:
        return Listing(
            (),
            f"The package is {size(packed)}, and the editor takes up to "
            f"{size(MAX_PACKAGE_BYTES)}. Download it, or put what seldom changes into a layer.",
        )
    with zipfile.ZipFile(package) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MAX_FILES:
        return Listing(
            (),
            f"The package has {len(entries)} files, and the editor takes up to {MAX_FILES}. "
            "Download it, or put what seldom changes into a layer.",
        )
    unzipped = sum(entry.file_size for entry in entries)
    if unzipped > MAX_UNZIPPED_BYTES:
        return Listing(
            (),
            f"The files are {size(unzipped)}, and the editor takes up to "
            f"{size(MAX_UNZIPPED_BYTES)}. Download them, or put what seldom changes into a layer.",
        )
    files = [PackageFile(_name(entry), entry.file_size, _is_link(entry)) for entry in entries]
    return Listing(tuple(sorted(files, key=lambda file: file.path)))


def read_text(package: Path, path: str) -> str:
    """Return a file's text. Raises KeyError for no such file, and NotText."""
    with zipfile.ZipFile(package) as archive:
        entry = _entries(archive)[path]
        if _is_link(entry):
            raise NotText("This is a link to another file.")
        if entry.file_size > MAX_TEXT_BYTES:
            raise NotText(
                f"This file is {size(entry.file_size)}, and the editor takes up to "
                f"{size(MAX_TEXT_BYTES)}."
            )
        content = archive.read(entry)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise NotText("This file is not text.") from None
    if "\0" in text:
        raise NotText("This file is not text.")
    return text


def edited(package: Path, edit: Edit) -> bytes:
    """Return the changed package.

    Raises InvalidParameterValueException for names that are none, and a package too large.

    What is not named stays as it is, with its mode; what is written anew keeps the mode of
    what was there.
    """
    if (too_large := read_listing(package).too_large) is not None:
        raise InvalidParameterValueException(too_large)
    for path in (*edit.renamed.values(), *edit.written):
        _check_name(path)
    with zipfile.ZipFile(package) as archive:
        staying = {n: entry for n, entry in _entries(archive).items() if n not in edit.removed}
        left = {edit.renamed.get(name, name): entry for name, entry in staying.items()}
        if len(left) < len(staying):
            raise InvalidParameterValueException("Two files cannot have one name.")
        if not left and not edit.written:
            raise InvalidParameterValueException("A function needs at least one file.")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as changed:
            for path in sorted(left.keys() | edit.written.keys()):
                text = edit.written.get(path)
                old = left.get(path)
                content = text.encode() if text is not None else archive.read(left[path])
                changed.writestr(_entry(path, old), content, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()


def _entry(path: str, old: zipfile.ZipInfo | None) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.create_system = _UNIX
    mode = old.external_attr >> 16 if old is not None and old.create_system == _UNIX else 0
    # The one file that must be executable: what runs a function of an OS-only runtime.
    default = stat.S_IFREG | (0o755 if path == "bootstrap" else 0o644)
    entry.external_attr = (mode or default) << 16
    return entry


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {_name(entry): entry for entry in archive.infolist() if not entry.is_dir()}


def _name(entry: zipfile.ZipInfo) -> str:
    """The path that the entry is unpacked to."""
    parts = [part for part in entry.filename.split("/") if part not in ("", ".")]
    return "/".join(parts)


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return entry.create_system == _UNIX and stat.S_ISLNK(entry.external_attr >> 16)


def _check_name(path: str) -> None:
    parts = path.split("/")
    is_good = (
        path.isprintable()
        and "\\" not in path
        and all(part not in ("", ".", "..") for part in parts)
        and all(len(part.encode(errors="replace")) <= _MAX_PART_BYTES for part in parts)
        and len(path) <= 1_000
    )
    if not is_good:
        raise InvalidParameterValueException(
            f"{path[:100]!r} cannot be a file's name. Write it like app.py or lib/tools.py."
        )
