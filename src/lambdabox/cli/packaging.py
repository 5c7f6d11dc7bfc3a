"""Make a deployment package of a directory: the same zip for the same files, anywhere.

Entries are sorted, carry one fixed time and plain 644 or 755 modes, so the package's
SHA-256 changes only with its content. Links are kept as links and must stay inside the
directory: following one out of it would publish whatever it points at.
"""

import io
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdabox.cli.output import CommandError, size
from lambdabox.domain import limits

LEFT_OUT = frozenset({
    ".git", ".hg", ".svn", ".venv", "__pycache__", ".DS_Store",
    ".mypy_cache", ".pytest_cache", ".ruff_cache",
})  # fmt: skip
# A zip cannot hold an earlier time.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


@dataclass(frozen=True, slots=True)
class Package:
    """A deployment package, with the names of the files in it."""

    content: bytes
    names: Sequence[str]


def read_zip(path: Path) -> Package:
    """Return a package somebody else made, unchanged."""
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except zipfile.BadZipFile as exc:
        raise CommandError(f"{path} is not a zip archive: give a .zip or a directory") from exc
    return _checked(Package(content, names), str(path))


def zip_directories(roots: Sequence[Path]) -> Package:
    """Return the files of all roots as one package; a later root's file wins."""
    files: dict[str, Path] = {}
    for root in roots:
        files.update(files_of(root))
    return zip_files(files, roots[-1])


def zip_files(files: Mapping[str, Path], source: Path) -> Package:
    """Return files, by their names in the zip, as one package. `source` is what errors name."""
    if not files:
        raise CommandError(f"{source} has no files to deploy")
    _check_unzipped_size(files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            _add(archive, name, files[name])
    return _checked(Package(buffer.getvalue(), sorted(files)), str(source))


def extended(package: Package, files: Mapping[str, Path], source: Path) -> Package:
    """Return a package with more files in it, of other names."""
    buffer = io.BytesIO()
    buffer.write(package.content)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            _add(archive, name, files[name])
    return _checked(Package(buffer.getvalue(), sorted([*package.names, *files])), str(source))


def files_of(root: Path) -> Mapping[str, Path]:
    """Return what would be packed of a directory: names in the zip to paths."""
    return {path.relative_to(root).as_posix(): path for path in _walk(root, root.resolve())}


def is_left_out(path: Path) -> bool:
    """Whether a file or directory never belongs in a package."""
    return path.name in LEFT_OUT or path.suffix == ".pyc" or (path / "pyvenv.cfg").is_file()


def _walk(directory: Path, root: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if is_left_out(path):
            continue
        if path.is_symlink():
            _check_link(path, root)
            yield path
        elif path.is_dir():
            yield from _walk(path, root)
        elif path.is_file():
            yield path
        else:
            raise CommandError(f"{path} is neither a file, a directory nor a link: remove it")


def _check_link(path: Path, root: Path) -> None:
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as exc:
        raise CommandError(f"{path} is a link that leads nowhere: {exc}") from exc
    if not target.is_relative_to(root):
        raise CommandError(
            f"{path} links to {target}, outside the directory: copy the file in instead"
        )


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = _UNIX
    if path.is_symlink():
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        content = _relative_target(path).encode()
    else:
        runs = name == "bootstrap" or path.stat().st_mode & stat.S_IXUSR
        entry.external_attr = (stat.S_IFREG | (0o755 if runs else 0o644)) << 16
        content = path.read_bytes()
    archive.writestr(entry, content)


def _relative_target(link: Path) -> str:
    target = os.readlink(link)
    if not os.path.isabs(target):
        return target
    return os.path.relpath(os.path.realpath(link), link.parent.resolve())


def _check_unzipped_size(files: Mapping[str, Path]) -> None:
    total = sum(path.lstat().st_size for path in files.values())
    if total > limits.UNZIPPED_CODE_BYTES:
        largest = max(files, key=lambda name: files[name].lstat().st_size)
        raise CommandError(
            f"the files are {size(total)} together and a function may have "
            f"{size(limits.UNZIPPED_CODE_BYTES)}; the largest is {largest}"
        )


def _checked(package: Package, source: str) -> Package:
    if len(package.content) > limits.ZIPPED_CODE_BYTES:
        raise CommandError(
            f"{source} is {size(len(package.content))} zipped and an upload may have "
            f"{size(limits.ZIPPED_CODE_BYTES)}: leave files out, or move some to a layer"
        )
    return package
