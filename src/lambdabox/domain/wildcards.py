"""Match the patterns of access policies: `*` for anything, `?` for one character.

Patterns come from users and are matched on every request, so the time is bounded by the
product of the two lengths, which no regular expression promises. Policy variables, such as
`${aws:username}`, are filled in here too, because what they stand for is never a wildcard.
"""

import re
from collections.abc import Callable
from enum import Enum

_VARIABLE = re.compile(r"\$\{(?P<name>[^}',]+?)\s*(?:,\s*'(?P<default>[^']*)'\s*)?\}")
_ESCAPES = {"*": "*", "?": "?", "$": "$"}
"""`${*}` is a star, and so on."""


class Wildcard(Enum):
    ANYTHING = "*"
    ONE = "?"


Pattern = tuple[str | Wildcard, ...]
"""Characters and wildcards."""
Lookup = Callable[[str], str | None]
"""The value of a policy variable, by its lower-case name; None if there is none."""


def is_match(pattern: str, text: str) -> bool:
    """Whether the whole of `text` fits `pattern`, in which there are no variables."""
    return fits(_tokens(pattern), text)


def filled_in(pattern: str, lookup: Lookup, *, wildcards: bool = True) -> Pattern | None:
    """Return `pattern` with its variables filled in, or None if one has no value."""
    tokens: list[str | Wildcard] = []
    end = 0
    for found in _VARIABLE.finditer(pattern):
        name = found["name"].strip()
        value = _ESCAPES.get(name) or lookup(name.lower())
        if value is None:
            value = found["default"]
        if value is None:
            return None
        tokens += _tokens(pattern[end : found.start()], wildcards=wildcards)
        tokens += value
        end = found.end()
    return (*tokens, *_tokens(pattern[end:], wildcards=wildcards))


def fits(pattern: Pattern, text: str) -> bool:
    """Whether the whole of `text` fits `pattern`.

    Greedy: of all stars only the last one met can need to take in more.
    """
    place, at, star, resume = 0, 0, -1, 0
    while at < len(text):
        token = pattern[place] if place < len(pattern) else None
        if token is Wildcard.ANYTHING:
            star, resume = place, at
            place += 1
        elif token is Wildcard.ONE or token == text[at]:
            place, at = place + 1, at + 1
        elif star >= 0:
            resume += 1
            place, at = star + 1, resume
        else:
            return False
    return all(token is Wildcard.ANYTHING for token in pattern[place:])


def _tokens(pattern: str, *, wildcards: bool = True) -> Pattern:
    if not wildcards:
        return tuple(pattern)
    return tuple(Wildcard(each) if each in "*?" else each for each in pattern)
