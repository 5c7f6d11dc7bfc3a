import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdabox.domain.event_conditions import BadPattern
from lambdabox.domain.event_filters import compile_pattern

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
WORDS = ["a", "b", "exists", "prefix", "numeric", "anything-but", "wildcard", "$or", "cidr", "="]
PATTERNS = st.recursive(
    st.one_of(SCALARS, st.sampled_from(WORDS)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=12,
)


def matches(pattern: Any, event: Any) -> bool:
    return compile_pattern(json.dumps(pattern)).matches(event)


def leaf(condition: Any, value: Any) -> bool:
    return matches({"a": [condition]}, {"a": value})


@pytest.mark.parametrize(
    ("condition", "fitting", "other"),
    [
        ("x", ["x", ["y", "x"]], ["X", "", None, 1, [], {}, {"x": "x"}]),
        ("", [""], ["x", None]),
        (None, [None, [1, None]], ["", 0, False, "null"]),
        (True, [True], [1, "true", False]),
        (0, [0], [0.0, False, "0"]),
        (300, [300], [300.0, "300"]),
        ({"prefix": "ab"}, ["ab", "abc"], ["Ab", "ba", 1, None]),
        ({"prefix": {"equals-ignore-case": "Ab"}}, ["aBc"], ["ba"]),
        ({"suffix": ".png"}, ["x.png"], ["x.PNG", "png"]),
        ({"suffix": {"equals-ignore-case": ".png"}}, ["x.PNG"], ["x.jpg"]),
        ({"equals-ignore-case": "ABC"}, ["abc", "Abc"], ["abcd", 1]),
        ({"wildcard": "a*c"}, ["ac", "abc", "aXcc"], ["ab", "bac"]),
        ({"wildcard": "a*b*b"}, ["abb", "axbxb"], ["ab", "a"]),
        ({"wildcard": "a\\*b\\\\"}, ["a*b\\"], ["axb\\", "ab"]),
        ({"wildcard": "*"}, ["", "x"], [None, 1]),
        ({"numeric": ["=", 3]}, [3, 3.0, 3.0000001], [4, "3", True, None]),
        ({"numeric": [">", 0, "<=", 5]}, [1, 5, 0.5], [0, 5.1, -1]),
        ({"numeric": ["<", 5, ">=", 0]}, [0, 4.9], [5, -1]),
        ({"numeric": [">", 0]}, [1, 5e9], [0, 5e9 + 1, float("inf")]),
        ({"anything-but": "x"}, ["y", "", 1, None, ["x", "y"]], ["x", ["x"], []]),
        ({"anything-but": ["x", "y"]}, ["z"], ["x", "y"]),
        ({"anything-but": [1, 2]}, [3, "1"], [1, 2]),
        ({"anything-but": {"prefix": "ab"}}, ["b"], ["abc"]),
        ({"anything-but": {"prefix": ["a", "b"]}}, ["c"], ["ab", "ba"]),
        ({"anything-but": {"suffix": "ab"}}, ["b"], ["cab"]),
        ({"anything-but": {"equals-ignore-case": ["ab", "c"]}}, ["b"], ["AB", "C"]),
        ({"anything-but": {"wildcard": "a*"}}, ["b"], ["abc"]),
        ({"cidr": "10.0.0.0/8"}, ["10.1.2.3"], ["11.0.0.1", "x", 10, "::1"]),
        ({"cidr": "fd00::/8"}, ["fd12::1"], ["fe80::1", "10.0.0.1"]),
        ({"exists": True}, ["x", None, 0, [1]], [[], {}, {"b": 1}]),
        ({"exists": False}, [[], {"b": 1}], ["x", None]),
    ],
)
def test_a_condition_matches_what_it_says(
    condition: Any, fitting: list[Any], other: list[Any]
) -> None:
    assert [value for value in fitting if not leaf(condition, value)] == []
    assert [value for value in other if leaf(condition, value)] == []


def test_fields_must_all_match_and_values_are_alternatives() -> None:
    pattern = {"a": {"x": [1, 2]}, "b": ["y"]}
    assert matches(pattern, {"a": {"x": 2, "more": 0}, "b": "y"})
    assert not matches(pattern, {"a": {"x": 2}})
    assert not matches(pattern, {"a": {"x": 3}, "b": "y"})
    assert not matches(pattern, {"a": 2, "b": "y"})
    assert not matches({"A": ["x"]}, {"a": "x"})


def test_or_works_at_every_level() -> None:
    pattern = {"k": ["v"], "$or": [{"a": [1]}, {"b": {"$or": [{"x": [1]}, {"y": [1]}]}}]}
    assert matches(pattern, {"k": "v", "a": 1})
    assert matches(pattern, {"k": "v", "b": {"y": 1}})
    assert not matches(pattern, {"k": "v", "b": {"z": 1}})
    assert not matches(pattern, {"a": 1})


def test_what_is_missing_matches_only_exists_false() -> None:
    absent = {"a": {"b": [{"exists": False}]}}
    assert matches(absent, {})
    assert matches(absent, {"a": {}})
    assert not matches(absent, {"a": {"b": 1}})
    assert matches({"a": ["x", {"exists": False}]}, {})
    assert not matches({"a": [{"anything-but": ["x"]}]}, {})
    assert not matches({"a": [None]}, {})


def test_fields_match_within_one_element_of_an_array() -> None:
    event = {"a": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}
    assert matches({"a": {"x": [3], "y": [4]}}, event)
    assert not matches({"a": {"x": [1], "y": [4]}}, event)
    assert not matches({"a": {"x": [3], "y": [{"exists": False}]}}, event)
    # A field that any element has is not lacking, as with EventBridge.
    assert not matches({"a": {"z": [{"exists": False}]}}, {"a": [{"z": 1}, {"x": 1}]})


@pytest.mark.parametrize(
    "pattern",
    [
        [], "x", 1, None, {}, {"a": []}, {"a": {}}, {"a": "x"}, {"a": 1}, {"a": None},
        {"a": [[]]}, {"a": [["x"]]}, {"a": [{}]}, {"a": [{"no-such": "x"}]},
        {"a": [{"prefix": "x", "suffix": "y"}]}, {"a": [{"prefix": 1}]}, {"a": [{"suffix": ["x"]}]},
        {"a": [{"prefix": {"suffix": "x"}}]}, {"a": [{"exists": "true"}]}, {"a": [{"exists": 1}]},
        {"a": [{"numeric": []}]}, {"a": [{"numeric": ["<"]}]}, {"a": [{"numeric": ["~", 1]}]},
        {"a": [{"numeric": ["<", "1"]}]}, {"a": [{"numeric": ["=", 6e9]}]},
        {"a": [{"numeric": ["<", 1, "<", 2]}]}, {"a": [{"numeric": [">", 2, "<", 1]}]},
        {"a": [{"numeric": [">", 2, "=", 2]}]}, {"a": [{"numeric": [{}, 1]}]},
        {"a": [{"anything-but": []}]}, {"a": [{"anything-but": ["x", 1]}]},
        {"a": [{"anything-but": [None]}]}, {"a": [{"anything-but": True}]},
        {"a": [{"anything-but": {"numeric": ["=", 1]}}]}, {"a": [{"anything-but": {}}]},
        {"a": [{"anything-but": {"prefix": ""}}]}, {"a": [{"anything-but": {"prefix": []}}]},
        {"a": [{"cidr": "10.0.0.0/99"}]}, {"a": [{"cidr": 1}]}, {"a": [{"wildcard": "a**b"}]},
        {"a": [{"wildcard": "a\\b"}]}, {"a": [{"wildcard": "a\\"}]}, {"a": [{"wildcard": 1}]},
        {"$or": []}, {"$or": [{"a": [1]}]}, {"$or": {"a": [1]}}, {"$or": [{"a": [1]}, 1]},
    ],
)  # fmt: skip
def test_a_pattern_that_breaks_the_rules_is_refused(pattern: Any) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(json.dumps(pattern))


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": [NaN]}', '{"a":' * 100_000, '{"a":' * 100 + "[1]" + "}" * 100, "[" * 100_000],
)
def test_a_text_that_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(text)


