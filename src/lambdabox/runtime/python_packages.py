"""The packages that AWS's Python runtimes bring along, for functions that import boto3.

A directory of links to this installation's boto3 and what it needs, and nothing else of
it, so that a function sees what it would see on AWS and not what lambdabox is built on.
"""

import importlib.util
import os
from pathlib import Path

PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")


def link_packages(directory: Path) -> Path:
    """Fill `directory` with links to the packages. Returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        source = _location(name)
        link = directory / source.name
        if link.is_symlink() and link.readlink() == source:
            continue
        temporary = directory / f".{source.name}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(source)
        temporary.replace(link)
    return directory


def package_locations(directory: Path | None) -> dict[str, str]:
    """Return the packages by the name of their file: those in `directory`, if given."""
    if directory is not None:
        return {entry.name: str(entry) for entry in directory.iterdir()}
    sources = (_location(name) for name in PACKAGES)
    return {source.name: str(source) for source in sources}


def _location(name: str) -> Path:
    """Return a package's directory, or a module's file. Nothing is imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed beside lambdabox")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin
