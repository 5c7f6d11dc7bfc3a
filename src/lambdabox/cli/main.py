"""The `lambdabox` command: its sub-commands, and how a failure is told.

Every failure ends as one line on stderr and a status other than 0. Help is plain text,
the same in a terminal and a pipe, which also keeps rich out of the start.
"""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from lambdabox import __version__
from lambdabox.cli import options, output
from lambdabox.cli.output import CommandError

COMMANDS = {
    "up": "up:up",
    "deploy": "deploy:deploy",
    "dev": "dev:dev",
    "invoke": "invoke:invoke",
    "templates": "templates:templates",
    "logs": "logs:logs",
    "functions": "functions:functions",
    "delete": "functions:delete",
    "top": "top:top",
    "cost": "cost:cost",
    "tune": "tune:tune",
    "export": "exporting:export",
    "sign": "sign:sign",
    "doctor": "doctor:doctor",
    "import": "importing:import_",
    "version": "main:version",
    "layers": "layers:layers",
}
"""Where each sub-command is. One is imported when it runs, or when help tells of it."""


class Commands(TyperGroup):
    """The sub-commands; turns what they raise into one line."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # as typer calls it
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            for name in COMMANDS:  # for typer to say which one was meant
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

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


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(import_module(f"lambdabox.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(found)
        found = alone
    command = get_command(found)
    command.name = name
    return command


app = typer.Typer(
    cls=Commands,
    help="AWS Lambda on your own machines.",
    epilog="Start with `lambdabox up`, then `lambdabox deploy DIR` in another terminal.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def version(json_: options.Json = False) -> None:
    """Print the version.

    \b
    Example:
      lambdabox version --json
    """
    if json_:
        import platform  # deferred: a hundredth of a second, which no other command needs

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
