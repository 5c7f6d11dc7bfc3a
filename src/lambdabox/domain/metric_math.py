"""CloudWatch's metric math: expressions over series of values, such as `100 * errors / calls`.

A series is a value at each of some times, a number is a number, and METRICS() or `[a, b]` are
several series. What two series do to one another they do where both have a value.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from lambdabox.domain.values import dataclass

Series = Mapping[int, float]
Value = float | Series | list[Series]

MAX_DEPTH = 30

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|([-+*/^()\[\],]))")
_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
}


class BadExpressionError(ValueError):
    """The expression cannot be evaluated. The message says why."""


@dataclass(frozen=True, slots=True)
class Operands:
    """What an expression may name. `metrics` are those that METRICS() stands for."""

    series: Mapping[str, Series]
    metrics: list[Series]
    periods: Mapping[str, int]
    times: range
    """Every step of the period, for FILL."""


def identifiers(expression: str) -> set[str]:
    """Return the ids of other queries that an expression names."""
    return set(re.findall(r"\b[a-z]\w*", expression))


def evaluate(expression: str, operands: Operands) -> Series:
    """Return the series that the expression stands for. Raises BadExpressionError."""
    parser = _Parser(expression, operands)
    try:
        value = parser.whole()
    except (OverflowError, ValueError) as exc:
        if isinstance(exc, BadExpressionError):
            raise
        raise BadExpressionError(f"{expression!r} has no value: {exc}") from exc
    if isinstance(value, list):
        raise BadExpressionError("The expression stands for more than one series.")
    if isinstance(value, float):
        return dict.fromkeys(operands.times, value)
    return value


class _Parser:
    def __init__(self, expression: str, operands: Operands) -> None:
        self._tokens = list(_tokens(expression))
        self._at = 0
        self._depth = 0
        self._operands = operands

    def whole(self) -> Value:
        value = self._sum()
        if self._peek() is not None:
            _refuse(f"Unexpected {self._peek()!r} in the expression.")
        return value

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            _refuse("The expression ends too early.")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        found = self._next()
        if found != token:
            _refuse(f"Expected {token!r} and not {found!r} in the expression.")

    def _sum(self) -> Value:
        value = self._product()
        while self._peek() in ("+", "-"):
            value = _combine(_OPERATORS[self._next()], value, self._product())
        return value

    def _product(self) -> Value:
        value = self._power()
        while self._peek() in ("*", "/"):
            value = _combine(_OPERATORS[self._next()], value, self._power())
        return value

    def _power(self) -> Value:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            _refuse("The expression is nested too deeply.")
        if self._peek() == "-":
            self._next()
            value = _combine(operator.mul, -1.0, self._power())
        else:
            value = self._primary()
            if self._peek() == "^":
                self._next()
                value = _combine(operator.pow, value, self._power())
        self._depth -= 1
        return value

    def _primary(self) -> Value:
        token = self._next()
        match token:
            case "(":
                value = self._sum()
                self._expect(")")
                return value
            case "[":
                return self._array()
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if not (token[0].isalpha() or token[0] == "_"):
            _refuse(f"Unexpected {token!r} in the expression.")
        return self._call(token) if self._peek() == "(" else self._named(token)

    def _named(self, name: str) -> Series:
        found = self._operands.series.get(name)
        if found is None:
            _refuse(f"The expression names {name!r}, which no query has as its id.")
        return found

    def _array(self) -> list[Series]:
        items = [self._item()]
        while self._peek() == ",":
            self._next()
            items.append(self._item())
        self._expect("]")
        return items

    def _item(self) -> Series:
        value = self._sum()
        if isinstance(value, float | list):
            _refuse("A list in an expression is one of metrics.")
        return value

    def _call(self, name: str) -> Value:
        self._expect("(")
        if name == "METRICS":
            self._expect(")")
            return self._operands.metrics
        if name == "PERIOD":
            period = self._operands.periods.get(self._next())
            self._expect(")")
            if period is None:
                _refuse("PERIOD is asked of what is no metric.")
            return float(period)
        argument = self._sum()
        if name == "FILL":
            self._expect(",")
            filler = self._sum()
            self._expect(")")
            return self._fill(argument, filler)
        self._expect(")")
        return _apply(name, argument)

    def _fill(self, value: Value, filler: Value) -> Value:
        if not isinstance(filler, float) or isinstance(value, float):
            _refuse("FILL takes a metric and a number.")
        if isinstance(value, list):
            return [self._filled(series, filler) for series in value]
        return self._filled(value, filler)

    def _filled(self, series: Series, filler: float) -> Series:
        return {**dict.fromkeys(self._operands.times, filler), **series}


_OF_VALUES: Mapping[str, Callable[[list[float]], float]] = {
    "SUM": math.fsum,
    "AVG": lambda values: math.fsum(values) / len(values),
    "MIN": min,
    "MAX": max,
}
_OF_ONE: Mapping[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": lambda value: float(math.ceil(value)),
    "FLOOR": lambda value: float(math.floor(value)),
}


def _apply(name: str, argument: Value) -> Value:
    if name in _OF_ONE:
        one = _OF_ONE[name]
        if isinstance(argument, float):
            return one(argument)
        if isinstance(argument, list):
            return [{at: one(value) for at, value in each.items()} for each in argument]
        return {at: one(value) for at, value in argument.items()}
    of_values = _OF_VALUES.get(name)
    if of_values is None:
        _refuse(f"The function {name} is not supported; there are SUM, AVG, MIN, MAX, ABS, CEIL,"
                " FLOOR, FILL, PERIOD and METRICS.")  # fmt: skip
    if isinstance(argument, float):
        return argument
    if isinstance(argument, list):
        times = sorted({at for series in argument for at in series})
        return {at: of_values([each[at] for each in argument if at in each]) for at in times}
    # Of one series: a number, which holds wherever it has a value.
    return dict.fromkeys(argument, of_values(list(argument.values()))) if argument else {}


def _combine(act: Callable[[float, float], float], left: Value, right: Value) -> Value:
    if isinstance(left, list) or isinstance(right, list):
        if isinstance(left, list) and isinstance(right, list):
            _refuse("Two lists of metrics cannot be combined.")
        if isinstance(left, list):
            return [_series(_combine(act, each, right)) for each in left]
        assert isinstance(right, list)  # noqa: S101  # one of them is
        return [_series(_combine(act, left, each)) for each in right]
    if isinstance(left, float) and isinstance(right, float):
        return _number(act, left, right) or 0.0
    times = right if isinstance(left, float) else left
    found: dict[int, float] = {}
    assert not isinstance(times, float)  # noqa: S101  # one of them is a series
    for at in times:
        one = left if isinstance(left, float) else left.get(at)
        other = right if isinstance(right, float) else right.get(at)
        if one is not None and other is not None:
            value = _number(act, one, other)
            if value is not None:
                found[at] = value
    return found


def _series(value: Value) -> Series:
    assert isinstance(value, Mapping)  # noqa: S101  # a series with anything is one
    return value


def _number(act: Callable[[float, float], float], one: float, other: float) -> float | None:
    """None where there is no number, such as a division by zero: CloudWatch has no value there."""
    try:
        value = act(one, other)
    except (ArithmeticError, ValueError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _tokens(expression: str) -> Iterator[str]:
    at, text = 0, expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            _refuse(f"{text[at : at + 20]!r} in the expression cannot be read.")
        at = found.end()
        yield next(group for group in found.groups() if group is not None)


def _refuse(message: str) -> NoReturn:
    raise BadExpressionError(message)
