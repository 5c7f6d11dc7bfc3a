"""What keeps a node from starting is said in words; tests/system sees the rest from outside."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lambdabox.server.config import Settings
from lambdabox.server.node import StartError, run


@pytest.fixture(autouse=True)
def _come_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A node leaves the directory it was started in, and makes files for itself alone."""
    monkeypatch.chdir("/")
    mask = os.umask(0o022)
    yield
    os.umask(mask)


def refusal(settings: Settings) -> str:
    # Another isolation would have this process give up root.
    settings = replace(settings, isolation="process")
    with pytest.raises(StartError) as error:
        run(settings)
    return str(error.value)


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(Settings(port=port, data_dir=tmp_path))
    assert message == (
        f"Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Another program uses the port: name another one with --port."
    )


def test_an_address_that_is_not_this_machines_is_refused(tmp_path: Path) -> None:
    message = refusal(Settings(host="192.0.2.1", port=0, data_dir=tmp_path))
    assert message.startswith("Cannot listen on 192.0.2.1:0: Cannot assign requested address.")
    assert "--host" in message


def test_a_name_that_is_no_address_is_refused(tmp_path: Path) -> None:
    message = refusal(Settings(host="300.1.2.3", port=0, data_dir=tmp_path))
    assert message.startswith("Cannot listen on 300.1.2.3:0: ")
    assert "Unknown error" not in message


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    message = refusal(Settings(port=0, data_dir=tmp_path / place))
    assert message.startswith(f"The data directory {tmp_path / place} cannot be used: ")
    assert message.endswith("Name another --data-dir.")


def test_a_data_directory_that_is_not_writable_is_refused() -> None:
    # Nobody, root included, may make a directory here.
    message = refusal(Settings(port=0, data_dir=Path("/sys/lambdabox-test")))
    assert message.startswith("The data directory /sys/lambdabox-test cannot be used: ")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    content = b"not a database, however long it is " * 100
    (tmp_path / "state.db").write_bytes(content)
    # With plain processes, for which this one need not give up root.
    message = refusal(Settings(port=0, data_dir=tmp_path, isolation="process"))
    assert message.startswith(f"{tmp_path / 'state.db'} cannot be used as a database: ")
    assert (tmp_path / "state.db").read_bytes() == content
