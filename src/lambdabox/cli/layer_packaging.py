"""Make a layer's package of a directory: its files under the names they are to have in /opt.

A directory that is laid out as a layer is packed as it is. Any other holds code to be shared,
and goes to where its language looks for it.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from lambdabox.cli import dependencies
from lambdabox.cli.output import CommandError
from lambdabox.cli.packaging import Package, files_of, read_zip, zip_files

FOLDERS = frozenset({"python", "nodejs", "ruby", "java", "bin", "lib", "extensions"})
"""What AWS's runtimes look for in /opt. A custom runtime's `bootstrap` is a file."""
REQUIREMENTS = "requirements.txt"


def package_layer(source: Path, *, runtime: str, architecture: str) -> Package:
    """Return a zip, or a directory's package with what its requirements.txt asks for.

    `runtime` and `architecture` are those that such packages are installed for.
    """
    if not source.exists():
        raise CommandError(f"{source} does not exist: give a directory or a .zip")
    if source.is_file():
        return read_zip(source)
    files = laid_out(source.resolve())
    if not (source / REQUIREMENTS).is_file():
        return zip_files(files, source)
    with tempfile.TemporaryDirectory(prefix="lambdabox-layer-") as work:
        installed = dependencies.install(
            REQUIREMENTS,
            source.resolve(),
            Path(work),
            runtime=runtime,
            architecture=architecture,
        )
        return zip_files({**_below("python", files_of(installed)), **files}, source)


def laid_out(source: Path) -> Mapping[str, Path]:
    """Return a directory's files by their names in the layer."""
    files = files_of(source)
    tops = {name.partition("/")[0] for name in files if "/" in name}
    if tops & FOLDERS or "bootstrap" in files:
        return files
    if "node_modules" in tops:
        return _below("nodejs", files)
    if "package.json" in files:
        return _below(f"nodejs/node_modules/{source.name}", files)
    if "__init__.py" in files:  # the directory is a package itself
        return _below(f"python/{source.name}", files)
    return _below("python", files)


def _below(folder: str, files: Mapping[str, Path]) -> dict[str, Path]:
    return {f"{folder}/{name}": path for name, path in files.items()}
