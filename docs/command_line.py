"""Write the page of the command line from the commands' own help, whenever pages are built.

A hook of MkDocs: what is made of the program cannot be older than the program.
"""

from collections.abc import Iterator

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.testing import CliRunner

from lambdabox.cli.main import app

PAGE = "command-line.md"
INTRODUCTION = """# Command line

Commands find the node by `--endpoint`, `LAMBDABOX_ENDPOINT` or `AWS_ENDPOINT_URL`.
Without these it is `http://127.0.0.1:4566`.
Results go to stdout, all else to stderr; a failure is one line and a status other than 0.
`lambdabox --install-completion` makes the shell complete commands and options.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """Return the page: each command's help, word for word."""
    parts = [INTRODUCTION.rstrip()]
    for words in commands(typer.main.get_command(app), ()):
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="lambdabox")
        if shown.exit_code != 0:
            raise shown.exception or RuntimeError(shown.output)
        parts += [f"## {' '.join(('lambdabox', *words))}", f"```text\n{shown.output.rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def commands(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The command, then what is below it, by the words one types."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))
