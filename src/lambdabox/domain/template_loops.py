"""`Fn::ForEach` of AWS::LanguageExtensions: one part of a template written for many names.

Loops are unrolled before anything else looks at the template. They may hold one another, so
that a small text means an enormous one: what comes out is counted while it is made.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lambdabox.domain.templates import TemplateError

MARK = "Fn::ForEach::"
MAX_VALUES = 200_000
MAX_LETTERS = 5_000_000
MAX_DEPTH = 5

_NAME = re.compile(r"[A-Za-z0-9]+")
_SECTIONS = ("Conditions", "Resources", "Outputs")
_POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")

Evaluate = Callable[[Any], Any]
"""Returns what a value comes to before there are resources. Raises TemplateError."""


def unrolled(document: Mapping[str, Any], evaluate: Evaluate) -> dict[str, Any]:
    """Return a template as its loops mean it. Raises TemplateError."""
    loops = _Loops(evaluate)
    return {
        name: loops.of(section) if name in _SECTIONS else section
        for name, section in document.items()
    }


def with_policies(document: Mapping[str, Any], evaluate: Evaluate) -> dict[str, Any]:
    """Return a template whose policies of deletion, which may be functions, are words."""
    resources = document.get("Resources")
    if not isinstance(resources, Mapping):
        return dict(document)
    found = {
        name: {
            key: evaluate(value) if key in _POLICIES else value for key, value in body.items()
        }
        if isinstance(body, Mapping)
        else body
        for name, body in resources.items()
    }  # fmt: skip
    return {**document, "Resources": found}


class _Loops:
    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._made = 0
        self._letters = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        match value:
            case dict():
                return self._members(value, depth)
            case list():
                return [self.of(each, depth) for each in value]
            case _:
                return value

    def _members(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, each in value.items():
            is_loop = isinstance(name, str) and name.startswith(MARK)
            turns = self._turns(name, each, depth) if is_loop else [{name: self.of(each, depth)}]
            for turn in turns:
                if twice := sorted(turn.keys() & found.keys()):
                    raise TemplateError(
                        f"Transform AWS::LanguageExtensions failed with: Fn::ForEach makes "
                        f"{twice[0]} twice"
                    )
                found |= turn
        return found

    def _turns(self, name: str, loop: Any, depth: int) -> Iterator[dict[str, Any]]:
        match loop:
            case [str(identifier), list() | dict() as collection, dict() as body] if (
                _NAME.fullmatch(identifier)
            ):
                pass
            case _:
                raise _bad(name, "a name, a collection and an object")
        if depth >= MAX_DEPTH:
            raise _bad(name, f"no more than {MAX_DEPTH} loops inside one another")
        items = self._evaluate(collection)
        if not isinstance(items, list):
            raise _bad(name, "a list to go through")
        for item in items:
            if isinstance(item, dict | list):
                raise _bad(name, "a list of strings to go through")
            turn = self._replaced(body, identifier, _text(item))
            yield self._members(turn, depth + 1)

    def _replaced(self, value: Any, identifier: str, item: str) -> Any:
        """Return a value with what is looped over in the place of its name."""
        self._made += 1
        if self._made > MAX_VALUES:
            raise TemplateError(
                f"Transform AWS::LanguageExtensions failed with: it makes more than {MAX_VALUES} "
                "values"
            )
        match value:
            case {"Ref": str(name)} if len(value) == 1 and name == identifier:
                return item
            case dict():
                members = {
                    self._replaced(name, identifier, item): self._replaced(each, identifier, item)
                    for name, each in value.items()
                }
                return _settled(members)
            case list():
                return [self._replaced(each, identifier, item) for each in value]
            case str():
                return self._filled(value, identifier, item)
            case _:
                return value

    def _filled(self, text: str, identifier: str, item: str) -> str:
        name = f"{{{identifier}}}"
        # Counted beforehand: a text may name many times what is long.
        self._letters += text.count(name) * len(item)
        if self._letters > MAX_LETTERS:
            raise TemplateError(
                f"Transform AWS::LanguageExtensions failed with: it makes more than {MAX_LETTERS} "
                "letters"
            )
        plain = "".join(letter for letter in item if letter.isascii() and letter.isalnum())
        return text.replace(f"&{name}", plain).replace(f"${name}", item)


def _settled(value: dict[str, Any]) -> Any:
    """A `Fn::Sub` that has nothing left to replace is a string: names may be made with it."""
    match value:
        case {"Fn::Sub": str(text)} if len(value) == 1 and "${" not in text:
            return text
        case _:
            return value


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    return str(item)


def _bad(name: str, wanted: str) -> TemplateError:
    return TemplateError(
        f"Transform AWS::LanguageExtensions failed with: {name} could not be resolved: it wants "
        f"{wanted}"
    )
