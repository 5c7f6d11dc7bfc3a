"""The options that several commands share, declared once so they read the same everywhere.

Typer reads the environment for them, and names the variables in the help.
"""

from typing import Annotated

import typer

from lambdabox.cli.completion import complete_function

DEFAULT_ENDPOINT = "http://127.0.0.1:4566"

Endpoint = Annotated[
    str,
    typer.Option(
        "--endpoint",
        envvar=["LAMBDABOX_ENDPOINT", "AWS_ENDPOINT_URL"],
        help="Address of the node.",
        metavar="URL",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        help="AWS region to name in requests. [default: as configured for AWS, else us-east-1]",
        metavar="REGION",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, as things happen.")
]
FunctionName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Function name or ARN.", autocompletion=complete_function),
]
