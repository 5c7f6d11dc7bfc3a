"""`lambdabox top`: what is running now, refreshed until Ctrl-C.

Figures of a moment are differences of what the node has counted: a look every second or
two, each compared with the one before it.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node

if TYPE_CHECKING:
    from rich.table import Table

_HEADINGS = ("Function", "State", "Memory", "Per second", "Errors", "Billed avg", "In 24 h", "Cost")
_NOTHING: Mapping[str, Any] = {"Invocations": 0, "Errors": 0, "BilledMilliseconds": 0, "Cost": 0.0}


@dataclass(frozen=True, slots=True)
class Look:
    """What the node has counted until one moment."""

    at: float
    health: Mapping[str, Any]
    functions: Sequence[Mapping[str, Any]]
    usage: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """One function between two looks."""

    name: str
    state: str
    memory_mib: int
    rate: float
    errors: int
    billed_ms: float | None
    """By invocation; None if there was none."""
    invocations: int
    cost: float


def top(
    *,
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table, and end.")] = False,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Show functions, environments, rates and durations as they change.

    Without a terminal, and with --json, it looks twice and prints once.

    \b
    Example:
      lambdabox top
    """
    node = Node(endpoint, region)
    before = look(node)
    if json_ or once or not sys.stdout.isatty():
        time.sleep(interval)
        now = look(node)
        if json_:
            output.as_json(document(before, now))
        else:
            output.result(summary(now))
            output.table(_HEADINGS, [cells(line) for line in lines(before, now)])
        return
    try:
        _live(node, before, interval)
    except KeyboardInterrupt:
        return


def look(node: Node) -> Look:
    functions = [each for page in node.pages("ListFunctions") for each in page["Functions"]]
    usage = node.platform("usage?days=1")["Functions"]
    return Look(
        time.monotonic(), node.platform("health"), functions,
        {row["FunctionName"]: row for row in usage},
    )  # fmt: skip


def lines(before: Look, now: Look) -> list[Line]:
    """Return what each function did between two looks, the busiest first."""
    seconds = max(now.at - before.at, 0.001)
    found = [_line(function, before, now, seconds) for function in now.functions]
    return sorted(found, key=lambda line: (-line.rate, -line.invocations, line.name))


def _line(function: Mapping[str, Any], before: Look, now: Look, seconds: float) -> Line:
    name = function["FunctionName"]
    was, is_ = before.usage.get(name, _NOTHING), now.usage.get(name, _NOTHING)
    # What has left the last 24 hours meanwhile makes a difference negative.
    ran = max(0, is_["Invocations"] - was["Invocations"])
    billed = max(0, is_["BilledMilliseconds"] - was["BilledMilliseconds"])
    return Line(
        name=name,
        state=function.get("State", "Active"),
        memory_mib=function["MemorySize"],
        rate=ran / seconds,
        errors=max(0, is_["Errors"] - was["Errors"]),
        billed_ms=billed / ran if ran else None,
        invocations=is_["Invocations"],
        cost=is_["Cost"],
    )


def cells(line: Line) -> tuple[str, ...]:
    return (
        line.name,
        line.state,
        f"{line.memory_mib} MiB",
        f"{line.rate:,.1f}",
        f"{line.errors:,}",
        "-" if line.billed_ms is None else f"{line.billed_ms:,.0f} ms",
        f"{line.invocations:,}",
        output.dollars(line.cost),
    )


def summary(now: Look) -> str:
    health = now.health
    return (
        f"{len(now.functions)} functions, {health.get('environments', 0)} environments, "
        f"isolation {health.get('isolation')}, lambdabox {health.get('version')}"
    )


def document(before: Look, now: Look) -> dict[str, Any]:
    return {
        "Seconds": round(now.at - before.at, 3),
        "Environments": now.health.get("environments"),
        "Functions": [
            {
                "FunctionName": line.name,
                "State": line.state,
                "MemorySize": line.memory_mib,
                "InvocationsPerSecond": round(line.rate, 3),
                "Errors": line.errors,
                "AverageBilledMilliseconds": line.billed_ms,
                "InvocationsOfDay": line.invocations,
                "CostOfDay": line.cost,
            }
            for line in lines(before, now)
        ],
    }


def _live(node: Node, before: Look, interval: float) -> None:
    from rich.live import Live  # deferred, as in `output`

    with Live(_drawn(before, before), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            now = look(node)
            live.update(_drawn(before, now), refresh=True)
            before = now


def _drawn(before: Look, now: Look) -> "Table":
    from rich import box  # deferred, as in `output`
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, title=summary(now), title_justify="left", expand=True)
    for number, heading in enumerate(_HEADINGS):
        drawn.add_column(heading, justify="left" if number < 2 else "right")
    for line in lines(before, now):
        style = "red" if line.errors else "bold" if line.rate else "dim"
        drawn.add_row(*(Text(cell) for cell in cells(line)), style=style)
    return drawn
