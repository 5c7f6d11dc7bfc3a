"""What the doctor makes of a survey of this machine's interpreters."""

import json
import platform
import sys
from pathlib import Path
from typing import cast

import pytest
from typer.testing import CliRunner

from lambdabox.cli import doctor
from lambdabox.cli.client import Node
from lambdabox.cli.main import app
from lambdabox.domain.runtimes import CREATABLE
from lambdabox.runtime.interpreters import Availability, Interpreter


def ready(name: str, version: str, warning: str | None = None) -> Availability:
    found = Interpreter(Path(f"/usr/bin/{name}"), version, warning, Path("/usr"))
    return Availability(CREATABLE[name], found, None)


def missing(name: str) -> Availability:
    return Availability(CREATABLE[name], None, f"{name} needs something.")


def test_a_row_tells_what_runs_the_runtime() -> None:
    assert doctor.row(ready("python3.12", "3.12.4")) == (
        "python3.12", "ready", "3.12.4", "/usr/bin/python3.12",
    )  # fmt: skip
    assert doctor.row(missing("ruby3.4"))[:2] == ("ruby3.4", "missing")
    provided = Availability(CREATABLE["provided.al2023"], None, None)
    assert doctor.row(provided)[1] == "ready"


def test_advice_is_given_once_for_each_family() -> None:
    found = [
        missing("nodejs24.x"), missing("python3.14"), ready("python3.13", "3.13.0"),
        missing("nodejs22.x"), missing("nodejs20.x"),
    ]  # fmt: skip
    assert doctor.advice(found) == [
        "python3.14 needs something.",
        "nodejs24.x needs something.\nThe same for nodejs22.x, nodejs20.x.",
    ]


def test_an_interpreter_of_another_version_is_pointed_out() -> None:
    found = [ready("python3.14", "3.13.0", "python3.14 is run by 3.13")]
    assert doctor.advice(found) == ["python3.14 is run by 3.13"]


def test_the_doctor_finds_what_the_node_would_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDABOX_INTERPRETERS", f"python3.14={sys.executable}")
    monkeypatch.setenv("LAMBDABOX_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor", "--endpoint", "http://127.0.0.1:1", "--json"])
    shown = json.loads(result.stdout)
    assert "cannot reach a node at http://127.0.0.1:1" in shown["node"]["status"]
    by_name = {each["runtime"]: each for each in shown["runtimes"]}
    assert by_name.keys() == CREATABLE.keys()
    assert by_name["python3.14"]["version"] == platform.python_version()
    assert by_name["provided.al2023"]["ready"] is True
    assert "does not run java21" in by_name["java21"]["problem"]


def test_mappings_whose_source_is_gone_are_told_of() -> None:
    queue, function = "arn:aws:sqs:us-east-1:000000000000:jobs", "arn:aws:lambda:f"

    def mapping(result: str | None, **more: str) -> dict[str, str]:
        shown = {} if result is None else {"LastProcessingResult": result}
        return {"UUID": "u", "FunctionArn": function, **more, **shown}

    class Pages:
        def pages(self, operation: str) -> list[dict[str, object]]:
            assert operation == "ListEventSourceMappings"
            fine = [mapping(None, EventSourceArn=queue), mapping("OK", EventSourceArn=queue)]
            bad = mapping("PROBLEM: It is gone.", EventSourceArn=queue)
            return [{"EventSourceMappings": fine}, {"EventSourceMappings": [bad]}]

    assert doctor.mapping_problems(cast("Node", Pages())) == [
        {"mapping": "u", "source": queue, "function": function, "problem": "It is gone."}
    ]


def test_settings_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("prot = 1")
    for command in ("doctor", "up"):
        result = CliRunner().invoke(app, [command, "--config", str(path)])
        assert result.exit_code == 1
        assert "There is no setting named 'prot'" in result.stderr
