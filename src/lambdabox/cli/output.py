"""What the commands print, and where.

Results go to stdout, everything said along the way to stderr, so that a pipe
carries results only. On a terminal tables and progress are drawn with rich, which is
imported only then; elsewhere they are plain aligned text that `awk` and people read.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date

import typer

Say = Callable[[str], None]
"""Show what is going on now."""


class CommandError(Exception):
    """A command cannot go on. Its message is the one line the user sees."""


def result(text: str) -> None:
    typer.echo(text)


def note(text: str) -> None:
    """Say something that is not the result."""
    typer.echo(text, err=True)


def fail(message: str) -> None:
    """Say why the command failed, on one line."""
    line = " ".join(message.split())
    typer.echo(f"{typer.style('error:', fg='red', bold=True)} {line}", err=True)


def as_json(value: object) -> None:
    result(json.dumps(value, indent=2, default=_jsonable))


def as_json_line(value: object) -> None:
    result(json.dumps(value, default=_jsonable))


def _jsonable(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"cannot show a {type(value).__name__} as JSON")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show rows under their headings; never cut off outside a terminal."""
    if sys.stdout.isatty():
        _rich_table(headings, rows)
    else:
        result(plain_table(headings, rows))


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as aligned columns, two spaces apart."""
    lines = [tuple(heading.upper() for heading in headings), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _rich_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box  # deferred: costs as much as the whole rest of the start
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def facts(pairs: Mapping[str, str], *, err: bool = False) -> None:
    """Show names and values, one a line."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        typer.echo(f"  {typer.style(name.ljust(width), dim=True)}  {value}", err=err)


@contextmanager
def progress(text: str) -> Iterator[Say]:
    """Show `text` while the block runs; what it says replaces the detail beside it.

    Without a terminal it is one line, and details are left out.
    """
    if not sys.stderr.isatty():
        note(f"{text} ...")
        yield lambda _: None
        return
    from rich.console import Console  # deferred, as above
    from rich.markup import escape

    with Console(stderr=True).status(escape(text)) as status:
        yield lambda detail: status.update(f"{escape(text)} [dim]{escape(detail[:70])}[/dim]")
    note(f"{text}: done")


@contextmanager
def steps(text: str, total: int) -> Iterator[Say]:
    """Show how many of `total` steps are done; each call is one, and says which is next.

    Without a terminal it is one line at the start.
    """
    if not sys.stderr.isatty():
        note(f"{text} ...")
        yield lambda _: None
        return
    from rich.console import Console  # deferred, as above
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(escape(text)), BarColumn(), MofNCompleteColumn())
    detail = TextColumn("[dim]{task.description}[/dim]")
    with Progress(*columns, detail, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda what: bar.update(task, advance=1, description=escape(what))
    note(f"{text}: done")


def dollars(amount: float) -> str:
    """Return money with the digits that matter of what is mostly a fraction of a cent."""
    return f"${amount:,.2f}" if amount == 0 or amount >= 1 else f"${amount:.8f}"


def size(count: int) -> str:
    """Return bytes as people read them."""
    if count < 1024:
        return f"{count} B"
    kibibytes = count / 1024
    return f"{kibibytes:.1f} KiB" if kibibytes < 1024 else f"{kibibytes / 1024:.1f} MiB"
