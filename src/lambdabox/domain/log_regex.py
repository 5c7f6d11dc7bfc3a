"""The regular expressions of log filter patterns, matched in time linear in the text.

Both the expression and the text may be hostile, and Python's `re` holds the interpreter
while it backtracks: one search could stop the whole node. CloudWatch's dialect has no
groups, so an expression is a choice between chains of character sets, each once, at most
once or any number of times. All places reached in all chains are kept as the bits of one
integer and moved on together, character by character.
"""

import re
from collections.abc import Iterator

from lambdabox.domain.values import dataclass

MAX_PLACES = 500
MAX_REPEATS = 100
_CACHED_STEPS = 4_096

_ATOM = re.compile(
    r"\\x[0-9A-Fa-f]{2}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\]()*+?{}|^$]", re.DOTALL
)
_QUANTIFIER = re.compile(r"[?*+]|\{(\d{1,3})(,(\d{0,3}))?\}")


class RegexError(ValueError):
    """The expression is outside the dialect; the message says where."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One character set of a chain. `atom` is an expression for a single character."""

    atom: re.Pattern[str]
    is_optional: bool = False
    repeats: bool = False


class LogRegex:
    """A compiled expression."""

    def __init__(self, source: str) -> None:
        self._atoms: list[re.Pattern[str]] = []
        self._optional = self._repeating = 0
        self._accepting = self._accepting_at_end = 0
        first = self._again = 0
        for chain in _split_choices(source):
            body, at_start, at_end = _anchors(chain)
            entry = 1 << len(self._atoms)
            first |= entry
            self._again |= 0 if at_start else entry
            final = self._add(list(_places(body, source)))
            self._accepting_at_end |= final
            self._accepting |= 0 if at_end else final
        self._first, self._again = self._closed(first), self._closed(self._again)
        self._fitting: dict[str, int] = {}
        self._steps: dict[tuple[int, str], int] = {}

    def search(self, text: str) -> bool:
        """Whether the expression matches anywhere in `text`."""
        here = self._first
        if here & self._accepting:
            return True
        steps = self._steps
        for character in text:
            there = steps.get((here, character))
            here = self._step(here, character) if there is None else there
            if here & self._accepting:
                return True
        return bool(here & self._accepting_at_end)

    def _add(self, places: list[_Place]) -> int:
        """Append a chain and the place behind its end; return that place's bit."""
        if len(self._atoms) + len(places) >= MAX_PLACES:
            raise RegexError(f"the expression is too large (more than {MAX_PLACES} characters)")
        for place in places:
            bit = 1 << len(self._atoms)
            self._optional |= bit if place.is_optional else 0
            self._repeating |= bit if place.repeats else 0
            self._atoms.append(place.atom)
        self._atoms.append(_NOTHING)
        return 1 << (len(self._atoms) - 1)

    def _step(self, here: int, character: str) -> int:
        moved = here & self._fits(character)
        stays = moved & self._repeating
        there = self._closed(stays | (moved ^ stays) << 1) | self._again
        if len(self._steps) >= _CACHED_STEPS:
            self._steps.clear()
        self._steps[here, character] = there
        return there

    def _fits(self, character: str) -> int:
        """The places whose character set holds `character`."""
        found = self._fitting.get(character)
        if found is None:
            fitting = (1 << at for at, atom in enumerate(self._atoms) if atom.fullmatch(character))
            found = sum(fitting)
            if len(self._fitting) >= _CACHED_STEPS:
                self._fitting.clear()
            self._fitting[character] = found
        return found

    def _closed(self, places: int) -> int:
        """Add what is reached by leaving out optional places."""
        while more := ((places & self._optional) << 1) & ~places:
            places |= more
        return places


_NOTHING = re.compile(r"(?!)")


def _split_choices(source: str) -> list[str]:
    """Cut at each | that is not escaped and not in a character class."""
    choices, start, at, in_class = [], 0, 0, False
    while at < len(source):
        character = source[at]
        if character == "\\":
            at += 1
        elif character == "[" and not in_class:
            in_class = True
        elif character == "]":
            in_class = False
        elif character == "|" and not in_class:
            choices.append(source[start:at])
            start = at + 1
        at += 1
    return [*choices, source[start:]]


def _anchors(chain: str) -> tuple[str, bool, bool]:
    at_start = chain.startswith("^")
    body = chain[1:] if at_start else chain
    slashes = len(body) - 1 - len(body[:-1].rstrip("\\"))
    at_end = body.endswith("$") and slashes % 2 == 0
    return (body[:-1] if at_end else body), at_start, at_end


def _places(body: str, source: str) -> Iterator[_Place]:
    at = 0
    while at < len(body):
        atom = _ATOM.match(body, at)
        if atom is None:
            raise RegexError(f"'{body[at]}' is not supported here in the expression %{source}%")
        at = atom.end()
        quantifier = _QUANTIFIER.match(body, at)
        at = quantifier.end() if quantifier else at
        yield from _repeated(_compile_atom(atom.group(), source), quantifier)


def _compile_atom(atom: str, source: str) -> re.Pattern[str]:
    if atom[0] == "\\" and len(atom) == 2 and atom[1].isalnum() and atom[1] not in "dDwWsStnrfv":
        raise RegexError(f"'{atom}' is not supported in the expression %{source}%")
    # Python warns of "[[" and "&&" in a class, which here are plain characters.
    guarded = f"[{_class_body(atom)}]" if atom[0] == "[" else atom
    try:
        return re.compile(guarded, re.ASCII | re.DOTALL)
    except re.error as exc:
        raise RegexError(f"'{atom}' in the expression %{source}% is not valid: {exc}") from exc


def _class_body(atom: str) -> str:
    def guard(found: re.Match[str]) -> str:
        text = found.group()
        return text if text[0] == "\\" else re.escape(text)

    return re.sub(r"\\.|[\[&~|]|--", guard, atom[1:-1], flags=re.DOTALL)


def _repeated(atom: re.Pattern[str], quantifier: re.Match[str] | None) -> Iterator[_Place]:
    least, most = _bounds(quantifier)
    yield from [_Place(atom)] * least
    if most is None:
        yield _Place(atom, is_optional=True, repeats=True)
    else:
        yield from [_Place(atom, is_optional=True)] * (most - least)


def _bounds(quantifier: re.Match[str] | None) -> tuple[int, int | None]:
    if quantifier is None:
        return 1, 1
    match quantifier.group():
        case "?":
            return 0, 1
        case "*":
            return 0, None
        case "+":
            return 1, None
    least = int(quantifier.group(1))
    most: int | None = least
    if quantifier.group(2):
        most = int(quantifier.group(3)) if quantifier.group(3) else None
    if max(least, most or 0) > MAX_REPEATS or (most is not None and most < least):
        raise RegexError(f"the repetition {quantifier.group()} is not within 0 to {MAX_REPEATS}")
    return least, most
