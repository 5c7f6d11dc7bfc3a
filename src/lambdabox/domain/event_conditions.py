"""The conditions at the leaves of event patterns: prefix, numeric, anything-but and the rest.

Each is compiled to a function of one value of the event. A value of another type than a
condition is about never matches, and is no error.
"""

import ipaddress
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

Condition = Callable[[Any], bool]

NUMBER_LIMIT = Decimal(5_000_000_000)
_DIGITS = Decimal("0.000001")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class BadPattern(ValueError):
    """The pattern breaks a rule of the language; the message says which, for its author."""


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BadPattern(otherwise)


def always(_value: Any) -> bool:
    return True


def condition_of(value: Any) -> Condition:
    """Return the condition that one element of a leaf's list stands for."""
    if not isinstance(value, dict):
        return _exactly(value)
    expect(len(value) == 1, f"a condition has one operator, not {len(value)}")
    name, argument = next(iter(value.items()))
    make = _OPERATORS.get(name)
    expect(make is not None, f'"{name}" is no operator')
    assert make is not None  # noqa: S101  # for the type checker: `expect` has just checked it
    return make(argument)


def _exactly(expected: Any) -> Condition:
    expect(not isinstance(expected, list), "a list may not hold a list")
    key = _key(expected)
    return lambda value: _key(value) == key


def _key(value: Any) -> tuple[type, str]:
    """Tell true from 1 and, as EventBridge does, 300 from 300.0: numbers compare as text."""
    return type(value), repr(value)


def _prefix(argument: Any) -> Condition:
    return _affix("prefix", argument, str.startswith)


def _suffix(argument: Any) -> Condition:
    return _affix("suffix", argument, str.endswith)


def _affix(name: str, argument: Any, has: Callable[[str, str], bool]) -> Condition:
    if isinstance(argument, dict):
        expect(argument.keys() == {"equals-ignore-case"}, f'"{name}" takes a string')
        inner = _text(name, argument["equals-ignore-case"]).casefold()
        return lambda value: isinstance(value, str) and has(value.casefold(), inner)
    text = _text(name, argument)
    return lambda value: isinstance(value, str) and has(value, text)


def _ignoring_case(argument: Any) -> Condition:
    text = _text("equals-ignore-case", argument).casefold()
    return lambda value: isinstance(value, str) and value.casefold() == text


def _wildcard(argument: Any) -> Condition:
    pieces = _between_stars(_text("wildcard", argument))

    def holds(value: Any) -> bool:
        return isinstance(value, str) and _has_in_order(value, pieces)

    return holds


def _between_stars(text: str) -> list[str]:
    """Return the literal texts before, between and after the stars of a wildcard."""
    pieces, index = [""], 0
    while index < len(text):
        char, following = text[index], text[index + 1 : index + 2]
        if char == "\\":
            is_escape = following in ("*", "\\") and bool(following)
            expect(is_escape, '"\\" in a wildcard escapes only "*" and itself')
            pieces[-1] += following
            index += 1
        elif char == "*":
            expect(following != "*", 'a wildcard may not hold "**"')
            pieces.append("")
        else:
            pieces[-1] += char
        index += 1
    return pieces


def _has_in_order(value: str, pieces: Sequence[str]) -> bool:
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return value == first
    if not value.startswith(first):
        return False
    position = len(first)
    for piece in pieces[1:-1]:
        found = value.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(value) - position >= len(last) and value.endswith(last)


def _cidr(argument: Any) -> Condition:
    text = _text("cidr", argument)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise BadPattern(f'"{text}" is no range of addresses') from exc

    def holds(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return holds


def _numeric(argument: Any) -> Condition:
    is_list = isinstance(argument, list) and len(argument) in (2, 4)
    expect(is_list, '"numeric" takes a comparison and a number, once or twice')
    terms = [(argument[at], _limit(argument[at + 1])) for at in range(0, len(argument), 2)]
    if terms[0][0] == "=":
        expect(len(terms) == 1, '"=" stands alone')
        equal = terms[0][1]
        return lambda value: _number(value) == equal
    for comparison, _bound in terms:
        expect(
            isinstance(comparison, str) and comparison in _COMPARISONS,
            f"{comparison!r} is no comparison",
        )
    if len(terms) == 2:
        low, high = sorted(terms, key=lambda term: term[0].startswith("<"))
        is_range = low[0].startswith(">") and high[0].startswith("<")
        expect(is_range and low[1] < high[1], '"numeric" must be a range, its bottom below its top')
    checks = [(_COMPARISONS[comparison], bound) for comparison, bound in terms]

    def holds(value: Any) -> bool:
        number = _number(value)
        return number is not None and all(check(number, bound) for check, bound in checks)

    return holds


def _limit(value: Any) -> Decimal:
    number = _number(value)
    if number is None:
        raise BadPattern(f"{value!r} is no number between -5e9 and 5e9")
    return number


def _number(value: Any) -> Decimal | None:
    """Return a number as `numeric` compares it, with six fractional digits; None if it cannot."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -NUMBER_LIMIT <= value <= NUMBER_LIMIT:  # also no infinity, and nothing that is NaN
        return None
    return Decimal(repr(value)).quantize(_DIGITS)


def _anything_but(argument: Any) -> Condition:
    if isinstance(argument, dict):
        expect(len(argument) == 1, '"anything-but" takes one operator')
        name, inner = next(iter(argument.items()))
        expect(name in _NEGATABLE, f'"anything-but" does not take "{name}"')
        items = inner if isinstance(inner, list) else [inner]
        expect(bool(items), f'"{name}" has nothing in its list')
        expect(all(items), f'"{name}" within "anything-but" may not be empty')
        return _none_of([_NEGATABLE[name](item) for item in items])
    items = argument if isinstance(argument, list) else [argument]
    expect(bool(items), '"anything-but" has nothing in its list')
    are_texts = all(isinstance(item, str) for item in items)
    are_numbers = all(
        isinstance(item, int | float) and not isinstance(item, bool) for item in items
    )
    expect(are_texts or are_numbers, '"anything-but" takes strings or numbers, not both')
    return _none_of([_exactly(item) for item in items])


def _none_of(conditions: Sequence[Condition]) -> Condition:
    return lambda value: not any(condition(value) for condition in conditions)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadPattern(f'"{name}" takes a string')
    return value


_NEGATABLE: Mapping[str, Callable[[Any], Condition]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _ignoring_case,
    "wildcard": _wildcard,
}
_OPERATORS: Mapping[str, Callable[[Any], Condition]] = {
    **_NEGATABLE,
    "cidr": _cidr,
    "numeric": _numeric,
    "anything-but": _anything_but,
}
