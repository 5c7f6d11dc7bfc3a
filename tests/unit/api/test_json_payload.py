"""Payloads that are JSON pass; others are refused in the words of AWS's parser."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.api.json_payload import check_json
from lambdabox.domain.errors import InvalidRequestContentException

PREFIX = "Could not parse request body into json: Could not parse payload into json: "


def complaint(text: bytes) -> str:
    with pytest.raises(InvalidRequestContentException) as refused:
        check_json(text)
    assert refused.value.message.startswith(PREFIX)
    return refused.value.message.removeprefix(PREFIX)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values, st.sampled_from([None, 2]))
def test_every_json_value_passes(value: object, indent: int | None) -> None:
    check_json(json.dumps(value, allow_nan=False, indent=indent).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b"0",
        b'""',
        b" [] ",
        b'"\\ud800"',
        b'{"a":1,"a":2}',
        b"1e400",
        b"[" * 900 + b"]" * 900,
    ],
)
def test_unusual_json_passes(text: bytes) -> None:
    check_json(text)


@given(
    st.binary(max_size=60)
    | st.text(alphabet='{}[]",:\\ \n0-ntrue\x00é', max_size=30).map(str.encode)
)
def test_anything_passes_or_is_refused_in_words(text: bytes) -> None:
    try:
        check_json(text)
    except InvalidRequestContentException as refused:
        message = refused.message
    else:
        return
    assert message.startswith(PREFIX)
    assert len(message) < 1_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "Unexpected end-of-input"),
        (b'{"a":1', "Unexpected end-of-input"),
        (b'{"a', "Unexpected end-of-input: was expecting closing quote for a string value"),
        (b"hello", "Unrecognized token 'hello': was expecting (JSON String, Number, Array, "),
        (b'{"a":nope}', "Unrecognized token 'nope': was expecting (JSON String"),
        (b"{a:1}", "Unexpected character ('a' (code 97)): was expecting double-quote to start"),
        (b'{"a" 1}', "Unexpected character ('1' (code 49)): was expecting a colon to separate"),
        (b'{"a":1 "b":2}', "was expecting comma to separate Object entries"),
        (b"[1 2]", "was expecting comma to separate Array entries"),
        (b'{"a":[1,"]}"] 2}', "was expecting comma to separate Object entries"),
        (b'["a\nb"]', "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped"),
        (b'["\\q"]', "Unrecognized character escape ('q' (code 113))"),
        (b"\xff", "Unexpected character ((CTRL-CHAR, code 255)): expected a valid value"),
        (b'{"a":"\xff"}', "Invalid UTF-8 start byte 0xff"),
        (b"NaN", "Non-standard token 'NaN'"),
        (b"[-Infinity]", "Non-standard token '-Infinity'"),
        (b"[" * 200_000, "Document nesting depth exceeds the maximum allowed"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, said: str) -> None:
    assert said in complaint(text)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [(b"{]", 1, 2), (b'{"a":1,\n  "b":]}', 2, 7), (b"\n\n}", 3, 1)],
)
def test_the_place_is_said(text: bytes, line: int, column: int) -> None:
    assert complaint(text).endswith(f"; line: {line}, column: {column}]")


def test_a_long_token_is_not_repeated_whole() -> None:
    assert len(complaint(b"x" * 1_000_000)) < 1_000
