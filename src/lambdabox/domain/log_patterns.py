"""CloudWatch's filter patterns: which log messages a search wants.

Three languages share one text field: terms (`ERROR -health ?a ?b "a phrase" %re%`),
conditions on JSON messages (`{ $.level = "ERROR" }`) and conditions on fields between
spaces (`[ip, ..., status = 5*]`). Compiling is separate from matching, so that a wrong
pattern is refused before anything is read. Messages are hostile: every match takes time
linear in the message.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from lambdabox.domain.log_conditions import (
    Condition,
    PatternError,
    Selector,
    compile_regex,
    parse_condition,
    tokenize,
)
from lambdabox.domain.values import dataclass

Predicate = Callable[[str], bool]

_TERM = re.compile(
    r"""\s*(?P<mark>[?-]?)(?:
        "(?P<phrase>(?:\\.|[^"\\])*)"
      | %(?P<regex>(?:\\.|[^%\\])+)%
      | (?P<word>[^\s"%]\S*)
    )(?=\s|$)""",
    re.VERBOSE | re.DOTALL,
)
_STEP = re.compile(r"\.?\['(?P<quoted>[^']*)'\]|\.?\[(?P<index>\d{1,9}|\*)\]|\.(?P<name>[^.\[\]]+)")
_WORD = re.compile(r"\S+")
_ELLIPSIS = "..."


def compile_pattern(pattern: str) -> Predicate | None:
    """Return what decides whether a message matches; None if every message does.

    Raises PatternError.
    """
    text = pattern.strip()
    if text in {"", '""', '" "'}:
        return None
    if text.startswith("{") and text.endswith("}"):
        return _json_pattern(text[1:-1])
    if text.startswith("[") and text.endswith("]"):
        return _fields_pattern(text[1:-1])
    return _terms_pattern(text)


def _terms_pattern(text: str) -> Predicate:
    included: list[Predicate] = []
    excluded: list[Predicate] = []
    optional: list[Predicate] = []
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise PatternError(f"Invalid filter pattern: cannot read '{text[at:].strip()[:40]}'.")
        kinds = {"": included, "-": excluded, "?": optional}
        kinds[found["mark"]].append(_term(found))
        at = found.end()
    if not included and not excluded:
        return lambda message: any(term(message) for term in optional)
    # Beside other terms the optional ones decide nothing, as on CloudWatch.
    return lambda message: (
        all(term(message) for term in included) and not any(term(message) for term in excluded)
    )


def _term(found: re.Match[str]) -> Predicate:
    if found["regex"] is not None:
        return compile_regex(found["regex"]).search
    wanted = found["word"]
    if wanted is None:
        wanted = re.sub(r"\\(.)", r"\1", found["phrase"])
    return lambda message: wanted in message


def _json_pattern(text: str) -> Predicate:
    condition = parse_condition(tokenize(text), _json_selector)

    def matches(message: str) -> bool:
        if not message.lstrip().startswith("{"):
            return False
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return condition(document)

    return matches


def _json_selector(name: str) -> Selector:
    steps: list[str | int | None] = []
    at = 1
    while at < len(name):
        found = _STEP.match(name, at)
        if found is None:
            break
        if found["index"] is not None:
            steps.append(None if found["index"] == "*" else int(found["index"]))
        else:
            steps.append(found["quoted"] if found["name"] is None else found["name"])
        at = found.end()
    if not name.startswith("$") or at < len(name) or not steps:
        raise PatternError(f"Invalid filter pattern: '{name}' does not select a value ($.name).")
    return lambda document: _walk(document, steps)


def _walk(document: Any, steps: Sequence[str | int | None]) -> list[Any]:
    found = [document]
    for step in steps:
        if isinstance(step, str):
            found = [value[step] for value in found if isinstance(value, dict) and step in value]
        elif step is None:
            found = [item for value in found if isinstance(value, list) for item in value]
        else:
            found = [v[step] for v in found if isinstance(v, list) and step < len(v)]
    return found


@dataclass(frozen=True, slots=True)
class _Fields:
    """The names of a field pattern. `gap` is where any number of fields may be."""

    names: Sequence[str]
    gap: int | None

    def bind(self, values: Sequence[str]) -> dict[str, str] | None:
        """Values by name, or None if there are too few. Without a gap the rest is ignored."""
        if len(values) < len(self.names):
            return None
        head = len(self.names) if self.gap is None else self.gap
        tail = len(self.names) - head
        chosen = [*values[:head], *values[len(values) - tail :]] if tail else values[:head]
        return dict(zip(self.names, chosen, strict=True))


def _fields_pattern(text: str) -> Predicate:
    names: list[str] = []
    conditions: list[Condition] = []
    gap: int | None = None
    for part in _split_commas(text):
        if part == _ELLIPSIS:
            if gap is not None:
                raise PatternError("Invalid filter pattern: only one '...' is possible.")
            gap = len(names)
            continue
        tokens = tokenize(part)
        name = next((token.text for token in tokens if token.kind == "word"), None)
        if name is None:
            raise PatternError(f"Invalid filter pattern: the field '{part}' needs a name.")
        names.append(name)
        if len(tokens) > 1:
            conditions.append(parse_condition(tokens, _field_selector))
    fields = _Fields(names, gap)

    def matches(message: str) -> bool:
        record = fields.bind(split_fields(message))
        return record is not None and all(condition(record) for condition in conditions)

    return matches


def _split_commas(text: str) -> list[str]:
    """Cut at commas outside quotes and regular expressions."""
    parts = re.findall(r'(?:"(?:\\.|[^"\\])*"|%(?:\\.|[^%\\])*%|[^,])+', text, re.DOTALL)
    return [part.strip() for part in parts]


def _field_selector(name: str) -> Selector:
    return lambda record: [record[name]] if name in record else []


def split_fields(message: str) -> list[str]:
    """Cut at spaces, but keep what is in [brackets] or "quotes" as one field."""
    fields: list[str] = []
    closers = {"[": "]", '"': '"'}
    at, length = 0, len(message)
    while at < length:
        if message[at].isspace():
            at += 1
            continue
        closer = closers.get(message[at])
        end = message.find(closer, at + 1) if closer else -1
        if closer and end < 0:
            del closers[message[at]]  # none further on either, so do not look again
        if end >= 0:
            fields.append(message[at + 1 : end])
            at = end + 1
        else:
            word = _WORD.match(message, at)
            end = word.end() if word else length
            fields.append(message[at:end])
            at = end
    return fields
