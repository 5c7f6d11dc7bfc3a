"""Programs that tests need and that `make test` installs where it may."""

import os
import shutil
import subprocess

import pytest


def needed(program: str) -> str:
    """Return the program's path. Missing skips on a laptop and fails in CI."""
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed")
    return str(path)


def missing(message: str) -> None:
    """Skip the test, or fail it in CI, where nothing it needs may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message}, and CI must have it")
    pytest.skip(message)


def node_runtime() -> str:
    """Return the identifier of the Node.js that this machine has."""
    release = subprocess.check_output([needed("node"), "--version"], text=True).strip()
    return f"nodejs{release.lstrip('v').partition('.')[0]}.x"
