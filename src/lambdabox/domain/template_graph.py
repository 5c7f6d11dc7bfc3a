"""In which order the resources of a template are made: each after those that it needs.

Needs are found in the text: a reference anywhere in the properties, or `DependsOn`. The order
of the template is kept where needs leave a choice, so that it is the same each time.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lambdabox.domain.templates import Template, TemplateError

PLACEHOLDER = re.compile(r"\$\{(!?)([^${}]+)\}")
"""What `Fn::Sub` replaces, or with the mark leaves as it is without it."""


def references(value: Any) -> Iterator[str]:
    """Return the names that `Ref`, `Fn::GetAtt` and `Fn::Sub` in a value refer to."""
    match value:
        case {"Ref": str(name)} if len(value) == 1:
            yield name
        case {"Fn::GetAtt": [str(name), *rest]} if len(value) == 1:
            yield name
            yield from references(rest)
        case {"Fn::GetAtt": str(path)} if len(value) == 1:
            yield path.partition(".")[0]
        case {"Fn::Sub": body} if len(value) == 1:
            yield from _substituted(body)
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)


def _substituted(body: Any) -> Iterator[str]:
    text, given = body if isinstance(body, list) and len(body) == 2 else (body, {})
    local = given if isinstance(given, dict) else {}
    if isinstance(text, str):
        for mark, found in PLACEHOLDER.findall(text):
            if not mark and found.strip() not in local:
                yield found.strip().partition(".")[0]
    yield from references(local)


def dependencies(template: Template, present: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return what each of the resources that are `present` needs of the others.

    Raises TemplateError for names that the template does not have.
    """
    known = set(present)
    needs = {}
    for logical_id in present:
        resource = template.resources[logical_id]
        named = {name for name in references(resource.properties) if "::" not in name}
        named.update(resource.depends_on)
        if unknown := sorted(named - template.resources.keys() - template.parameters.keys()):
            raise unresolved(unknown)
        # Of two branches of a condition only one is there; what is used and is not there is
        # found when the value is needed.
        needs[logical_id] = frozenset(named & known)
    return needs


def unresolved(names: Sequence[str], block: str = "Resources") -> TemplateError:
    return TemplateError(
        f"Template format error: Unresolved resource dependencies [{', '.join(names)}] in the "
        f"{block} block of the template"
    )


def in_order(needs: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Return the names, each after all that it needs. Raises TemplateError for a circle."""
    waiting = {name: set(needed & needs.keys()) for name, needed in needs.items()}
    order: list[str] = []
    while waiting:
        ready = [name for name, needed in waiting.items() if not needed]
        if not ready:
            circle = ", ".join(sorted(_circle(waiting)))
            raise TemplateError(f"Circular dependency between resources: [{circle}]")
        order += ready
        for name in ready:
            del waiting[name]
        for needed in waiting.values():
            needed.difference_update(ready)
    return tuple(order)


def _circle(waiting: Mapping[str, set[str]]) -> set[str]:
    """Return those that wait for each other, without those that only wait for them."""
    left = set(waiting)
    while True:
        needed = {name for each in left for name in waiting[each]}
        if left <= needed:
            return left
        left &= needed
