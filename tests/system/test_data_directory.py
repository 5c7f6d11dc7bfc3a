"""Data directories wherever and whosever they are, and the surroundings a node starts in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.deploying import create, invoke
from support.node import running
from support.programs import missing

SOURCE = "def handler(event, context): return 'ran'"


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        missing("this needs root")


@pytest.fixture
def barred(tmp_path: Path) -> Path:
    """A directory that only root may enter."""
    directory = tmp_path / "barred"
    directory.mkdir(mode=0o700)
    return directory


def owners(directory: Path) -> set[int]:
    return {path.lstat().st_uid for path in (directory, *directory.rglob("*"))}


def test_what_a_node_of_plain_processes_made_as_root_is_taken_over(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for turn in range(2):
        with running(data, settings={"isolation": "process"}) as node:
            create(node.client(), f"one{turn}", SOURCE)
            assert invoke(node.client(), f"one{turn}") == b'"ran"'
        assert 0 in owners(data)
        with running(data) as node:
            assert invoke(node.client(), f"one{turn}") == b'"ran"'
            assert Path(f"/proc/{node.pid}").stat().st_uid == (data / "state.db").stat().st_uid
        assert (data / "state.db").stat().st_uid != 0


def test_a_relative_directory_below_one_that_only_root_may_enter(barred: Path) -> None:
    (barred / "some").mkdir()
    with running(Path("some/data"), cwd=barred) as node:
        create(node.client(), "one", SOURCE)
        assert invoke(node.client(), "one") == b'"ran"'
    assert (barred / "some" / "data" / "state.db").exists()


def test_a_directory_behind_links_that_only_root_can_follow(barred: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "real"
    real.mkdir(parents=True)
    (barred / "first").symlink_to(tmp_path / "elsewhere")
    (barred / "second").symlink_to("first/real")
    with running(barred / "second" / "data") as node:
        create(node.client(), "one", SOURCE)
        assert invoke(node.client(), "one") == b'"ran"'
    assert (real / "data" / "state.db").exists()


def test_settings_interpreters_and_packages_below_a_directory_only_root_may_enter(
    barred: Path,
) -> None:
    packages = barred / "packages"
    packages.mkdir()
    (packages / "brought.py").write_text("value = 'along'")
    home = barred / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    config = barred / "settings.toml"
    config.write_text(
        f'python_packages = "packages"\n[interpreters]\n"python3.11" = "{home}/bin/python"\n'
    )
    option = ["--config", "settings.toml"]
    with running(barred / "data", cwd=barred, options=option) as node:
        create(
            node.client(),
            "one",
            "import brought\ndef handler(event, context):\n return brought.value",
        )
        assert invoke(node.client(), "one") == b'"along"'


def test_a_node_starts_without_standard_streams(tmp_path: Path) -> None:
    prefix = ["sh", "-c", 'exec "$@" <&-', "sh"]
    with running(tmp_path / "data", prefix=prefix) as node:
        create(node.client(), "one", SOURCE)
        assert invoke(node.client(), "one") == b'"ran"'


def test_a_port_that_only_root_may_bind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, options=["--port", "987"]) as node:
        assert node.url.endswith(":987")
        assert Path(f"/proc/{node.pid}").stat().st_uid != 0
