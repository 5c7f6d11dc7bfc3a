"""Event patterns: which events a filter or a rule lets through.

The language of EventBridge, which Lambda's filters share: a pattern has the event's shape,
with a list at each leaf of what the value may be. Pure and compiled once, because pollers
ask it for every record. What an event lacks can match only `exists: false`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lambdabox.domain.event_conditions import (
    BadPattern,
    Condition,
    always,
    condition_of,
    expect,
)
from lambdabox.domain.values import dataclass

MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the values of a field may be: one of `conditions`, or none at all."""

    conditions: tuple[Condition, ...]
    may_lack: bool


@dataclass(frozen=True, slots=True)
class Fields:
    """What must hold for one object: each member, and one of each group of alternatives."""

    members: Mapping[str, "Leaf | Fields"]
    choices: tuple[tuple["Fields", ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern."""

    fields: Fields

    def matches(self, event: Mapping[str, Any]) -> bool:
        return _matches(self.fields, [event])


def compile_pattern(text: str) -> Pattern:
    """Compile JSON text. Raises BadPattern, which says what is wrong with it."""
    try:
        # Not a number in JSON, though Python would read it as one.
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise BadPattern(f"the pattern is not valid JSON: {exc}") from exc
    return pattern_of(document)


def pattern_of(document: Any) -> Pattern:
    """As `compile_pattern`, for a pattern that has been read already."""
    return Pattern(_fields(document, "the pattern", MAX_DEPTH))


def _fields(document: Any, place: str, depth: int) -> Fields:
    expect(isinstance(document, dict), f"{place} must be an object")
    expect(bool(document), f"{place} is empty")
    expect(depth > 0, f"{place} is nested too deeply")
    members: dict[str, Leaf | Fields] = {}
    choices: list[tuple[Fields, ...]] = []
    for name, value in document.items():
        if name == "$or":
            choices.append(_alternatives(value, depth - 1))
        elif isinstance(value, list):
            members[name] = _leaf(value, name)
        else:
            members[name] = _fields(value, f'"{name}"', depth - 1)
    return Fields(members, tuple(choices))


def _alternatives(value: Any, depth: int) -> tuple[Fields, ...]:
    is_list = isinstance(value, list) and len(value) > 1
    expect(is_list, '"$or" must be a list of two or more patterns')
    return tuple(_fields(item, 'a pattern in "$or"', depth) for item in value)


def _leaf(values: Sequence[Any], name: str) -> Leaf:
    expect(bool(values), f'the list of "{name}" is empty')
    conditions: list[Condition] = []
    may_lack = False
    for value in values:
        existence = _existence(value)
        if existence is None:
            conditions.append(condition_of(value))
        elif existence:
            conditions.append(always)
        else:
            may_lack = True
    return Leaf(tuple(conditions), may_lack)


def _existence(value: Any) -> bool | None:
    """Return what `{"exists": …}` asks for; None for anything else."""
    if not isinstance(value, dict) or value.keys() != {"exists"}:
        return None
    expect(isinstance(value["exists"], bool), '"exists" must be true or false')
    return bool(value["exists"])


def _matches(fields: Fields, objects: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of `objects`, the elements of one array, fulfils every field by itself.

    So two fields of a pattern never match in two elements. Without any object only what may
    be lacking matches.
    """
    lacking = {name for name in fields.members if not any(name in each for each in objects)}
    return any(_one_matches(fields, each, lacking) for each in objects or ({},))


def _one_matches(fields: Fields, each: Mapping[str, Any], lacking: set[str]) -> bool:
    for name, node in fields.members.items():
        values = _flat(each[name]) if name in each else []
        if isinstance(node, Fields):
            if not _matches(node, [value for value in values if isinstance(value, Mapping)]):
                return False
        elif not _leaf_matches(node, values, may_lack=name in each or name in lacking):
            return False
    return all(
        any(_matches(alternative, [each]) for alternative in alternatives)
        for alternatives in fields.choices
    )


def _leaf_matches(leaf: Leaf, values: Sequence[Any], *, may_lack: bool) -> bool:
    scalars = [value for value in values if not isinstance(value, Mapping)]
    if not scalars:
        return leaf.may_lack and may_lack
    return any(condition(value) for value in scalars for condition in leaf.conditions)


def _flat(value: Any) -> list[Any]:
    """Return the elements of an array, and of arrays in it; any other value alone."""
    if not isinstance(value, list):
        return [value]
    # A list of what is left and not a recursion: how deep the data is nested is its sender's
    # choice.
    flat: list[Any] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left.extend(item)
        else:
            flat.append(item)
    return flat


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
