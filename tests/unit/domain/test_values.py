"""A value is what the standard library's frozen dataclass with slots is."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

import pytest

from lambdabox.domain import values

T = TypeVar("T")
DECLARATIONS: list[Callable[..., Any]] = [dataclasses.dataclass, values.dataclass]


def declared(declare: Callable[..., Any]) -> Any:
    @declare(frozen=True, slots=True)
    class Order:
        """What somebody wants."""

        name: str
        parts: list[int] = field(default_factory=list)
        count: int = 1
        note: str = field(default="", compare=False, repr=False)
        urgent: bool = field(default=False, kw_only=True)

        @property
        def total(self) -> int:
            return self.count * len(self.parts)

    return Order


@pytest.fixture(params=DECLARATIONS, ids=["dataclasses", "values"])
def declare(request: pytest.FixtureRequest) -> Any:
    """Each test holds for both, so that what differs is seen."""
    return request.param


def test_parameters_have_their_order_defaults_and_types(declare: Any) -> None:
    order = declared(declare)
    parameters = inspect.signature(order.__init__).parameters
    assert list(parameters) == ["self", "name", "parts", "count", "note", "urgent"]
    assert parameters["urgent"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["count"].default == 1
    assert order.__init__.__annotations__["name"] is str
    made = order("a")
    assert (made.name, made.parts, made.count, made.note, made.urgent) == ("a", [], 1, "", False)
    assert order("a").parts is not made.parts
    assert order(name="a", parts=[1, 2], count=3).total == 6
    wrongs: list[tuple[Any, ...]] = [(), ("a", [], 1, "", True), ("a", [], 1, "", False, 7)]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            order(*wrong)
    with pytest.raises(TypeError):
        order("a", other=1)


def test_values_are_equal_when_what_is_compared_is(declare: Any) -> None:
    order = declared(declare)
    assert order("a", [1], note="x") == order("a", [1], note="y")
    assert order("a") != order("b")
    assert order("a") != ("a", [], 1, False)
    assert order("a") != declared(declare)("a")  # another class of the same name


def test_values_are_found_in_dictionaries(declare: Any) -> None:
    @declare(frozen=True, slots=True)
    class Key:
        account: str
        name: str = field(hash=False)

    @declare(frozen=True, slots=True)
    class One:
        only: str

    @declare(frozen=True, slots=True)
    class Nothing:
        pass

    key: Any = Key
    one: Any = One
    assert {key("1", "a"): 1}[key("1", "a")] == 1
    assert hash(key("1", "a")) == hash(key("1", "b"))
    assert len({one("a"), one("a"), one("b"), Nothing(), Nothing()}) == 3
    assert one("a") == one("a") != one("b")
    assert Nothing() == Nothing()
    with pytest.raises(TypeError, match="unhashable"):
        hash(declared(declare)("a"))


def test_a_value_is_shown_with_its_fields(declare: Any) -> None:
    shown = repr(declared(declare)("a", note="unseen"))
    assert shown.endswith("Order(name='a', parts=[], count=1, urgent=False)")


def test_nothing_of_a_value_changes(declare: Any) -> None:
    made = declared(declare)("a")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'name'"):
        made.name = "b"
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'name'"):
        del made.name
    with pytest.raises((FrozenInstanceError, TypeError)):
        made.unknown = 1
    assert not hasattr(made, "__dict__")


def test_a_value_is_a_dataclass_to_everybody_else(declare: Any) -> None:
    order = declared(declare)
    made = order("a", [1])
    assert [each.name for each in fields(order)] == ["name", "parts", "count", "note", "urgent"]
    assert replace(made, count=2) == order("a", [1], 2)
    assert dataclasses.asdict(made)["parts"] == [1]
    assert order.__match_args__ == ("name", "parts", "count", "note")
    assert order.__doc__ == "What somebody wants."
    match made:
        case order(name, [part]):
            assert (name, part) == ("a", 1)
        case _:
            pytest.fail("not matched")


def test_what_a_class_writes_itself_is_kept(declare: Any) -> None:
    checked = []

    @declare(frozen=True, slots=True)
    class Named:
        name: str

        def __post_init__(self) -> None:
            checked.append(self.name)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return hash(self.name.lower())

        def __repr__(self) -> str:
            return f"<{self.name}>"

    named: Any = Named
    assert repr(named("A")) == "<A>"
    assert {named("A")} == {named("a")}
    assert checked == ["A", "A", "a"]


def test_a_generic_value_takes_its_parameter() -> None:
    @values.dataclass(frozen=True, slots=True)
    class Held(Generic[T]):
        record: T

    assert Held[int](3) == Held(3)


@values.dataclass(frozen=True, slots=True)
class Base:
    name: str


@dataclass(frozen=True, slots=True)
class Derived(Base):
    count: int = 0


@values.dataclass(frozen=True, slots=True)
class DerivedToo(Base):
    count: int = 0


def test_values_are_copied_and_pickled() -> None:
    for made in (Base("a"), Derived("a", 2), DerivedToo("a", 2)):
        assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301  # made here
        assert copy.deepcopy(made) == made


def test_a_value_may_be_a_base() -> None:
    others: list[Base] = [DerivedToo("a", 2), Base("a")]
    assert Derived("a", 2) not in others
    assert repr(DerivedToo("a", 2)) == "DerivedToo(name='a', count=2)"


def test_what_can_change_is_left_to_the_standard_library() -> None:
    @values.dataclass(slots=True)
    class Counter:
        count: int = 0

    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)


def test_a_field_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="no parameter"):

        @values.dataclass(frozen=True, slots=True)
        class Odd:
            name: str = field(init=False, default="")
