"""The isolation drivers under test, and what they are given to run."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.sandboxes import SetUp

from lambdabox.isolation.process import ProcessDriver
from lambdabox.ports import IsolationDriver, SandboxSpec


@pytest.fixture(params=["process"])
def driver(tmp_path: Path) -> IsolationDriver:
    return ProcessDriver(tmp_path / "data")


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
        code, scratch = tmp_path / "code", tmp_path / "scratch"
        code.mkdir(exist_ok=True)
        scratch.mkdir(exist_ok=True)
        bootstrap = code / "bootstrap"
        bootstrap.write_text(f"#!{sys.executable}\n{text}" if python else f"#!/bin/sh\n{text}")
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
