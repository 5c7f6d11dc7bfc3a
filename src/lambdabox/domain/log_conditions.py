"""The conditions inside JSON and space-delimited log filter patterns.

Both kinds combine comparisons with &&, || and parentheses and differ only in what a
selector names, so the grammar is here once. A condition becomes a function from a record
(a parsed document, or fields by name) to a truth value.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from lambdabox.domain.log_regex import LogRegex, RegexError
from lambdabox.domain.values import dataclass

MAX_DEPTH = 40

Condition = Callable[[Any], bool]
Selector = Callable[[Any], Sequence[Any]]
"""Returns the values found: none, one, or several where a wildcard stands for an index."""

Kind = Literal["operator", "text", "regex", "word"]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<operator>&&|\|\||!=|>=|<=|[=<>()])
      | "(?P<text>(?:\\.|[^"\\])*)"
      | %(?P<regex>(?:\\.|[^%\\])+)%
      | (?P<word>\$(?:\.?\['[^']*'\]|[^\s=<>!&|(),"%])*|[^\s=<>!&|(),"%]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


class PatternError(ValueError):
    """The filter pattern is not valid; the message says why."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str


def tokenize(text: str) -> list[Token]:
    tokens: list[Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise PatternError(f"Invalid filter pattern: unexpected '{text[at:].strip()[:20]}'.")
        kind: Any = found.lastgroup
        tokens.append(Token(kind, found.group(kind)))
        at = found.end()
    return tokens


def parse_condition(tokens: Sequence[Token], selector: Callable[[str], Selector]) -> Condition:
    """Return the condition the tokens spell. `selector` reads the name of a value."""
    parser = _Parser(tokens, selector)
    condition = parser.any_of(0)
    if (rest := parser.peek()) is not None:
        raise PatternError(f"Invalid filter pattern: unexpected '{rest.text}'.")
    return condition


class _Parser:
    """Recursive descent: || binds weakest, then &&, then comparisons and parentheses."""

    def __init__(self, tokens: Sequence[Token], selector: Callable[[str], Selector]) -> None:
        self._tokens = tokens
        self._at = 0
        self._selector = selector

    def peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def any_of(self, depth: int) -> Condition:
        choices = [self._all_of(depth)]
        while self._takes("||"):
            choices.append(self._all_of(depth))
        if len(choices) == 1:
            return choices[0]
        return lambda record: any(choice(record) for choice in choices)

    def _all_of(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._takes("&&"):
            parts.append(self._one(depth))
        if len(parts) == 1:
            return parts[0]
        return lambda record: all(part(record) for part in parts)

    def _one(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise PatternError("Invalid filter pattern: the parentheses are nested too deeply.")
        if self._takes("("):
            inner = self.any_of(depth + 1)
            if not self._takes(")"):
                raise PatternError("Invalid filter pattern: a ')' is missing.")
            return inner
        select = self._selector(self._next("word", "the name of a value").text)
        return _exists(select, self._test())

    def _test(self) -> Callable[[Sequence[Any]], bool]:
        found = self._next(None, "an operator")
        if found.kind == "operator":
            return _comparison(found.text, self._next(None, "a value"))
        words = f"{found.text} {self._next('word', 'TRUE, FALSE, NULL or EXISTS').text}".upper()
        match words:
            case "IS NULL":
                return lambda values: any(value is None for value in values)
            case "IS TRUE":
                return lambda values: any(value is True for value in values)
            case "IS FALSE":
                return lambda values: any(value is False for value in values)
            case "NOT EXISTS":
                return lambda values: not values
        raise PatternError(f"Invalid filter pattern: '{words}' is not an operator.")

    def _takes(self, operator: str) -> bool:
        found = self.peek()
        if found == Token("operator", operator):
            self._at += 1
            return True
        return False

    def _next(self, kind: Kind | None, wanted: str) -> Token:
        found = self.peek()
        if found is None or (kind is not None and found.kind != kind):
            instead = f"'{found.text}'" if found else "the end"
            raise PatternError(f"Invalid filter pattern: {wanted} expected instead of {instead}.")
        self._at += 1
        return found


def compile_regex(source: str) -> LogRegex:
    try:
        return LogRegex(source)
    except RegexError as exc:
        raise PatternError(f"Invalid filter pattern: {exc}.") from exc


def _exists(select: Selector, test: Callable[[Sequence[Any]], bool]) -> Condition:
    return lambda record: test(select(record))


def _comparison(operator: str, operand: Token) -> Callable[[Sequence[Any]], bool]:
    if operand.kind == "operator" or operator in {"(", ")", "&&", "||"}:
        raise PatternError(f"Invalid filter pattern: '{operator} {operand.text}' has no value.")
    if operator in {"=", "!="}:
        equal = _equality(operand)
        wanted = operator == "="
        # A value that is not there is neither equal nor different.
        return lambda values: any(equal(value) is wanted for value in values)
    if operand.kind != "word" or not _NUMBER.fullmatch(operand.text):
        raise PatternError(f"Invalid filter pattern: '{operator}' needs a number.")
    ordered = _order(operator, float(operand.text))
    return lambda values: any(ordered(value) for value in values)


def _equality(operand: Token) -> Callable[[Any], bool]:
    if operand.kind == "regex":
        regex = compile_regex(operand.text)
        return lambda value: isinstance(value, str) and regex.search(value)
    text = re.sub(r"\\(.)", r"\1", operand.text) if operand.kind == "text" else operand.text
    fits = wildcard(text)
    number = float(text) if operand.kind == "word" and _NUMBER.fullmatch(text) else None

    def equal(value: Any) -> bool:
        if isinstance(value, bool):
            return fits("true" if value else "false")
        if isinstance(value, int | float):
            return value == number or fits(str(value))
        return isinstance(value, str) and fits(value)

    return equal


def wildcard(pattern: str) -> Callable[[str], bool]:
    """Match a whole text, with * for any run of characters, without backtracking."""
    first, *rest = pattern.split("*")
    if not rest:
        return lambda text: text == first
    *middle, last = rest

    def fits(text: str) -> bool:
        end = len(text) - len(last)
        if not (text.startswith(first) and text.endswith(last)) or end < len(first):
            return False
        at = len(first)
        for part in middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return fits


def _order(operator: str, bound: float) -> Callable[[Any], bool]:
    def ordered(value: Any) -> bool:
        number = _number(value)
        if number is None:
            return False
        match operator:
            case ">":
                return number > bound
            case ">=":
                return number >= bound
            case "<":
                return number < bound
        return number <= bound

    return ordered


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and len(value) < 400 and _NUMBER.fullmatch(value):
        return float(value)
    return None
