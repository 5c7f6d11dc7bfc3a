"""A node gets ready quickly and says so, or says in one line why it cannot start."""

import contextlib
import json
import re
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.node import PROGRAM, Node, running

READY_WITHIN = 10.0
"""Generous, for a machine busy with other tests; benchmarks measure what it takes."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("start") / "data") as node:
        yield node


def refusal(*arguments: str | Path) -> str:
    """Start a node that must refuse to start, and return the one line it says."""
    ended = subprocess.run(
        [PROGRAM, "up", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_node_tells_its_address_on_stdout_when_it_is_ready(tmp_path: Path) -> None:
    began = time.monotonic()
    with running(tmp_path / "data") as node:
        assert time.monotonic() - began < READY_WITHIN
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", node.url)
        assert "ready" not in node.log  # stderr has the rest, so that scripts can read stdout


def test_health_says_ready_and_what_the_node_is(node: Node) -> None:
    with urllib.request.urlopen(f"{node.url}/_lambdabox/health") as response:
        health = json.load(response)
    assert health["status"] == "ready"
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", health["version"])
    assert health["services"] == {"lambda": "ready", "logs": "ready", "cloudformation": "ready"}
    assert health["environments"] == 0
    assert health["dropped"] == {"log_lines": 0, "usage_records": 0}


def test_a_second_node_on_the_same_data_directory_is_refused(node: Node) -> None:
    line = refusal("--port", "0", "--data-dir", node.data_dir)
    assert f"The data directory {node.data_dir} is in use" in line
    assert f"process {node.pid}" in line
    assert "--data-dir" in line


def test_a_port_in_use_is_refused(node: Node, tmp_path: Path) -> None:
    port = node.url.rpartition(":")[2]
    line = refusal("--port", port, "--data-dir", tmp_path / "other")
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in line
    assert "--port" in line


def test_a_schema_newer_than_the_code_is_refused_and_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
    line = refusal("--port", "0", "--data-dir", tmp_path)
    assert "has schema 9999" in line
    assert "knows schemas up to" in line
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert tables == [("alembic_version",)]


def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("portt = 1")
    line = refusal("--config", tmp_path / "settings.toml", "--data-dir", tmp_path / "data")
    assert "There is no setting named 'portt'" in line
    assert not (tmp_path / "data").exists()
