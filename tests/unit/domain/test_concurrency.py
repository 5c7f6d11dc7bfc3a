"""How concurrency is shared out, and what is refused in whose words."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.concurrency import AccountShares, Share, check_overlap, split, spread
from lambdabox.domain.errors import InvalidParameterValueException, ResourceConflictException


def shares(limit: int = 1_000, **named: Share) -> AccountShares:
    return AccountShares(limit, named)


@pytest.mark.parametrize(
    ("found", "unreserved"),
    [
        pytest.param(shares(), 1_000, id="nothing is given away"),
        pytest.param(shares(a=Share(300), b=Share(0)), 700, id="reservations"),
        pytest.param(shares(a=Share(None, {"1": 5, "live": 7})), 988, id="provisioned"),
        pytest.param(shares(a=Share(50, {"1": 20})), 950, id="provisioned within the reserved"),
        pytest.param(shares(10, a=Share(30)), 0, id="the limit was lowered"),
    ],
)
def test_what_is_left_for_everybody(found: AccountShares, unreserved: int) -> None:
    assert found.unreserved == unreserved


@pytest.mark.parametrize(
    ("found", "count"),
    [
        pytest.param(shares(), 900, id="all but what must stay"),
        pytest.param(shares(), 0, id="switched off"),
        pytest.param(shares(f=Share(900)), 900, id="the same again"),
        pytest.param(shares(f=Share(5, {"1": 3})), 3, id="as much as is provisioned"),
        pytest.param(shares(f=Share(None, {"1": 300}), g=Share(600)), 300, id="its own claim"),
        pytest.param(shares(10), 0, id="a small account can switch off"),
        pytest.param(shares(100, f=Share(80), g=Share(90)), 70, id="less of too much"),
    ],
)
def test_what_can_be_reserved(found: AccountShares, count: int) -> None:
    found.check_reservation("f", count)


@pytest.mark.parametrize(
    ("found", "count", "minimum"),
    [
        pytest.param(shares(), 901, 100, id="too much"),
        pytest.param(shares(g=Share(500)), 401, 100, id="with what others have"),
        pytest.param(shares(g=Share(None, {"1": 500})), 401, 100, id="provisioned counts"),
        pytest.param(shares(10), 1, 10, id="a small account has nothing to give"),
    ],
)
def test_a_reservation_leaves_enough_for_others(
    found: AccountShares, count: int, minimum: int
) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        found.check_reservation("f", count)
    assert refused.value.message == (
        "Specified ReservedConcurrentExecutions for function decreases account's "
        f"UnreservedConcurrentExecution below its minimum value of [{minimum}]."
    )
    assert not refused.value.has_type


def test_a_reservation_holds_what_is_provisioned() -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        shares(f=Share(None, {"1": 1, "live": 1})).check_reservation("f", 1)
    assert refused.value.message == (
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned "
        "concurrency [2]."
    )
    assert not refused.value.has_type


@pytest.mark.parametrize(
    ("found", "count"),
    [
        pytest.param(shares(), 900, id="all but what must stay"),
        pytest.param(shares(f=Share(None, {"1": 800})), 900, id="in place of what it has"),
        pytest.param(shares(f=Share(5, {"2": 2}), g=Share(895)), 3, id="within the reserved"),
    ],
)
def test_what_can_be_provisioned(found: AccountShares, count: int) -> None:
    found.check_provisioning("f", "1", count)


WITHIN = (
    "Requested Provisioned Concurrency should not be greater than the "
    "reservedConcurrentExecution for function"
)
DECREASES = (
    "Specified ConcurrentExecutions for function decreases account's "
    "UnreservedConcurrentExecution below its minimum value of [100]."
)
GREATER = (
    "Specified ConcurrentExecutions for function is greater than account's unreserved "
    "concurrency [{}]."
)


@pytest.mark.parametrize(
    ("found", "count", "message", "has_type"),
    [
        pytest.param(shares(f=Share(5, {"2": 3})), 3, WITHIN, True, id="reserved"),
        pytest.param(shares(), 901, DECREASES, False, id="too little left"),
        pytest.param(shares(g=Share(400)), 501, DECREASES, False, id="with what others have"),
        pytest.param(shares(), 1_001, GREATER.format(1_000), False, id="more than there is"),
        pytest.param(
            shares(f=Share(None, {"1": 10}), g=Share(100)), 901, GREATER.format(900), False,
            id="more than others leave",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_provisioned(
    found: AccountShares, count: int, message: str, has_type: bool
) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        found.check_provisioning("f", "1", count)
    assert (refused.value.message, refused.value.has_type) == (message, has_type)


ROUTES = {"live": ("1",), "canary": ("2", "3"), "other": ("9",)}


@pytest.mark.parametrize(
    ("qualifier", "provisioned"),
    [("4", ["live", "canary"]), ("1", ["1", "other"]), ("live", ["live", "2"]), ("1", ["gone"])],
)
def test_versions_that_are_provisioned_in_one_way(qualifier: str, provisioned: list[str]) -> None:
    check_overlap(qualifier, provisioned, ROUTES)


ALIAS = "Alias can't be used for Provisioned Concurrency configuration on an already "
VERSION = "Version is pointed by a Provisioned Concurrency alias"


@pytest.mark.parametrize(
    ("qualifier", "provisioned", "message"),
    [
        ("live", ["1"], f"{ALIAS}Provisioned version"),
        ("canary", ["3"], f"{ALIAS}Provisioned version"),
        ("1", ["live"], VERSION),
        ("3", ["canary"], VERSION),
    ],
)
def test_a_version_is_not_provisioned_in_two_ways(
    qualifier: str, provisioned: list[str], message: str
) -> None:
    with pytest.raises(ResourceConflictException) as refused:
        check_overlap(qualifier, provisioned, ROUTES)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("count", "weights", "parts"),
    [
        (5, {"1": 1.0}, {"1": 5}),
        (10, {"1": 0.9, "2": 0.1}, {"1": 9, "2": 1}),
        (1, {"1": 0.9, "2": 0.1}, {"1": 1}),
        (3, {"1": 0.5, "2": 0.5}, {"1": 2, "2": 1}),
        (4, {"1": 0.0, "2": 1.0}, {"2": 4}),
    ],
)
def test_an_alias_divides_by_weight(
    count: int, weights: Mapping[str, float], parts: Mapping[str, int]
) -> None:
    assert spread(count, weights) == parts


@given(count=st.integers(1, 10_000), weight=st.floats(0.0, 1.0))
def test_no_unit_is_lost_in_dividing(count: int, weight: float) -> None:
    parts = spread(count, {"1": 1.0 - weight, "2": weight})
    assert sum(parts.values()) == count
    assert abs(parts.get("2", 0) - count * weight) <= 1


@given(
    total=st.integers(0, 50),
    wanted=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 20), max_size=4),
)
def test_what_is_there_is_told_once(total: int, wanted: dict[str, int]) -> None:
    parts = split(total, wanted)
    assert sum(parts.values()) == min(total, sum(wanted.values()))
    assert all(0 <= parts[name] <= wanted[name] for name in wanted)
