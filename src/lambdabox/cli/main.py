"""The `lambdabox` command: its sub-commands, and how a failure is told.

Every failure ends as one line on stderr and a status other than 0. Help is plain text,
the same in a terminal and a pipe, which also keeps rich out of the start.
"""

import platform
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lambdabox import __version__
from lambdabox.cli import options, output
from lambdabox.cli.cost import cost
from lambdabox.cli.deploy import deploy
from lambdabox.cli.dev import dev
from lambdabox.cli.doctor import doctor
from lambdabox.cli.exporting import export
from lambdabox.cli.functions import delete, functions
from lambdabox.cli.importing import import_
from lambdabox.cli.invoke import invoke
from lambdabox.cli.layers import layers
from lambdabox.cli.logs import logs
from lambdabox.cli.output import CommandError
from lambdabox.cli.sign import sign
from lambdabox.cli.templates import templates
from lambdabox.cli.top import top
from lambdabox.cli.tune import tune
from lambdabox.cli.up import up


class Commands(TyperGroup):
    """The sub-commands; turns what they raise into one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as exc:
            output.fail(str(exc))
        except OSError as exc:
            if exc.filename is None:
                raise
            output.fail(f"{exc.filename}: {exc.strerror}")
        raise typer.Exit(1)


app = typer.Typer(
    cls=Commands,
    help="AWS Lambda on your own machines.",
    epilog="Start with `lambdabox up`, then `lambdabox deploy DIR` in another terminal.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (
    up, deploy, dev, invoke, templates, logs, functions, delete, top, cost, tune, export,
    sign, doctor,
):  # fmt: skip
    app.command()(command)
app.command("import")(import_)

app.add_typer(layers, name="layers")


@app.command()
def version(json_: options.Json = False) -> None:
    """Print the version.

    \b
    Example:
      lambdabox version --json
    """
    if json_:
        output.as_json({"lambdabox": __version__, "python": platform.python_version()})
    else:
        output.result(f"lambdabox {__version__}")


def _print_version(wanted: bool) -> None:
    if wanted:
        output.result(f"lambdabox {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """AWS Lambda on your own machines."""


def run() -> None:
    """Entry point of the `lambdabox` command."""
    app()


if __name__ == "__main__":
    run()
