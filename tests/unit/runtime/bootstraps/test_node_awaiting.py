"""A Node.js bootstrap that is started before it has a function."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bootstrap_harness import BOOTSTRAPS, Frame, Sandbox, sandbox
from support.programs import needed

AWAITING = {"LAMBDABOX_AWAITS_FUNCTION": "1", "LEFT_OVER": "1", "LANG": "C"}
TELLING = """
exports.handler = async () => ({
  cwd: process.cwd(),
  environment: process.env,
  hours: new Date(0).getHours(),
});
"""


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Sandbox]:
    command = [needed("node"), str(BOOTSTRAPS / "node" / "bootstrap.mjs")]
    (tmp_path / "elsewhere").mkdir()
    with sandbox(command, tmp_path / "elsewhere", {}, handler="", environment=AWAITING) as box:
        yield box


def test_it_becomes_the_function_that_it_is_given(waiting: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text(TELLING)
    variables = {"_HANDLER": "index.handler", "OWN": "é", "TZ": "Asia/Tokyo"}
    waiting.assign(tmp_path, **variables)
    waiting.ready()
    found = waiting.invoke().value
    assert found["cwd"] == str(tmp_path)
    assert found["hours"] == 9
    environment = found["environment"]
    assert environment.pop("NODE_PATH")
    assert environment == {"LAMBDA_TASK_ROOT": str(tmp_path), **variables}


def test_it_reads_an_order_that_comes_in_pieces(waiting: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text(TELLING)
    waiting.assign(tmp_path, _HANDLER="index.handler", LONG="x" * 500_000)
    waiting.ready()
    assert len(waiting.invoke().value["environment"]["LONG"]) == 500_000


def test_what_is_wrong_with_the_function_is_told_as_ever(waiting: Sandbox, tmp_path: Path) -> None:
    waiting.assign(tmp_path, _HANDLER="index.handler")
    failed = waiting.receive()
    assert failed is not None
    assert failed.kind == "X"
    assert failed.error_type == "Runtime.ImportModuleError"
    assert waiting.status() == 1


def test_it_ends_in_silence_when_nobody_needs_it(waiting: Sandbox) -> None:
    assert waiting.end() == ""
    assert waiting.process.returncode == 0


def test_another_frame_ends_it(waiting: Sandbox) -> None:
    waiting.send_raw(b"\0\0\0\0I")
    assert waiting.receive() is None
    assert waiting.status() == 1


def test_a_process_with_a_function_waits_for_no_order(tmp_path: Path) -> None:
    command = [needed("node"), str(BOOTSTRAPS / "node" / "bootstrap.mjs")]
    with sandbox(command, tmp_path, {"index.js": TELLING}, handler="index.handler") as box:
        assert box.receive() == Frame("N", b"")
