"""The model's Java patterns mean the same here, and no input makes them slow."""

import re
import sys
import time
import unicodedata
from collections.abc import Iterator

import pytest
from wire import LAMBDA, LOGS

from lambdabox.api import patterns
from lambdabox.api.model import ServiceApi

PREFIXES = (
    "",
    "a",
    "arn:",
    "arn:aws",
    "arn:aws:lambda:us-east-1:123456789012:",
    "arn:aws:lambda:us-east-1:123456789012:function:",
    "arn:aws:iam::123456789012:role/",
    "kafka://",
)
FILLERS = (
    "a",
    "0",
    "-",
    "_",
    ".",
    "/",
    ":",
    "+",
    "$",
    " ",
    "*",
    "é",
    "\n",
    "a.",
    "a-",
    "a:",
    "$LATEST",
)
ENDINGS = ("", "!", "\n", ".")
SECONDS = 0.5


def _shapes(api: ServiceApi) -> Iterator[tuple[str, str, int]]:
    for name in api.service.shapes:
        shape = api.service.shape_for(name)
        if shape.type_name == "string" and shape.metadata.get("pattern"):
            longest = min(
                shape.metadata.get("max", patterns.MAX_MATCHED_CHARS), patterns.MAX_MATCHED_CHARS
            )
            yield name, shape.metadata["pattern"], longest


ALL = [
    pytest.param(pattern, longest, id=f"{api.service.service_name} {name}")
    for api in (LAMBDA, LOGS)
    for name, pattern, longest in _shapes(api)
]


@pytest.mark.parametrize(("pattern", "longest"), ALL)
def test_no_value_of_allowed_length_makes_a_pattern_slow(pattern: str, longest: int) -> None:
    for prefix in PREFIXES:
        for filler in FILLERS:
            for ending in ENDINGS:
                value = (prefix + filler * longest)[: longest - len(ending)] + ending
                start = time.process_time()
                patterns.matches(pattern, value)
                assert time.process_time() - start < SECONDS, value[:80]


def test_every_shape_with_a_pattern_is_covered() -> None:
    assert len(ALL) > 80


@pytest.mark.parametrize("escape", ["L", "Z", "N"])
def test_a_unicode_class_holds_what_the_unicode_database_says(escape: str) -> None:
    tag = LAMBDA.service.shape_for("TagKey").metadata["pattern"]
    compiled = patterns.compiled(tag)
    for code_point in range(sys.maxunicode + 1):
        char = chr(code_point)
        if unicodedata.category(char).startswith(escape):
            assert compiled.fullmatch(char), hex(code_point)


def test_no_other_character_is_in_the_unicode_classes() -> None:
    compiled = patterns.compiled(LAMBDA.service.shape_for("TagKey").metadata["pattern"])
    also = set("_.:/=+-@")
    for code_point in range(sys.maxunicode + 1):
        char = chr(code_point)
        if char not in also and unicodedata.category(char)[0] not in "LZN":
            assert not compiled.fullmatch(char), hex(code_point)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        (r"\d{12}", "123456789012", True),
        (r"\d{12}", "\u0661" * 12, False),
        (r"[^\s]+", "a\u00a0b", True),
        (".*", "a\rb", False),
        (".*", "a\u2028b", False),
        (".*", "a\u000bb", True),
        ("a", "a\n", False),
        ("a|b", "ab", False),
        (r"[\s\S]*", "a\nb", True),
        (r"[.]", "a", False),
        (r"\.", "a", False),
        (r"[\w-_]*", "a-_", True),
        (r"[a\].]", "]", True),
        (r"a\-b", "a-b", True),
        (r"a\-b", "a--b", False),
        (r"\d-\d", "1-2", True),
        (r"[^\]]+", "a.", True),
        (r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "12", False),
        (r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "12a", True),
    ],
)
def test_a_pattern_means_what_it_means_in_java(pattern: str, value: str, expected: bool) -> None:
    assert patterns.matches(pattern, value) is expected


def test_a_value_past_the_bound_is_not_tried() -> None:
    assert not patterns.matches(".*", "a" * (patterns.MAX_MATCHED_CHARS + 1))


def test_a_unicode_class_that_cannot_be_carried_over_is_an_error() -> None:
    with pytest.raises(re.error):
        patterns.compiled(r"\p{Lu}+")
