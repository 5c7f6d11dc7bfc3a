"""Check parameters against the constraints of the service model, all of them at once.

AWS answers one `ValidationException` that names every violation in the order of the
model's members, and clients (Terraform, test suites) read its text. What AWS checks
later, with words of its own, is left to `control`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lambdabox.api import patterns, wording
from lambdabox.api.service_model import OperationModel, Shape
from lambdabox.api.values import member_path
from lambdabox.domain import runtimes
from lambdabox.domain.errors import ValidationException
from lambdabox.domain.values import dataclass

# A body of many million wrong elements must not become an answer of gigabytes.
MAX_VIOLATIONS = 100
MAX_KEY_CHARS = 128

# A rule of the service with a message of its own decides about these.
_CHECKED_BY_THE_SERVICE = frozenset({
    ("CreateFunctionRequest", "Runtime"),
    ("UpdateFunctionConfigurationRequest", "Runtime"),
})  # fmt: skip

_NUMBERS = frozenset({"integer", "long", "float", "double"})


@dataclass(frozen=True, slots=True)
class Constraint:
    text: str
    holds: Callable[[Any], bool]
    ends_check: bool = False
    """Whether the constraints after a violated one are not looked at."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    path: str
    shape: Shape
    is_required: bool
    is_composite: bool


class ConstraintChecker:
    """The constraints of one service. Those of a shape are read once, when first needed."""

    def __init__(self) -> None:
        self._constraints: dict[str, tuple[Constraint, ...]] = {}
        self._members: dict[str, tuple[_Member, ...]] = {}

    def check(self, operation: OperationModel, params: Mapping[str, Any]) -> None:
        """Raise a `ValidationException` that tells every violation, or return."""
        shape = operation.input_shape
        if shape is None:
            return
        found = list(islice(self._structure(shape, params, ""), MAX_VIOLATIONS))
        if found:
            errors = "1 validation error" if len(found) == 1 else f"{len(found)} validation errors"
            raise ValidationException(f"{errors} detected: {'; '.join(found)}")

    def _structure(self, shape: Shape, members: Mapping[str, Any], parent: str) -> Iterator[str]:
        known = self._members.get(shape.name)
        if known is None:
            known = self._members[shape.name] = tuple(_members_of(shape))
        for member in known:
            value = members.get(member.name)
            path = f"{parent}.{member.path}" if parent else member.path
            if value is None:
                if member.is_required:
                    yield _violation(member.shape, None, path, wording.NOT_NULL)
            elif member.is_composite:
                yield from self._composite(member.shape, value, path)
            else:
                yield from self._own(member.shape, value, path)

    def _composite(self, shape: Shape, value: Any, path: str) -> Iterator[str]:
        if shape.metadata.get("document"):
            return
        match shape.type_name:
            case "structure":
                yield from self._structure(shape, value, path)
            case "list":
                yield from self._own(shape, value, path)
                yield from self._list(shape, value, path)
            case "map":
                yield from self._own(shape, value, path)
                yield from self._map(shape, value, path)

    def _own(self, shape: Shape, value: Any, path: str) -> Iterable[str]:
        return [_violation(shape, value, path, text) for text in self._violated(shape, value)]

    def _list(self, shape: Shape, items: list[Any], path: str) -> Iterator[str]:
        """Wrong simple elements are told once, on the list; structures one by one."""
        if any(item is None or self._is_wrong(shape.member, item) for item in items):
            yield _violation(shape, items, path, self._elements_text(shape))
        if _is_composite(shape.member):
            for at, item in enumerate(items, 1):
                if item is not None:
                    yield from self._composite(shape.member, item, f"{path}.{at}.member")

    def _map(self, shape: Shape, entries: Mapping[str, Any], path: str) -> Iterator[str]:
        if any(self._is_wrong(shape.key, key) for key in entries):
            text = self._all_texts(shape.key)
            yield _violation(shape, entries, path, f"Map keys must satisfy constraint: [{text}]")
        if any(item is None or self._is_wrong(shape.value, item) for item in entries.values()):
            text = self._all_texts(shape.value, wording.NOT_NULL)
            yield _violation(shape, entries, path, f"Map value must satisfy constraint: [{text}]")
        if _is_composite(shape.value):
            for key, item in entries.items():
                if item is not None:
                    yield from self._composite(
                        shape.value, item, f"{path}.{key[:MAX_KEY_CHARS]}.member"
                    )

    def _elements_text(self, shape: Shape) -> str:
        if shape.name == wording.COMPATIBLE_RUNTIMES:
            return wording.compatible_runtimes_text()
        nullable = shape.name in wording.NULLABLE_LISTS
        text = self._all_texts(shape.member, *(() if nullable else (wording.NOT_NULL,)))
        return f"Member must satisfy constraint: [{text}]"

    def _all_texts(self, shape: Shape, *more: str) -> str:
        """Every constraint of an element is listed, not only the violated ones."""
        own = () if _is_composite(shape) else self._of(shape)
        return ", ".join([*(constraint.text for constraint in own), *more])

    def _is_wrong(self, shape: Shape, value: Any) -> bool:
        return not _is_composite(shape) and bool(self._violated(shape, value))

    def _violated(self, shape: Shape, value: Any) -> Sequence[str]:
        violated = []
        for constraint in self._of(shape):
            if not constraint.holds(value):
                violated.append(constraint.text)
                if constraint.ends_check:
                    break
        return violated

    def _of(self, shape: Shape) -> tuple[Constraint, ...]:
        known = self._constraints.get(shape.name)
        if known is None:
            known = self._constraints[shape.name] = tuple(_constraints_of(shape))
        return known


