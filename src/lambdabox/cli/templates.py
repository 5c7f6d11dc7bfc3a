"""`lambdabox templates`, and the events that `invoke --template` makes of them.

A template is changed in place by `--set path=value`, because what people vary is nearly
always one name or body somewhere inside. A value stays of the type that the template has.
"""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.output import CommandError
from lambdabox.event_templates import catalog


def complete_template(incomplete: str) -> list[str]:
    return [name for name in catalog.TITLES if name.startswith(incomplete)]


def templates(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Template to print.", autocompletion=complete_template),
    ] = None,
    *,
    json_: options.Json = False,
) -> None:
    """List the events that triggers send, or print one.

    \b
    Examples:
      lambdabox templates
      lambdabox templates s3-put > event.json
    """
    if name is not None:
        output.result(template_text(name).rstrip("\n"))
    elif json_:
        output.as_json([{"Name": each, "Title": title} for each, title in catalog.TITLES.items()])
    else:
        output.table(("Template", "What it is"), list(catalog.TITLES.items()))


def template_text(name: str) -> str:
    try:
        return catalog.text(name)
    except KeyError as exc:
        near = get_close_matches(name, catalog.TITLES, n=1)
        meant = f", did you mean {near[0]}?" if near else ";"
        raise CommandError(
            f"there is no template {name!r}{meant} `lambdabox templates` lists them"
        ) from exc


def template_event(name: str, assignments: Sequence[str]) -> bytes:
    """Return a template's event, changed by assignments of the form `path=value`."""
    event = json.loads(template_text(name))
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path:
            raise CommandError(f"--set {assignment!r} is not of the form PATH=VALUE")
        _assign(event, path.split("."), value)
    return json.dumps(event).encode()


def _assign(event: Any, path: Sequence[str], value: str) -> None:
    place = event
    for at, part in enumerate(path[:-1]):
        place = _member(place, part, path[: at + 1])
    last = path[-1]
    # An object may be given a member more; a list is not made longer.
    current = place.get(last) if isinstance(place, dict) else _member(place, last, path)
    changed = value if isinstance(current, str) else _parsed(value)
    place[int(last) if isinstance(place, list) else last] = changed


def _member(place: Any, part: str, path: Sequence[str]) -> Any:
    if isinstance(place, dict) and part in place:
        return place[part]
    if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
        return place[int(part)]
    raise _nothing_at(path)


def _nothing_at(path: Sequence[str]) -> CommandError:
    return CommandError(f"--set: the template has nothing at {'.'.join(path)!r}")


def _parsed(value: str) -> Any:
    """A number, true, null or JSON where it is that, else the text."""
    try:
        return json.loads(value)
    except ValueError:
        return value
