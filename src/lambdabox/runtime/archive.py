"""Look into an uploaded zip and unpack it, trusting nothing that it says.

Whether an archive is acceptable is decided on its list of entries, by pure functions,
before the first byte is written; `unpack` then only carries out the plan. Links are
created last and nothing is ever written through one, so an archive cannot reach outside
its target. Sizes are limited as declared and again as written.
"""

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.values import dataclass

MAX_ENTRIES = 100_000
MODIFIED_AT = 315_532_800  # 1980-01-01, the earliest time that a zip can hold

_CORRUPT = "Could not unzip uploaded file. Please check your file, then try to upload again."
_EMPTY = "Uploaded file must be a non-empty zip"
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 2_048  # leaves room, below the kernel's 4,096, for the target's own path
_MAX_DEPTH = 100
_MAX_LINKS_FOLLOWED = 40  # as the kernel does
_MAX_LINK_STEPS = 1_000_000  # all links of an archive together: about a second
_CHUNK_BYTES = 256 * 1024
_DRIVE = re.compile(r"[A-Za-z]:")
_CENTRAL_ENTRY = b"PK\x01\x02"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, length of name, length of extra
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # classic, strong, and a hidden central directory
_UTF8 = 0x800
_UNIX_MADE = (3, 19)  # Unix, macOS

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """What an acceptable archive declares."""

    unzipped_bytes: int
    entries: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to create, by path relative to the target. No path is below a file or a link."""

    directories: Mapping[Parts, int]
    """Modes of every directory, those implied by their content included."""
    files: Mapping[Parts, zipfile.ZipInfo]
    links: Mapping[Parts, str]


def inspect(source: Path | IO[bytes], *, limit_bytes: int) -> ArchiveInfo:
    """Return what the archive holds, or raise InvalidParameterValueException.

    Reads the list of entries and the links, not the content of files.
    """
    with _opened(source) as archive:
        entries = _checked_entries(archive, limit_bytes)
        _plan(archive, entries)
        return ArchiveInfo(sum(entry.file_size for entry in entries), len(entries))


def unpack(source: Path, target: Path, *, limit_bytes: int, writable: bool = True) -> ArchiveInfo:
    """Unpack the archive into `target`, which is created and must not exist.

    Modes are the archive's, made readable for all; without `writable`, nobody may write.
    On failure `target` may be left partly filled; it is the caller's to remove.
    Raises InvalidParameterValueException.
    """
    keep = 0o777 if writable else 0o555
    with _opened(source) as archive:
        entries = _checked_entries(archive, limit_bytes)
        plan = _plan(archive, entries)
        target.mkdir(parents=True)
        for parts in sorted(plan.directories):
            target.joinpath(*parts).mkdir()
        left = limit_bytes
        for parts, entry in plan.files.items():
            left -= _extract(
                archive, entry, target.joinpath(*parts), _file_mode(entry) & keep, left
            )
            if left <= 0:
                raise _too_large(limit_bytes)
    for parts, destination in plan.links.items():
        link = target.joinpath(*parts)
        link.symlink_to(destination)
        os.utime(link, (MODIFIED_AT, MODIFIED_AT), follow_symlinks=False)
    # Deepest first, because creating an entry changes its directory's time.
    for parts in sorted(plan.directories, key=len, reverse=True):
        _finish_directory(target.joinpath(*parts), plan.directories[parts] & keep)
    _finish_directory(target, 0o755 & keep)
    return ArchiveInfo(sum(entry.file_size for entry in entries), len(entries))


def entry_path(name: str) -> Parts:
    """Return the components of an entry's name, or raise ValueError saying what is wrong."""
    if "\0" in name:
        raise ValueError("its name holds a NUL character")
    if "\\" in name:
        raise ValueError("its name holds a backslash; separate directories by '/'")
    if name.startswith("/") or _DRIVE.match(name):
        raise ValueError("its name is an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ValueError("its name contains '..'")
    encoded = [len(part.encode()) for part in parts]
    if any(size > _MAX_NAME_BYTES for size in encoded):
        raise ValueError(f"a part of its name is longer than {_MAX_NAME_BYTES} bytes")
    if sum(encoded) + len(encoded) > _MAX_PATH_BYTES:
        raise ValueError(f"its name is longer than {_MAX_PATH_BYTES} bytes")
    if len(parts) > _MAX_DEPTH:
        raise ValueError(f"it is more than {_MAX_DEPTH} directories deep")
    if not name or (not parts and not name.endswith("/")):
        raise ValueError("its name is empty")
    return parts


def check_links(links: Mapping[Parts, str]) -> None:
    """Raise ValueError unless every link, followed through the others, stays inside."""
    steps = count()
    for link, destination in links.items():
        if not destination or "\0" in destination or len(destination) > _MAX_PATH_BYTES:
            raise ValueError(f"the link {_shown('/'.join(link))} has no usable target")
        if not _stays_inside(link, links, steps):
            raise ValueError(
                f"the link {_shown('/'.join(link))} leads outside the archive"
                f" or nowhere, to {_shown(destination)}"
            )


def _stays_inside(path: Parts, links: Mapping[Parts, str], steps: Iterator[int]) -> bool:
    """Follow `path` as the kernel would: '..' is taken after links, not before.

    A loop, or a path deeper than any entry can be, does not count as inside.
    """
    pending = list(reversed(path))
    reached: list[str] = []
    followed = 0
    while pending:
        if next(steps) > _MAX_LINK_STEPS:
            raise ValueError("there are too many links, or they are too entangled to follow")
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not reached:
                return False
            reached.pop()
            continue
        destination = links.get((*reached, part))
        if destination is None:
            reached.append(part)
            if len(reached) > _MAX_DEPTH:
                return False
            continue
        followed += 1
        if destination.startswith("/") or followed > _MAX_LINKS_FOLLOWED:
            return False
        pending.extend(reversed(destination.split("/")))
    return True


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open the archive. Whatever zipfile makes of damaged input becomes the caller's error."""
    if isinstance(source, Path):
        with source.open("rb") as file, _opened(file) as archive:
            yield archive
        return
    try:
        _check_entry_count(source)
        with zipfile.ZipFile(source) as archive:
            yield archive
    except (
        zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError,
        RuntimeError, ValueError, struct.error,
    ) as exc:  # fmt: skip
        raise InvalidParameterValueException(_CORRUPT) from exc


def _check_entry_count(file: IO[bytes]) -> None:
    """Refuse what would fill the memory: zipfile makes an object of every entry on opening.

    Counts signatures in the whole file, so entries of zips stored inside count as well.
    """
    file.seek(0)
    found, tail, size = 0, b"", 0
    while chunk := file.read(_CHUNK_BYTES):
        size += len(chunk)
        found += (tail + chunk).count(_CENTRAL_ENTRY)
        tail = chunk[-(len(_CENTRAL_ENTRY) - 1) :]
        if found > MAX_ENTRIES:
            raise _refused(f"It has more than {MAX_ENTRIES} entries.")
    if size == 0:
        raise InvalidParameterValueException(_EMPTY)


def _checked_entries(archive: zipfile.ZipFile, limit_bytes: int) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if not entries:
        raise InvalidParameterValueException(_EMPTY)
    if sum(entry.file_size for entry in entries) >= limit_bytes:
        raise _too_large(limit_bytes)
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise _entry_refused(entry, "it is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _entry_refused(
                entry, f"its compression method {entry.compress_type} is neither stored nor deflate"
            )
        if stat.S_IFMT(_mode(entry)) not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise _entry_refused(entry, "it is neither a file, a directory nor a link")
    _check_overlap(archive, entries)
    return entries


def _check_overlap(archive: zipfile.ZipFile, entries: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse entries that share bytes: so a small archive unpacks to petabytes."""
    file = archive.fp
    if file is None:
        raise ValueError("the archive is closed")
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if not end <= entry.header_offset < archive.start_dir:
            raise _entry_refused(entry, "it overlaps another entry")
        file.seek(entry.header_offset)
        signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise _entry_refused(entry, "it has no header")
        end = entry.header_offset + _LOCAL_HEADER.size + name + extra + entry.compress_size
    if end > archive.start_dir:
        raise _refused("Its entries overlap its directory.")


def _plan(archive: zipfile.ZipFile, entries: Iterable[zipfile.ZipInfo]) -> _Plan:
    """Decide what to create. Of entries with the same name, the last one counts."""
    chosen = {path: entry for entry in entries if (path := _path(entry))}
    directories = {path: _directory_mode(e) for path, e in chosen.items() if _is_directory(e)}
    links = {
        path: _link_target(archive, entry)
        for path, entry in chosen.items()
        if stat.S_ISLNK(_mode(entry)) and path not in directories
    }
    seen: set[Parts] = set()
    files = {p: e for p, e in chosen.items() if p not in directories and p not in links}
    for path, entry in chosen.items():
        for parent in _parents(path, seen):
            if parent in files or parent in links:
                raise _entry_refused(entry, f"{_shown('/'.join(parent))} is not a directory")
            directories.setdefault(parent, 0o755)
        if len(directories) > MAX_ENTRIES:
            raise _refused(f"It has more than {MAX_ENTRIES} directories.")
    try:
        check_links(links)
    except ValueError as exc:
        raise _refused(f"In it, {exc}.") from exc
    return _Plan(directories, files, links)


def _parents(path: Parts, seen: set[Parts]) -> Iterator[Parts]:
    """The directories that `path` is in, innermost first, but those in `seen`; add them."""
    parent = path[:-1]
    while parent and parent not in seen:
        seen.add(parent)
        yield parent
        parent = parent[:-1]


def _path(entry: zipfile.ZipInfo) -> Parts:
    """Return where the entry goes; nothing if it is the top directory itself."""
    try:
        # zipfile cuts `filename` at a NUL, but opens the entry by `orig_filename`.
        entry_path(entry.orig_filename)
        return entry_path(_name(entry))
    except ValueError as exc:
        raise _entry_refused(entry, str(exc)) from exc


def _name(entry: zipfile.ZipInfo) -> str:
    """Return the name. Unix tools write UTF-8 without the flag; zipfile reads that as cp437."""
    if not entry.flag_bits & _UTF8 and entry.create_system in _UNIX_MADE:
        try:
            return entry.filename.encode("cp437").decode()
        except UnicodeError:
            pass
    return entry.filename


def _mode(entry: zipfile.ZipInfo) -> int:
    return entry.external_attr >> 16


def _is_directory(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/") or stat.S_ISDIR(_mode(entry))


def _file_mode(entry: zipfile.ZipInfo) -> int:
    """What the archive says, without setuid and its like; who runs it is not who packed it."""
    mode = (_mode(entry) & 0o777 or 0o644) | 0o444
    return mode | 0o111 if mode & 0o100 else mode


def _directory_mode(entry: zipfile.ZipInfo) -> int:
    return (_mode(entry) & 0o777 or 0o755) | 0o555


def _link_target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.file_size > _MAX_PATH_BYTES:
        raise _entry_refused(entry, f"its link target is longer than {_MAX_PATH_BYTES} bytes")
    with archive.open(entry) as content:
        # A bounded read: what is declared small may inflate to anything.
        return content.read(_MAX_PATH_BYTES).decode()


def _extract(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, mode: int, limit: int
) -> int:
    """Write one file and return its size. `target`'s directory holds no links yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with archive.open(entry) as content, open(os.open(target, flags, 0o600), "wb") as file:
        size = 0
        while size <= limit and (chunk := content.read(_CHUNK_BYTES)):
            size += file.write(chunk)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.utime(file.fileno(), (MODIFIED_AT, MODIFIED_AT))
    if size < entry.file_size and size <= limit:
        raise _entry_refused(entry, f"it declares {entry.file_size} bytes and holds {size}")
    return size


def _finish_directory(directory: Path, mode: int) -> None:
    os.utime(directory, (MODIFIED_AT, MODIFIED_AT))
    directory.chmod(mode)


def _refused(detail: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"{_CORRUPT} {detail}")


def _entry_refused(entry: zipfile.ZipInfo, problem: str) -> InvalidParameterValueException:
    return _refused(f"The entry {_shown(entry.orig_filename)} is refused: {problem}.")


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 100 else name[:100] + "...")


def _too_large(limit_bytes: int) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"Unzipped size must be smaller than {limit_bytes} bytes")
