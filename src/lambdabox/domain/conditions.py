"""The conditions of access policies: what an operator says of a key's values in a request.

One table of operators, each a comparison of two strings and whether it is negated; what
`IfExists`, `ForAnyValue:`, `ForAllValues:` and a missing key mean is the same for all and
decided once, in `holds`. A value that cannot be compared (no number, no date, no address)
equals nothing.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from ipaddress import ip_address, ip_network

from lambdabox.domain.values import dataclass
from lambdabox.domain.wildcards import Lookup, Pattern, filled_in, fits

Context = Mapping[str, tuple[str, ...]]
"""What is known of a request: the values of each condition key, by its name in lower case."""

_ARN_PARTS = 6


class ConditionError(ValueError):
    """A condition that cannot be evaluated. The message says which and why."""


class Quantifier(Enum):
    ANY = "ForAnyValue"
    ALL = "ForAllValues"


@dataclass(frozen=True, slots=True)
class Condition:
    """An operator, a key, and the values it is compared with."""

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: Quantifier | None = None
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class _Operator:
    compare: Callable[[str, str, Lookup], bool]
    """Whether an actual value is what a wanted one says, filled in by what is looked up."""
    is_negated: bool = False
    check: Callable[[str], object] = str
    """Raises ValueError for a wanted value that says nothing."""


def parse(name: str, key: str, values: tuple[str, ...]) -> Condition:
    """Return the condition that an operator of a policy, as written there, stands for.

    Raises ConditionError for an operator that does not exist and a value it cannot take.
    """
    quantifier, found, base = name.rpartition(":")
    if_exists = base.endswith("IfExists") and base != "NullIfExists"
    base = base.removesuffix("IfExists") if if_exists else base
    quantifiers = {each.value: each for each in Quantifier}
    if (found and quantifier not in quantifiers) or base not in (*_OPERATORS, _NULL):
        raise ConditionError(f"There is no condition operator {name!r}.")
    check = _is_boolean if base == _NULL else _OPERATORS[base].check
    for value in values:
        try:
            check(value)
        except ValueError as exc:
            raise ConditionError(f"{name} cannot compare {key!r} with {value!r}.") from exc
    return Condition(base, key, values, quantifiers.get(quantifier), if_exists)


def holds(condition: Condition, context: Context) -> bool:
    """Whether `condition` is true of a request."""
    actual = context.get(condition.key.lower(), ())
    if condition.operator == _NULL:
        return any((value.lower() == "true") is not bool(actual) for value in condition.values)
    operator = _OPERATORS[condition.operator]
    if not actual:
        # Missing differs from everything; and of nothing one may say anything of all.
        is_true = operator.is_negated and condition.quantifier is not Quantifier.ANY
        return condition.if_exists or condition.quantifier is Quantifier.ALL or is_true

    def fits_one(value: str) -> bool:
        lookup = _lookup(context)
        is_wanted = any(operator.compare(value, each, lookup) for each in condition.values)
        return is_wanted is not operator.is_negated

    results = [fits_one(value) for value in actual]
    if condition.quantifier is None:
        return all(results) if operator.is_negated else any(results)
    return any(results) if condition.quantifier is Quantifier.ANY else all(results)


def _lookup(context: Context) -> Lookup:
    """Policy variables: keys of the request that have one value."""

    def value_of(name: str) -> str | None:
        values = context.get(name, ())
        return values[0] if len(values) == 1 else None

    return value_of


def _string(actual: str, wanted: str, lookup: Lookup) -> bool:
    pattern = filled_in(wanted, lookup, wildcards=False)
    return pattern is not None and fits(pattern, actual)


def _string_ignoring_case(actual: str, wanted: str, lookup: Lookup) -> bool:
    pattern = filled_in(wanted, lookup, wildcards=False)
    return pattern is not None and "".join(map(str, pattern)).lower() == actual.lower()


def _like(actual: str, wanted: str, lookup: Lookup) -> bool:
    pattern = filled_in(wanted, lookup)
    return pattern is not None and fits(pattern, actual)


def _arn(actual: str, wanted: str, lookup: Lookup) -> bool:
    """The six parts are compared one by one, so that no star reaches beyond its own."""
    if wanted == "*":
        return True
    given = actual.split(":", _ARN_PARTS - 1)
    patterns = [filled_in(part, lookup) for part in wanted.split(":", _ARN_PARTS - 1)]
    return len(given) == len(patterns) == _ARN_PARTS and all(map(_part_fits, patterns, given))


def _part_fits(pattern: Pattern | None, text: str) -> bool:
    return pattern is not None and fits(pattern, text)


def _boolean(actual: str, wanted: str, _lookup: Lookup) -> bool:
    return actual.lower() == wanted.lower()


def _is_boolean(text: str) -> None:
    if text.lower() not in ("true", "false"):
        raise ValueError("it is true or false")


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as exc:
        raise ValueError("it is no number") from exc
    if not number.is_finite():
        raise ValueError("it is not finite")
    return number


def _moment(text: str) -> float:
    """Return seconds since the epoch, of those or of a date as ISO 8601 writes it."""
    try:
        return float(_number(text))
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _address(actual: str, wanted: str, _lookup: Lookup) -> bool:
    try:
        return ip_address(actual) in ip_network(wanted, strict=False)
    except ValueError:
        return False


def _network(text: str) -> None:
    ip_network(text, strict=False)


def _comparing(
    read: Callable[[str], Decimal | float | bytes], decide: Callable[[int], bool]
) -> Callable[[str, str, Lookup], bool]:
    """Compare what two texts stand for: `decide` is told -1, 0 or 1."""

    def compare(actual: str, wanted: str, _lookup: Lookup) -> bool:
        try:
            left, right = read(actual), read(wanted)
        except (ValueError, OverflowError):
            return False
        return decide((left > right) - (left < right))  # type: ignore[operator]  # both of one kind

    return compare


def _ordered(name: str, read: Callable[[str], Decimal | float]) -> dict[str, _Operator]:
    """The six operators of what has an order."""
    equals = _comparing(read, lambda order: order == 0)
    return {
        f"{name}Equals": _Operator(equals, check=read),
        f"{name}NotEquals": _Operator(equals, is_negated=True, check=read),
        f"{name}LessThan": _Operator(_comparing(read, lambda order: order < 0), check=read),
        f"{name}LessThanEquals": _Operator(_comparing(read, lambda order: order <= 0), check=read),
        f"{name}GreaterThan": _Operator(_comparing(read, lambda order: order > 0), check=read),
        f"{name}GreaterThanEquals": _Operator(
            _comparing(read, lambda order: order >= 0), check=read
        ),
    }


_NULL = "Null"
_OPERATORS: Mapping[str, _Operator] = {
    "StringEquals": _Operator(_string),
    "StringNotEquals": _Operator(_string, is_negated=True),
    "StringEqualsIgnoreCase": _Operator(_string_ignoring_case),
    "StringNotEqualsIgnoreCase": _Operator(_string_ignoring_case, is_negated=True),
    "StringLike": _Operator(_like),
    "StringNotLike": _Operator(_like, is_negated=True),
    "ArnEquals": _Operator(_arn),
    "ArnLike": _Operator(_arn),
    "ArnNotEquals": _Operator(_arn, is_negated=True),
    "ArnNotLike": _Operator(_arn, is_negated=True),
    "Bool": _Operator(_boolean, check=_is_boolean),
    "BinaryEquals": _Operator(_comparing(_binary, lambda order: order == 0), check=_binary),
    "IpAddress": _Operator(_address, check=_network),
    "NotIpAddress": _Operator(_address, is_negated=True, check=_network),
    **_ordered("Numeric", _number),
    **_ordered("Date", _moment),
}
OPERATORS = frozenset(_OPERATORS) | {_NULL}
"""The names of the operators, without what may stand before and after them."""
