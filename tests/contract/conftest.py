"""The isolation drivers under test, and what they are given to run."""

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from support.processes import adopt_no_orphans
from support.sandboxes import SetUp
from support.wardens import running_warden

from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.process import ProcessDriver
from lambdabox.ports import IsolationDriver, SandboxSpec

SYSTEM_PYTHON = "/usr/bin/python3"
"""Seen inside every sandbox; the Python that runs the tests may not be."""


@pytest.fixture(params=["process", "namespaces"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IsolationDriver]:
    data = tmp_path / "data"
    if request.param == "process":
        yield ProcessDriver(data)
        adopt_no_orphans()
        return
    async with running_warden(data) as connection:
        driver = NamespaceDriver(connection, data / "staged")
        yield driver
        driver.close()


@pytest.fixture
def spec(tmp_path: Path) -> SetUp:
    """Return a maker of specs whose bootstrap is the given shell or Python text."""

    def make(
        text: str,
        *,
        python: bool = False,
        mode: int = 0o755,
        environment: Mapping[str, str] | None = None,
    ) -> SandboxSpec:
        code, scratch = tmp_path / "data" / "staged" / "code", tmp_path / "scratch"
        code.mkdir(exist_ok=True, parents=True)
        scratch.mkdir(exist_ok=True)
        bootstrap = code / "bootstrap"
        program = SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else sys.executable
        bootstrap.write_text(f"#!{program}\n{text}" if python else f"#!/bin/sh\n{text}")
        bootstrap.chmod(mode)
        return SandboxSpec(
            id="0123456789abcdef",
            command=["./bootstrap"],
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin", **(environment or {})},
            code=code,
            layers=[],
            scratch=scratch,
            memory_mib=128,
            ephemeral_storage_mib=512,
            runtime_files=tmp_path,
        )

    return make