def test_deeply_nested_data_does_no_harm() -> None:
    nested: Any = "x"
    for _ in range(50_000):
        nested = [nested]
    assert matches({"a": ["x"]}, {"a": nested})
    while isinstance(nested, list):  # else taking it apart would recurse
        nested = nested.pop()


@settings(deadline=None)
@given(PATTERNS, JSON)
def test_any_text_is_a_pattern_that_decides_or_is_refused(pattern: Any, event: Any) -> None:
    try:
        compiled = compile_pattern(json.dumps(pattern))
    except BadPattern:
        return
    assert compiled.matches(event if isinstance(event, dict) else {"a": event}) in (True, False)


@settings(deadline=None)
@given(SCALARS)
def test_a_value_matches_itself_and_not_anything_but_itself(value: Any) -> None:
    assert leaf(value, json.loads(json.dumps(value)))
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        assert not leaf({"anything-but": [value]}, value)


@settings(deadline=None)
@given(st.text("ab*", max_size=6).filter(lambda text: "**" not in text), st.text("ab", max_size=8))
def test_wildcards_agree_with_the_shell(pattern: str, text: str) -> None:
    assert leaf({"wildcard": pattern}, text) == fnmatchcase(text, pattern)


@settings(deadline=None)
@given(st.integers(-100, 100), st.integers(-100, 100), st.integers(-100, 100))
def test_numeric_ranges_are_arithmetic(low: int, high: int, value: int) -> None:
    if low >= high:
        return
    assert leaf({"numeric": [">=", low, "<", high]}, value) == (low <= value < high)
    assert leaf({"numeric": ["<=", high, ">", low]}, value) == (low < value <= high)
