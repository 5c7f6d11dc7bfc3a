"""Write docs/cli.md from the commands' own help: `python -m lambdabox.cli.reference`.

A test compares the page with the code, so the page cannot promise an option that is not
there, and a change of any help text is seen in review.
"""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from lambdabox.cli.main import app

WIDTH = 100
HEAD = """# The command line

Made by `make cli-reference` from the commands' own help; a test keeps it so.

## What holds for all commands

- Results go to stdout, everything else to stderr, so that a pipe carries results only.
- `--json` prints one JSON document on stdout and nothing else. What goes on until it is \
stopped (`dev`, `logs --follow`) prints one JSON object a line.
- The exit status is 0 when all went well, 1 when something failed or the function did, 2 for \
options that cannot be used, and 130 after Ctrl-C where that is no ordinary end.
- An error is one line that starts with `error:` and says what to do.
- Commands talk to a node by AWS's API, so most of them work with AWS itself: give its \
endpoint. `up`, `doctor`, `cost` and `top` know lambdabox alone.
- Credentials and region are those configured for AWS, if any. An access key id of twelve \
digits is an account of the node.

## Completion

`lambdabox --install-completion` lets bash, zsh, fish and PowerShell complete commands, \
options, the names of functions on the node, and those of event templates; `lambdabox \
--show-completion` prints the script instead.
"""


def page() -> str:
    """Return the whole page."""
    sections = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps()]
    return "\n".join([HEAD, *sections])


def helps() -> Iterator[tuple[str, str]]:
    """Yield each command with its help, groups' commands by both names."""
    group: Any = get_command(app)
    yield from _helps(group, "lambdabox", None)


def _helps(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    context = command.context_class(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    lines = command.get_help(context).splitlines()
    yield context.command_path, "\n".join(line.rstrip() for line in lines).strip()
    for each in getattr(command, "commands", {}).values():
        yield from _helps(each, each.name, context)


if __name__ == "__main__":
    print(page(), end="")
