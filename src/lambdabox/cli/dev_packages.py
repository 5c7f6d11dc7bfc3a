"""Make the package of a directory again and again, quickly.

What a function depends on is most of its package and seldom changes. So it is installed and
compressed once, and a save adds the few files of one's own to a copy of that.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lambdabox.cli import dependencies
from lambdabox.cli.packaging import Package, extended, files_of, zip_files

_VENDORED = "node_modules/"


class DevPackages:
    """Packages of one directory. `work` is an empty directory that installers may fill."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._made_for: tuple[str, ...] = ()
        self._installed: Mapping[str, Path] = {}
        self._base: Package | None = None
        self._in_base: frozenset[str] = frozenset()

    def package(self, source: Path, runtime: str, architecture: str) -> Package:
        """Return the package as it is now; installs again only if what asks for it changed."""
        files = files_of(source)
        installed = self._install(files, source, runtime, architecture)
        fixed = {name: path for name, path in files.items() if name.startswith(_VENDORED)}
        own = {name: path for name, path in files.items() if name not in fixed}
        kept = {name: path for name, path in {**installed, **fixed}.items() if name not in own}
        if not kept:
            return zip_files(files, source)
        if self._base is None or self._in_base != kept.keys():
            self._base, self._in_base = zip_files(kept, source), frozenset(kept)
        return extended(self._base, own, source)

    def _install(
        self, files: Mapping[str, Path], source: Path, runtime: str, architecture: str
    ) -> Mapping[str, Path]:
        asked_by = dependencies.needs(files, runtime, source)
        if asked_by is None:
            return {}
        digest = hashlib.sha256(files[asked_by].read_bytes()).hexdigest()
        wanted = (asked_by, digest, runtime, architecture)
        if wanted != self._made_for:
            place = self._work / digest[:16]
            place.mkdir(exist_ok=True)
            path = dependencies.install(
                asked_by, source, place, runtime=runtime, architecture=architecture
            )
            found = files_of(path)
            if asked_by == "package.json":  # installed beside a copy of the source
                found = {name: at for name, at in found.items() if name.startswith(_VENDORED)}
            self._installed, self._made_for, self._base = found, wanted, None
        return self._installed
