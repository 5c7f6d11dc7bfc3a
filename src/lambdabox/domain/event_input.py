"""What a rule's target has of an event: a constant, a part of it, or a template filled in.

Paths are the part of JSONPath that EventBridge knows: `$.detail.name`, `$.list[0]`,
`$['detail-type']`. A template is JSON, or lines of text, with `<names>` in it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from lambdabox.domain.values import dataclass

MAX_TEMPLATE = 8_192
MAX_PATHS = 100

_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d{1,6})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_NAME = re.compile(r"<([A-Za-z0-9_.-]+)>")
_MISSING = object()


class BadInput(ValueError):
    """A path or a template is none. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class TargetInput:
    """How a target has events. Without any of these, it has them whole."""

    constant: str | None = None
    """JSON text."""
    path: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None


def check_input(given: TargetInput) -> None:
    """Raise BadInput if events could not be made of this."""
    if sum(each is not None for each in (given.constant, given.path, given.template)) > 1:
        raise BadInput("Only one of Input, InputPath, or InputTransformer must be provided.")
    if given.constant is not None:
        try:
            json.loads(given.constant)
        except ValueError:
            raise BadInput("Input for target is not valid JSON text.") from None
    for path in (*([given.path] if given.path else []), *given.paths.values()):
        if _steps(path) is None:
            raise BadInput(f"The path {path!r} is not one such as $.detail.name.")


def input_of(given: TargetInput, event: Mapping[str, Any], about: Mapping[str, Any]) -> bytes:
    """Return the payload for an event. `about` holds what templates know as `aws.events....`."""
    if given.constant is not None:
        return given.constant.encode()
    if given.template is not None:
        values = {name: _at(path, event) for name, path in given.paths.items()}
        return _filled(given.template, {**values, **about}).encode()
    if given.path:
        found = _at(given.path, event)
        return json.dumps(None if found is _MISSING else found).encode()
    return json.dumps(event).encode()


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """Put values in the places of their names: as JSON, or as text inside of a string."""
    pieces: list[str] = []
    at, is_in_string = 0, False
    for match in _NAME.finditer(template):
        before = template[at : match.start()]
        is_in_string ^= _quotes(before) % 2 == 1
        pieces.append(before)
        at = match.end()
        if match[1] not in values:
            pieces.append(match[0])  # no variable: the template's own text
        else:
            pieces.append(_written(values[match[1]], in_string=is_in_string))
    filled = "".join([*pieces, template[at:]])
    try:
        json.loads(filled)
    except ValueError:
        return json.dumps(filled)  # lines of text are one string
    return filled


def _written(value: Any, *, in_string: bool) -> str:
    if value is _MISSING:
        return "" if in_string else "null"
    if not in_string:
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


def _quotes(text: str) -> int:
    return len(re.findall(r'(?<!\\)(?:\\\\)*"', text))


def _at(path: str, event: Any) -> Any:
    """Return what is at a path, _MISSING if nothing is."""
    found = event
    for step in _steps(path) or ():
        if isinstance(step, int):
            if not isinstance(found, list) or step >= len(found):
                return _MISSING
            found = found[step]
        elif isinstance(found, Mapping) and step in found:
            found = found[step]
        else:
            return _MISSING
    return found


def _steps(path: str) -> list[str | int] | None:
    """Return the members and positions that lead to a place, None if `path` is none."""
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        name, position, single, double = match.groups()
        steps.append(int(position) if position is not None else name or single or double or "")
        at = match.end()
    return steps
