"""Every Python that this machine has, for each test that asks for `python`."""

from pathlib import Path

import pytest
from bootstrap_harness import PYTHON_VERSIONS, Start, python_starter


@pytest.fixture(params=PYTHON_VERSIONS)
def python_version(request: pytest.FixtureRequest) -> str:
    version: str = request.param
    return version


@pytest.fixture
def python(python_version: str, tmp_path: Path) -> Start:
    return python_starter(python_version, tmp_path)
