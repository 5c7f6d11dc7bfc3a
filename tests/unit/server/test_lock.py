"""One node per data directory, however the node before it ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lambdabox.server.lock import DataDirectoryInUse, hold

HOLDER = """
import sys
from pathlib import Path
from lambdabox.server.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_is_held_once_and_the_holder_is_named(tmp_path: Path) -> None:
    with (
        hold(tmp_path),
        pytest.raises(DataDirectoryInUse, match=rf"process {os.getpid()}\).*--data-dir"),
        hold(tmp_path),
    ):
        pytest.fail("held twice")


def test_a_refusal_does_not_take_the_lock_away(tmp_path: Path) -> None:
    with hold(tmp_path):
        for _ in range(2):
            with pytest.raises(DataDirectoryInUse), hold(tmp_path):
                pytest.fail("held twice")


def test_a_directory_is_free_again_after_the_block_even_a_failed_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broke"), hold(tmp_path):
        raise ValueError("broke")
    with hold(tmp_path):
        pass


def test_directories_are_held_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with hold(tmp_path), hold(tmp_path / "other"):
        pass


def test_another_process_is_refused_for_and_its_death_frees_the_directory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataDirectoryInUse, match=f"process {holder.pid}"), hold(tmp_path):
            pytest.fail("held twice")
        holder.send_signal(signal.SIGKILL)
    with hold(tmp_path):
        pass


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    with hold(tmp_path):
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
        )
        # It lets go of descriptors a moment after its parent goes on.
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
    with child, hold(tmp_path):
        pass


def test_a_longer_number_of_an_earlier_holder_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("99999999999999\n")
    with hold(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
