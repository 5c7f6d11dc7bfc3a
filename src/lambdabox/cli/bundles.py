"""What `export` writes and `import` reads: functions with their code, in a directory or zip.

One JSON document names functions and layers; code lies beside it under its SHA-256, so that
versions with the same code share it and a damaged file is noticed. Nothing is unpacked on
reading, so no name in a bundle can lead outside it.
"""

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from lambdabox.cli.output import CommandError

FORMAT = 1
INDEX = "lambdabox-export.json"
_CODE = re.compile(r"code/([0-9a-f]{64})\.zip")


class BundleWriter:
    """Collects code and then the index. `target` must not exist; .zip makes a zip."""

    def __init__(self, target: Path) -> None:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise CommandError(f"{target} exists already: name another place to export to")
        self._target = target
        self._code: dict[str, bytes] = {}

    def add_code(self, content: bytes) -> str:
        """Keep a package and return its name in the bundle."""
        name = f"code/{hashlib.sha256(content).hexdigest()}.zip"
        self._code[name] = content
        return name

    def finish(self, functions: list[dict[str, Any]], layers: list[dict[str, Any]]) -> None:
        index = {"Format": FORMAT, "Functions": functions, "Layers": layers}
        text = json.dumps(index, indent=2).encode() + b"\n"
        contents = {INDEX: text, **self._code}
        # Environment variables are secrets more often than not: nobody else may read these.
        if self._target.suffix == ".zip":
            with (
                os.fdopen(
                    os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
                ) as file,
                zipfile.ZipFile(file, "w") as archive,
            ):
                for name, content in contents.items():
                    archive.writestr(name, content)
            return
        (self._target / "code").mkdir(mode=0o700, parents=True)
        self._target.chmod(0o700)
        for name, content in contents.items():
            (self._target / name).write_bytes(content)
            (self._target / name).chmod(0o600)


class Bundle:
    """An exported bundle. Raises CommandError for what is none, or is damaged."""

    def __init__(self, source: Path) -> None:
        self._source = source
        if not source.exists():
            raise CommandError(f"{source} does not exist: give what `lambdabox export` wrote")
        try:
            index = json.loads(self._read(INDEX))
            found = index["Format"]
            self.functions: list[dict[str, Any]] = index["Functions"]
            self.layers: list[dict[str, Any]] = index["Layers"]
        except (KeyError, ValueError, OSError, TypeError, zipfile.BadZipFile) as exc:
            raise CommandError(f"{source} is nothing that `lambdabox export` wrote") from exc
        if found != FORMAT:
            raise CommandError(f"{source} has format {found}, and this lambdabox reads {FORMAT}")

    def code(self, name: str) -> bytes:
        """Return a package by its name in the bundle."""
        named = _CODE.fullmatch(name)
        try:
            content = self._read(name) if named else b""
        except (KeyError, OSError, zipfile.BadZipFile) as exc:
            raise CommandError(f"{self._source} lacks {name}: it is damaged") from exc
        if named is None or hashlib.sha256(content).hexdigest() != named[1]:
            raise CommandError(f"{self._source}: {name!r} is not what it says: it is damaged")
        return content

    def _read(self, name: str) -> bytes:
        if self._source.is_dir():
            return (self._source / name).read_bytes()
        with zipfile.ZipFile(self._source) as archive:
            return archive.read(name)
