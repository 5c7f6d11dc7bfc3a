"""An interpreter that cannot serve is told to whoever asks, and not tried without end."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.wardens import running_warden

from lambdabox.domain.errors import ServiceException
from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.warden import flavours
from lambdabox.isolation.warden.view import View
from lambdabox.ports import SandboxSpec

pytestmark = pytest.mark.anyio


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[NamespaceDriver]:
    data = tmp_path / "data"
    async with running_warden(data) as connection:
        driver = NamespaceDriver(connection, data / "staged")
        yield driver
        driver.close()


def spec(tmp_path: Path, interpreter: Path, executable: Path) -> SandboxSpec:
    code, scratch = tmp_path / "data" / "staged" / "code", tmp_path / "scratch"
    code.mkdir(exist_ok=True, parents=True)
    return SandboxSpec(
        id="0123456789abcdef", command=[str(executable)], environment={}, code=code, layers=[],
        scratch=scratch, memory_mib=128, ephemeral_storage_mib=512, runtime_files=tmp_path,
        interpreter=interpreter, executable=executable, account="000000000000", is_forkable=True,
    )  # fmt: skip


def broken(tmp_path: Path, script: str) -> SandboxSpec:
    """An installation whose interpreter is a shell script."""
    executable = tmp_path / "python" / "bin" / "python3"
    library = tmp_path / "python" / "lib" / "python3.11"
    for directory in (executable.parent, library):
        directory.mkdir(parents=True)
    (library / "os.py").touch()
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    return spec(tmp_path, tmp_path / "python", executable)


async def test_everybody_who_waits_is_told_and_it_is_tried_once(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wanted = broken(tmp_path, "echo tried >&2; exit 3")
    async with running_warden(tmp_path / "data") as connection:
        driver = NamespaceDriver(connection, tmp_path / "data" / "staged")
        for _ in range(2):
            starts = [driver.start(wanted) for _ in range(5)]
            for result in await asyncio.gather(*starts, return_exceptions=True):
                assert isinstance(result, ServiceException)
                assert str(wanted.executable) in result.message
                assert "status 3" in result.message
        driver.close()
    said = capfd.readouterr().err
    assert said.count("tried\n") == 1
    assert said.count("cannot be made") == 1


async def test_one_that_cannot_be_executed_is_told_with_the_reason(
    driver: NamespaceDriver, tmp_path: Path
) -> None:
    wanted = broken(tmp_path, "")
    assert wanted.executable is not None
    wanted.executable.write_text("#!/nowhere/sh\n")
    with pytest.raises(ServiceException, match="No such file or directory"):
        await driver.start(wanted)


def test_a_mended_interpreter_is_tried_after_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = flavours.Kind("", "/opt/python", "/opt/python/bin/python3")
    flavour = flavours.Flavour(kind, View((), {}, {}), packages="", is_root=True)
    flavour.lost()
    assert flavour.refusal is not None
    later = time.monotonic() + flavours.PAUSE_SECONDS
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: later)
        assert flavour.refusal is None
