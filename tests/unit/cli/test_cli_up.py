"""How the options of `up` become settings, and what is said when a node starts or cannot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lambdabox import __version__
from lambdabox.cli.main import app
from lambdabox.server import node
from lambdabox.server.config import Settings
from lambdabox.server.isolation import Isolation


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of the nodes that would have run."""
    runs: list[Settings] = []

    def run(settings: Settings, *, ready: node.Ready) -> None:
        runs.append(settings)
        ready(f"http://{settings.host}:{settings.port}", Isolation(None, ()))

    monkeypatch.setattr(node, "run", run)
    return runs


def test_options_win_over_the_file_and_the_rest_is_the_files(
    tmp_path: Path, started: list[Settings]
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('port = 5000\nregion = "eu-west-1"\n')
    arguments = ["--config", str(config), "--port", "6000", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(app, ["up", *arguments, "--log-level", "debug"])
    assert result.exit_code == 0, result.stderr
    (settings,) = started
    assert (settings.port, settings.region, settings.data_dir) == (6000, "eu-west-1", tmp_path)
    assert settings.log_level == "debug"


def test_a_ready_node_prints_its_url_alone_on_stdout(started: list[Settings]) -> None:
    result = CliRunner().invoke(app, ["up", "--port", "6000"])
    (line,) = result.stdout.splitlines()
    assert line.endswith("is ready at http://127.0.0.1:6000")
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:6000" in result.stderr


def test_a_ready_node_is_told_as_json(started: list[Settings], tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["up", "--port", "6000", "--data-dir", str(tmp_path), "--json"]
    )
    assert json.loads(result.stdout) == {
        "url": "http://127.0.0.1:6000",
        "version": __version__,
        "data_dir": str(tmp_path),
        "isolation": "none: functions are plain processes",
        "network": "host",
        "lacks": [],
    }


def test_a_ready_node_says_how_functions_are_held(started: list[Settings]) -> None:
    result = CliRunner().invoke(app, ["up", "--isolation", "process", "--network", "host"])
    (settings,) = started
    assert (settings.isolation, settings.network) == ("process", "host")
    assert "Isolation  none: functions are plain processes\n" in result.stderr
    assert "Network    host: " in result.stderr


def test_a_node_that_had_to_stop_says_why_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(settings: Settings, *, ready: node.Ready) -> None:
        raise node.NodeFailedError("a process is gone")

    monkeypatch.setattr(node, "run", run)
    result = CliRunner().invoke(app, ["up"])
    assert (result.exit_code, result.stderr) == (1, "error: a process is gone\n")


def test_a_node_that_cannot_start_says_why_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(settings: Settings, *, ready: node.Ready) -> None:
        raise node.StartError("the port is taken")

    monkeypatch.setattr(node, "run", run)
    result = CliRunner().invoke(app, ["up"])
    assert (result.exit_code, result.stderr) == (1, "error: the port is taken\n")
