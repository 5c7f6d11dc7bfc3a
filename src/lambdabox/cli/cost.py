"""`lambdabox cost`: what the functions' invocations would have cost on AWS."""

from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node

_HEADINGS = ("Function", "Invocations", "Errors", "Billed", "GB-seconds", "Cost on AWS")


def cost(
    *,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days back.")] = 30,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Tell what the functions would have cost on AWS, the dearest first.

    By the prices of us-east-1, without the free tier.

    \b
    Example:
      lambdabox cost --days 7
    """
    bill = Node(endpoint, region).platform(f"usage?days={days}")
    rows = sorted(bill["Functions"], key=lambda row: -row["Cost"])
    if json_:
        output.as_json({**bill, "Functions": rows, "Total": sum(row["Cost"] for row in rows)})
    elif rows:
        output.table(_HEADINGS, [*map(_row, rows), _total(rows)])
    else:
        output.note(f"Nothing has run in the last {days} days.")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["FunctionName"],
        f"{row['Invocations']:,}",
        f"{row['Errors']:,}",
        f"{row['BilledMilliseconds'] / 1000:,.1f} s",
        f"{row['GBSeconds']:,.3f}",
        output.dollars(row["Cost"]),
    )


def _total(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    keys = ("Invocations", "Errors", "BilledMilliseconds", "GBSeconds", "Cost")
    sums = {key: sum(row[key] for row in rows) for key in keys}
    return _row({"FunctionName": "total", **sums})
