"""`lambdabox cost`: what the functions would have cost on AWS, and what of it was for nothing."""

from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node

_HEADINGS = ("Function", "Invocations", "GB-seconds", "Memory used", "Cost on AWS", "Of it wasted")


def cost(
    *,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days back.")] = 30,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Tell what the functions would have cost on AWS, the dearest first.

    By the prices of us-east-1, without the free tier. Wasted is what memory that was never
    used and idle provisioned environments cost.

    \b
    Example:
      lambdabox cost --days 7
    """
    costs = Node(endpoint, region).platform(f"costs?days={days}")
    rows = sorted(costs["Functions"], key=lambda row: -row["Cost"]["Total"])
    if json_:
        output.as_json({**costs, "Functions": rows})
    elif rows:
        total = (
            "total",
            "",
            "",
            "",
            output.dollars(costs["Total"]),
            output.dollars(costs["Waste"]),
        )
        output.table(_HEADINGS, [*map(_row, rows), total])
    else:
        output.note(f"Nothing has run in the last {days} days.")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["FunctionName"],
        f"{row['Invocations']:,}",
        f"{row['GBSeconds']:,.3f}",
        f"{row['MemoryUsed']} of {row['MemorySize']} MiB",
        output.dollars(row["Cost"]["Total"]),
        output.dollars(row["Waste"]["Total"]),
    )
