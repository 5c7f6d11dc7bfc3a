"""`lambdabox tune`, `cost` and `top` against a node: what they measure, and what they leave."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.functions import ACCOUNT, MakeFunction, invoke
from support.node import Node
from typer.testing import CliRunner, Result

from lambdabox.cli.main import app
from lambdabox.domain.prices import price

FAILS_WHEN_SMALL = """
import os

def handler(event, context):
    if os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128":
        raise ValueError("too small")
"""


def run(node: Node, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--endpoint", node.url])


def memory_of(client: Any, name: str) -> int:
    size: int = client.get_function_configuration(FunctionName=name)["MemorySize"]
    return size


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_tuning_measures_each_size_and_gives_the_memory_back(
    node: Node, lambda_client: Any, make_function: MakeFunction, log_format: str
) -> None:
    name = make_function(MemorySize=192, LoggingConfig={"LogFormat": log_format})
    arguments = ("tune", name, "--memory", "256,128", "--invocations", "2", "--json")
    result = run(node, *arguments)
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told.keys() == {"FunctionName", "For", "Sizes", "Best", "Applied"}
    assert [each["MemorySize"] for each in told["Sizes"]] == [128, 256]
    for each in told["Sizes"]:
        assert each["SlowestMilliseconds"] >= each["DurationMilliseconds"] > 0
        assert each["InitMilliseconds"] > 0
        assert each["CostOfMillion"] >= float(
            price("x86_64", each["MemorySize"], 512, 1_000_000, 1_000_000)
        )
    assert told["Best"] in (128, 256)
    assert memory_of(lambda_client, name) == 192


def test_the_best_is_applied(node: Node, lambda_client: Any, make_function: MakeFunction) -> None:
    name = make_function(MemorySize=192)
    result = run(node, "tune", name, "--memory", "320", "--invocations", "1", "--apply")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[1].startswith("320 MiB")
    assert memory_of(lambda_client, name) == 320


def test_a_function_that_fails_ends_the_tuning_with_its_own_memory(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function(FAILS_WHEN_SMALL, MemorySize=192)
    result = run(node, "tune", name, "--memory", "128,256", "--invocations", "1")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "error: the function failed with 128 MiB: ValueError: too small"
    )
    assert memory_of(lambda_client, name) == 192


@pytest.mark.parametrize("sizes", ["", "64", "128,much", "20480"])
def test_sizes_that_lambda_does_not_have_are_refused(node: Node, sizes: str) -> None:
    result = run(node, "tune", "any", "--memory", sizes)
    assert result.exit_code == 1
    assert "give sizes from 128 to 10240 MiB" in result.stderr


def test_the_bill_is_told_by_function_with_a_total(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function()
    for _ in range(3):
        invoke(lambda_client, name)
    bill = json.loads(run(node, "cost", "--days", "1", "--json").stdout)
    assert bill.keys() == {"Currency", "Days", "Functions", "Total"}
    (row,) = [each for each in bill["Functions"] if each["FunctionName"] == name]
    assert row.keys() == {
        "FunctionName", "Invocations", "Errors", "BilledMilliseconds", "GBSeconds", "Cost",
    }  # fmt: skip
    assert row["Invocations"] == 3
    costs = [each["Cost"] for each in bill["Functions"]]
    assert costs == sorted(costs, reverse=True)
    assert bill["Total"] == pytest.approx(sum(costs))
    table = run(node, "cost").stdout.splitlines()
    assert table[0].split()[:2] == ["FUNCTION", "INVOCATIONS"]
    assert table[-1].startswith("total ")


def test_top_shows_every_function_and_what_it_did(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function(MemorySize=192)
    invoke(lambda_client, name)
    told = json.loads(run(node, "top", "--interval", "0.2", "--json").stdout)
    assert told.keys() == {"Seconds", "Environments", "Functions"}
    (line,) = [each for each in told["Functions"] if each["FunctionName"] == name]
    assert line == {
        "FunctionName": name,
        "State": "Active",
        "MemorySize": 192,
        "InvocationsPerSecond": 0.0,
        "Errors": 0,
        "AverageBilledMilliseconds": None,
        "InvocationsOfDay": 1,
        "CostOfDay": line["CostOfDay"],
    }
    assert line["CostOfDay"] > 0
    shown = run(node, "top", "--interval", "0.2", "--once").stdout
    assert any(row.startswith(f"{name} ") for row in shown.splitlines())


def test_another_account_sees_its_own_bill(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(int(ACCOUNT) + 123_456_789_012))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert json.loads(run(node, "cost", "--json").stdout)["Functions"] == []
