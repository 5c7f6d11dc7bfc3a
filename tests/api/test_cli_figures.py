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


def test_costs_are_told_by_function_with_a_total(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function()
    for _ in range(3):
        invoke(lambda_client, name)
    told = json.loads(run(node, "cost", "--days", "1", "--json").stdout)
    assert told["Currency"] == "USD"
    (row,) = [each for each in told["Functions"] if each["FunctionName"] == name]
    assert row["Invocations"] == 3
    costs = [each["Cost"]["Total"] for each in told["Functions"]]
    assert costs == sorted(costs, reverse=True)
    # Each is rounded to ten digits behind the point.
    assert told["Total"] == pytest.approx(sum(costs), abs=(len(costs) + 1) * 5e-11)
    heading, *rows, total = run(node, "cost").stdout.splitlines()
    assert heading.split()[:2] == ["FUNCTION", "INVOCATIONS"]
    assert any(each.split()[:2] == [name, "3"] for each in rows)
    assert total.startswith("total ")


def test_top_shows_what_ran_and_what_nobody_calls(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    busy, idle = make_function(MemorySize=192), make_function()
    invoke(lambda_client, busy)
    told = json.loads(run(node, "top", "--json").stdout)
    assert told.keys() == {"Seconds", "Environments", "QueuedEvents", "Functions"}
    rows = {each["FunctionName"]: each for each in told["Functions"]}
    assert (rows[busy]["State"], rows[busy]["Invocations"]) == ("Active", 1)
    assert rows[busy]["DurationP50"] > 0
    assert rows[idle]["Invocations"] == 0
    shown = run(node, "top").stdout.splitlines()
    (line,) = [each for each in shown if each.startswith(f"{busy} ")]
    assert "of 192 MiB" in line
    assert any(each.split() == [idle, "Active", "0", *"--------"] for each in shown)


def test_another_account_sees_its_own_bill(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(int(ACCOUNT) + 123_456_789_012))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert json.loads(run(node, "cost", "--json").stdout)["Functions"] == []
