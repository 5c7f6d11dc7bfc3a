"""`lambdabox deploy`: the command, its options and what it says at the end."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdabox.cli import function_options, options, output
from lambdabox.cli.client import Node
from lambdabox.cli.deployment import Wanted, deploy_source
from lambdabox.cli.functions import masked
from lambdabox.cli.output import CommandError

# Of the service model, whose own message shows this expression and not the name.
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


def deploy(
    source: Annotated[
        Path, typer.Argument(metavar="DIR_OR_ZIP", help="Directory with the code, or a .zip.")
    ],
    *,
    name: function_options.Name = None,
    handler: function_options.Handler = None,
    runtime: function_options.RuntimeName = None,
    env: function_options.Env = None,
    timeout: function_options.Timeout = None,
    memory: function_options.Memory = None,
    role: function_options.Role = None,
    description: Annotated[str | None, typer.Option(help="What the function is for.")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="x86_64 or arm64. [default: this machine's]")
    ] = None,
    layer: function_options.Layers = None,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Create a function from a directory or zip, or bring it up to date.

    Installs requirements.txt or package.json into the package, guesses runtime and
    handler where they are not given, and returns once the function can be invoked.

    \b
    Example:
      lambdabox deploy ./hello --env GREETING=Hi --memory 256
    """
    wanted = Wanted(
        runtime, handler, role, architecture, description, timeout, memory,
        parse_environment(env) if env else None, layer,
    )  # fmt: skip
    node = Node(endpoint, region)
    deployed = deploy_source(node, source, name or name_for(source), wanted)
    if json_:
        output.as_json(masked(deployed))
    else:
        _tell(deployed, source)


def name_for(source: Path) -> str:
    """Return a function name made of the directory's or archive's."""
    path = source.resolve()
    name = _NOT_IN_NAMES.sub("-", path.stem if path.is_file() else path.name).strip("-")
    if not name:
        raise CommandError(f"cannot make a function name of {str(path)!r}: give --name")
    return name


def parse_environment(assignments: Sequence[str]) -> dict[str, str]:
    """Return the variables of `K=V` arguments."""
    variables = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise CommandError(f"--env {assignment!r} is not of the form NAME=VALUE")
        if not _VARIABLE.fullmatch(key):
            raise CommandError(
                f"--env {assignment!r}: Lambda wants names of two or more letters, digits and _, "
                "the first a letter"
            )
        variables[key] = value
    return variables


def _tell(deployed: Mapping[str, Any], source: Path) -> None:
    name = deployed["FunctionName"]
    output.facts(
        {
            "Name": name,
            "ARN": deployed["FunctionArn"],
            "Runtime": f"{deployed.get('Runtime', '-')}, handler {deployed.get('Handler', '-')}",
            "Size": output.size(deployed["CodeSize"]),
        }
    )
    event = source / "event.json"
    suggestion = f" --event {event}" if event.is_file() else ""
    output.note(f"\nNext: lambdabox invoke {name}{suggestion}")
