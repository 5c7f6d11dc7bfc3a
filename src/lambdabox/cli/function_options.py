"""The options that say how a function is to be, for the commands that deploy one."""

from typing import Annotated

import typer

Name = Annotated[
    str | None, typer.Option("--name", "-n", help="Function name. [default: the directory's]")
]
Handler = Annotated[str | None, typer.Option("--handler", help="file.function. [default: guessed]")]
RuntimeName = Annotated[
    str | None, typer.Option("--runtime", help="Such as python3.12. [default: guessed]")
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        "-e",
        metavar="K=V",
        help="Environment variable; repeat for more. Replaces all the function has.",
    ),
]
Timeout = Annotated[int | None, typer.Option(help="Seconds an invocation may take.")]
Memory = Annotated[int | None, typer.Option(help="Memory in MiB.")]
Role = Annotated[str | None, typer.Option(metavar="ARN", help="Execution role.")]
Layers = Annotated[
    list[str] | None,
    typer.Option(metavar="ARN", help="Layer version; repeat for more. Replaces all."),
]
