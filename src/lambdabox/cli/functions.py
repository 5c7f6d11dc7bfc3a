"""`lambdabox functions` and `lambdabox delete`: what there is, and how to be rid of it."""

import sys
from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node
from lambdabox.cli.output import CommandError

MASK = "****"
_HEADINGS = ("Name", "Runtime", "Handler", "Memory", "Timeout", "Size", "Modified")


def functions(
    *,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    show_variables: Annotated[
        bool, typer.Option("--show-variables", help="Show environment variables with --json.")
    ] = False,
    json_: options.Json = False,
) -> None:
    """List the functions. The values of their environment variables are masked.

    \b
    Example:
      lambdabox functions --json | jq -r '.[].FunctionName'
    """
    node = Node(endpoint, region)
    found = [each for page in node.pages("ListFunctions") for each in page["Functions"]]
    if json_:
        output.as_json(found if show_variables else [masked(each) for each in found])
    elif found:
        output.table(_HEADINGS, [row(each) for each in found])
    else:
        output.note("No functions yet. Deploy one: lambdabox deploy DIR")


def masked(function: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of a function to whoever has not asked for its secrets."""
    environment = function.get("Environment", {})
    if "Variables" not in environment:
        return function
    variables = dict.fromkeys(environment["Variables"], MASK)
    return {**function, "Environment": {**environment, "Variables": variables}}


def row(function: dict[str, Any]) -> tuple[str, ...]:
    return (
        function["FunctionName"],
        function.get("Runtime", "-"),
        function.get("Handler", "-"),
        f"{function['MemorySize']} MiB",
        f"{function['Timeout']} s",
        output.size(function["CodeSize"]),
        function["LastModified"][:16].replace("T", " "),
    )


def delete(
    name: options.FunctionName,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Delete a function with all its versions.

    \b
    Example:
      lambdabox delete hello --yes
    """
    if not yes:
        _ask(name)
    Node(endpoint, region).functions("DeleteFunction", FunctionName=name)
    if json_:
        output.as_json({"Deleted": name})
    else:
        output.note(f"Deleted {name}.")


def _ask(name: str) -> None:
    if not _is_terminal():
        raise CommandError(f"not deleting {name} unasked: add --yes, as there is no terminal")
    if not typer.confirm(f"Delete {name} with all its versions?", err=True):
        raise CommandError(f"{name} is kept")


def _is_terminal() -> bool:
    return sys.stdin.isatty()
