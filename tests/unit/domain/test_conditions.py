import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.conditions import OPERATORS, ConditionError, Context, holds, parse
from lambdabox.domain.wildcards import filled_in, fits, is_match

QUEUE = "arn:aws:sqs:us-east-1:000000000000:queue"


def is_true(name: str, wanted: str | tuple[str, ...], *actual: str, **context: str) -> bool:
    values = (wanted,) if isinstance(wanted, str) else wanted
    known: Context = {
        **{key.replace("_", ":"): (value,) for key, value in context.items()},
        **({"aws:key": actual} if actual else {}),
    }
    return holds(parse(name, "AWS:Key", values), known)


@pytest.mark.parametrize(
    ("name", "wanted", "actual", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "*", "a", False),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEqualsIgnoreCase", "a", "A", False),
        ("StringLike", "a*c?", "abcd", True),
        ("StringLike", "a*c?", "abc", False),
        ("StringNotLike", "a*", "b", True),
        ("ArnLike", "arn:aws:sqs:*:*:que*", QUEUE, True),
        ("ArnLike", "arn:aws:*:queue", QUEUE, False),
        ("ArnLike", "*", QUEUE, True),
        ("ArnEquals", "arn:aws:sqs:us-east-1:000000000000:*", QUEUE, True),
        ("ArnEquals", QUEUE, "queue", False),
        ("ArnNotEquals", QUEUE, QUEUE, False),
        ("ArnNotLike", "arn:aws:sns:*:*:*", QUEUE, True),
        ("Bool", "true", "True", True),
        ("Bool", "false", "true", False),
        ("BinaryEquals", "YQ==", "YQ==", True),
        ("BinaryEquals", "YQ==", "?", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericEquals", "10", "ten", False),
        ("NumericNotEquals", "10", "ten", True),
        ("NumericLessThan", "10", "9", True),
        ("NumericLessThan", "10", "10", False),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericGreaterThan", "9", "10", True),
        ("NumericGreaterThanEquals", "10", "9", False),
        ("DateLessThan", "2026-01-02T00:00:00Z", "2026-01-01", True),
        ("DateEquals", "2026-01-01T00:00:00Z", "1767225600", True),
        ("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+01:00", False),
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
        ("IpAddress", "10.0.0.0/8", "11.1.2.3", False),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
        ("IpAddress", "10.0.0.0/8", "no address", False),
        ("NotIpAddress", "10.0.0.1", "10.0.0.2", True),
    ],
)
def test_an_operator_compares(name: str, wanted: str, actual: str, expected: bool) -> None:
    assert is_true(name, wanted, actual) is expected


def test_one_of_the_wanted_values_is_enough_and_none_of_the_unwanted() -> None:
    assert is_true("StringEquals", ("a", "b"), "b")
    assert not is_true("StringNotEquals", ("a", "b"), "b")
    assert is_true("StringNotEquals", ("a", "b"), "c")


def test_a_missing_key_equals_nothing() -> None:
    assert not is_true("StringEquals", "a")
    assert is_true("StringNotEquals", "a")
    assert is_true("StringEqualsIfExists", "a")
    assert not is_true("StringEqualsIfExists", "a", "b")


def test_null_asks_whether_the_key_is_missing() -> None:
    assert is_true("Null", "true")
    assert not is_true("Null", "false")
    assert is_true("Null", "false", "a")
    assert not is_true("Null", "true", "a")


def test_quantifiers_say_how_many_values_must_fit() -> None:
    assert is_true("ForAnyValue:StringEquals", ("a", "b"), "c", "a")
    assert not is_true("ForAnyValue:StringEquals", "a", "b", "c")
    assert not is_true("ForAnyValue:StringEquals", "a")
    assert is_true("ForAllValues:StringLike", ("a*", "b"), "ab", "b")
    assert not is_true("ForAllValues:StringEquals", "a", "a", "b")
    assert is_true("ForAllValues:StringEquals", "a")
    assert is_true("ForAnyValue:StringNotEquals", "a", "a", "b")
    assert not is_true("ForAnyValue:StringNotEquals", "a", "a")
    assert not is_true("ForAnyValue:StringNotEquals", "a")
    assert not is_true("ForAllValues:StringNotEquals", "a", "a", "b")
    assert is_true("ForAnyValue:StringEqualsIfExists", "a")


def test_variables_are_filled_in() -> None:
    assert is_true("StringEquals", "${aws:username}", "ann", aws_username="ann")
    assert not is_true("StringEquals", "${aws:username}", "ann")
    assert is_true("StringEquals", "${aws:username, 'ann'}", "ann")
    assert not is_true("StringLike", "${aws:username}", "ann", aws_username="*")
    assert is_true("StringLike", "${*}?", "*a")
    assert is_true("ArnLike", "arn:aws:sqs:*:*:${aws:username}", QUEUE, aws_username="queue")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StringSame", "a"),
        ("ForSomeValues:StringEquals", "a"),
        (":StringEquals", "a"),
        ("NullIfExists", "true"),
        ("IfExists", "true"),
        ("Bool", "perhaps"),
        ("Null", "perhaps"),
        ("NumericEquals", "ten"),
        ("NumericEquals", "Infinity"),
        ("DateEquals", "tomorrow"),
        ("IpAddress", "here"),
        ("BinaryEquals", "?"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConditionError):
        parse(name, "aws:key", (value,))


POSITIVE = sorted(
    name for name in OPERATORS if "Not" in name and name.replace("Not", "", 1) in OPERATORS
)


@given(
    st.sampled_from(POSITIVE),
    st.lists(st.sampled_from(["1", "2", "10.0.0.1", QUEUE, "a*"]), min_size=1, max_size=3),
    st.lists(st.sampled_from(["1", "2", "10.0.0.1", QUEUE, "ab"]), max_size=1),
)
def test_a_negated_operator_is_the_opposite(
    negated: str, wanted: list[str], actual: list[str]
) -> None:
    positive = negated.replace("Not", "", 1)
    try:
        opposite = is_true(positive, tuple(wanted), *actual)
    except ConditionError:
        with pytest.raises(ConditionError):
            is_true(negated, tuple(wanted), *actual)
        return
    assert is_true(negated, tuple(wanted), *actual) is not opposite


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_match_as_a_regular_expression_does(pattern: str, text: str) -> None:
    expected = re.fullmatch(pattern.replace("*", ".*").replace("?", "."), text) is not None
    assert is_match(pattern, text) is expected


@given(st.text("ab*?${}", max_size=12), st.text(max_size=8))
def test_a_value_filled_in_matches_itself_alone(around: str, value: str) -> None:
    pattern = filled_in("<${aws:username}>", {"aws:username": value}.get)
    assert pattern is not None
    assert fits(pattern, f"<{value}>")
    assert fits(pattern, f"<{around}>") is (around == value)
