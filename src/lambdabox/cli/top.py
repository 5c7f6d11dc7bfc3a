"""`lambdabox top`: what is running now, refreshed until Ctrl-C.

The node's own figures of the last minutes, joined with the list of functions, so that those
which nobody calls are seen too.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node

if TYPE_CHECKING:
    from rich.table import Table

_HEADINGS = (
    "Function", "State", "Running", "Per second", "Errors", "Throttles", "Cold", "p50", "p95",
    "Memory used", "Cost",
)  # fmt: skip
_IDLE = {"Running": 0, "Invocations": 0, "Errors": 0, "Throttles": 0, "ColdStarts": 0}

Page = Mapping[str, Any]


def top(
    *,
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between looks.")] = 1.0,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How far back figures go.")] = 5,
    once: Annotated[bool, typer.Option("--once", help="Print one table, and end.")] = False,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Show functions, environments, rates and durations as they change.

    Without a terminal, and with --json, it looks once.

    \b
    Example:
      lambdabox top --minutes 1
    """
    node = Node(endpoint, region)
    page = look(node, minutes)
    if json_:
        output.as_json(page)
    elif once or not sys.stdout.isatty():
        output.result(summary(page))
        output.table(_HEADINGS, [cells(row, page["Seconds"]) for row in page["Functions"]])
    else:
        try:
            _live(node, page, minutes, interval)
        except KeyboardInterrupt:
            return


def look(node: Node, minutes: int) -> Page:
    """Return the node's page, with every function in it."""
    functions = [each for page in node.pages("ListFunctions") for each in page["Functions"]]
    return joined(node.platform(f"top?minutes={minutes}"), functions)


def joined(page: Page, functions: Sequence[Page]) -> Page:
    """Return the page with every function and its state, the busiest first."""
    rows = {row["FunctionName"]: {**row, "State": "Deleted"} for row in page["Functions"]}
    for function in functions:
        name = function["FunctionName"]
        row = rows.get(name, {"FunctionName": name, **_IDLE})
        rows[name] = {**row, "State": function.get("State", "Active")}
    busiest = sorted(
        rows.values(),
        key=lambda row: (-row["Running"], -row["Invocations"], row["FunctionName"]),
    )
    return {**page, "Functions": busiest}


def cells(row: Page, seconds: float) -> tuple[str, ...]:
    """Return a row of the table; a dash where nothing has run."""
    name, state = row["FunctionName"], row["State"]
    if not row["Invocations"]:
        return (name, state, str(row["Running"]), *("-" for _ in _HEADINGS[3:]))
    return (
        name,
        state,
        f"{row['Running']:,}",
        f"{row['Invocations'] / seconds:,.2f}",
        f"{row['Errors']:,}",
        f"{row['Throttles']:,}",
        f"{row['ColdStarts']:,}",
        f"{row['DurationP50']:,.1f} ms",
        f"{row['DurationP95']:,.1f} ms",
        f"{row['MemoryUsed']} of {row['MemorySize']} MiB",
        output.dollars(row["Cost"]),
    )


def summary(page: Page) -> str:
    environments = ", ".join(f"{count} {state}" for state, count in page["Environments"].items())
    return (
        f"Functions: {len(page['Functions'])}; environments: {environments or 'none'}; "
        f"queued events: {page['QueuedEvents']}; figures of the last {page['Seconds']} s"
    )


def _live(node: Node, page: Page, minutes: int, interval: float) -> None:
    from rich.live import Live  # deferred, as in `output`

    with Live(_drawn(page), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(_drawn(look(node, minutes)), refresh=True)


def _drawn(page: Page) -> "Table":
    from rich import box  # deferred, as in `output`
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        box=box.SIMPLE_HEAD,
        title=summary(page),
        title_justify="left",
        expand=True,
        collapse_padding=True,
    )
    for number, heading in enumerate(_HEADINGS):
        drawn.add_column(heading, justify="left" if number < 2 else "right")
    for row in page["Functions"]:
        style = "red" if row["Errors"] else "bold" if row["Running"] else ""
        drawn.add_row(*(Text(cell) for cell in cells(row, page["Seconds"])), style=style)
    return drawn
