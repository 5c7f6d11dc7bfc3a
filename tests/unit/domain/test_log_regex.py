"""The linear-time regular expressions, compared with Python's own."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdabox.domain.log_regex import LogRegex, RegexError

ATOMS = ["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "-", "[a-c-]", r"[\]\-x]"]
QUANTIFIERS = ["", "", "", "?", "*", "+", "{2}", "{1,3}", "{2,}", "{0,1}"]

pieces = st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)).map("".join)
chains = st.tuples(
    st.sampled_from(["", "", "^"]),
    st.lists(pieces, min_size=1, max_size=5).map("".join),
    st.sampled_from(["", "", "$"]),
).map("".join)
expressions = st.lists(chains, min_size=1, max_size=3).map("|".join)


@settings(max_examples=600, deadline=None)
@given(expressions, st.text(alphabet="abcd1. -]x\n", max_size=12))
def test_it_finds_what_python_finds(source: str, text: str) -> None:
    # Python's $ also matches before a final newline; \Z is the end itself.
    reference = re.compile(source.replace("$", r"\Z"), re.ASCII | re.DOTALL)
    assert LogRegex(source).search(text) == bool(reference.search(text))


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        pytest.param("AUTHORIZED", "[ERROR 401] UNAUTHORIZED", True, id="anywhere"),
        pytest.param(r"127\.0\.0\.[1-9]", "from 127.0.0.7", True, id="escaped dots"),
        pytest.param(r"127\.0\.0\.1", "127x0x0x1", False, id="an escaped dot is a dot"),
        pytest.param(r"\x41", "A", True, id="hexadecimal"),
        pytest.param("a|^b", "ab", True, id="choice"),
        pytest.param("^b", "ab", False, id="start"),
        pytest.param(r"a\$", "a$", True, id="an escaped dollar is a dollar"),
        pytest.param(r"[|]x", "|x", True, id="a bar in a class is a bar"),
        pytest.param("[[]", "[", True, id="a bracket in a class"),
        pytest.param("[a&&b]", "&", True, id="ampersands in a class"),
        pytest.param("x*", "", True, id="nothing is enough"),
    ],
)
def test_search(source: str, text: str, found: bool) -> None:
    assert LogRegex(source).search(text) is found


@pytest.mark.parametrize(
    "source",
    [
        "(a)",
        "*a",
        "a{2",
        "[a",
        "a**",
        "a^b",
        "a$b",
        "[z-a]",
        r"\b",
        r"\1",
        "a{3,2}",
        "a{101}",
        "[abc]{100}" * 6,
        "a\\",
    ],
)
def test_what_is_outside_the_dialect_is_refused(source: str) -> None:
    with pytest.raises(RegexError):
        LogRegex(source)


@pytest.mark.timeout(20)  # backtracking would need years
@pytest.mark.parametrize("source", [".*.*.*.*.*.*.*.*=x", "a?" * 40 + "a" * 40 + "b"])
def test_an_expression_that_makes_backtracking_explode_ends_soon(source: str) -> None:
    assert LogRegex(source).search("a" * 100_000) is False