def _members_of(shape: Shape) -> Iterator[_Member]:
    for name, member in wording.members_in_order(shape).items():
        if (shape.name, name) not in _CHECKED_BY_THE_SERVICE:
            required = name in shape.required_members
            yield _Member(name, member_path("", name), member, required, _is_composite(member))


def _constraints_of(shape: Shape) -> Iterator[Constraint]:
    """In the order in which AWS tells them: upper bound, lower bound, pattern, enum."""
    if shape.type_name in _NUMBERS:
        yield from _range(shape)
    elif shape.type_name in {"string", "blob", "list", "map"}:
        yield from _lengths(shape)
        yield from _texts(shape)


def _range(shape: Shape) -> Iterator[Constraint]:
    is_whole = shape.type_name in {"integer", "long"}
    most, least = shape.metadata.get("max"), shape.metadata.get("min")
    if most is not None:
        upper = str(most) if is_whole else wording.java_double(float(most))
        yield Constraint(
            f"Member must have value less than or equal to {upper}", lambda v: v <= most
        )
    if least is not None:
        lower = str(least) if is_whole else wording.java_double(float(least))
        yield Constraint(
            f"Member must have value greater than or equal to {lower}", lambda v: v >= least
        )


def _lengths(shape: Shape) -> Iterator[Constraint]:
    if (most := shape.metadata.get("max")) is not None:
        # No pattern is tried on a value of unbounded length.
        yield Constraint(
            f"Member must have length less than or equal to {most}",
            lambda v: len(v) <= most,
            ends_check=True,
        )
    if (least := shape.metadata.get("min")) is not None:
        yield Constraint(
            f"Member must have length greater than or equal to {least}", lambda v: len(v) >= least
        )


def _texts(shape: Shape) -> Iterator[Constraint]:
    if (pattern := shape.metadata.get("pattern")) is not None:
        yield Constraint(
            f"Member must satisfy regular expression pattern: {pattern}",
            lambda v: patterns.matches(pattern, v),
        )
    if shape.metadata.get("enum"):
        shown = wording.enum_values(shape)
        accepted = frozenset(shown)
        if shape.name == "Runtime":
            accepted |= runtimes.CREATABLE.keys()
        yield Constraint(wording.enum_text(shown), accepted.__contains__)


def _is_composite(shape: Shape) -> bool:
    return shape.type_name in {"structure", "list", "map"}


def _violation(shape: Shape, value: Any, path: str, text: str) -> str:
    start = wording.shown(shape, value)
    return f"{start} at '{path}' failed to satisfy constraint: {text}"
