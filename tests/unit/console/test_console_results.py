"""How what a function returns is laid out, and which events are taken."""

import pytest

from lambdabox.console.payload_text import MAX_SHOWN, checked_event, shown
from lambdabox.domain.errors import InvalidParameterValueException


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        ('"Ä"'.encode(), '"Ä"'),
        (b'"\\ud800"', '"?"'),
        (b"no JSON \xff", "no JSON \ufffd"),
        (b"", ""),
    ],
)
def test_results_are_laid_out_as_far_as_they_are_json(payload: bytes, text: str) -> None:
    assert shown(payload) == text


def test_deep_and_long_results_are_survived() -> None:
    deep = b"[" * 300 + b"]" * 300
    assert shown(deep).replace(" ", "").replace("\n", "").encode() == deep
    deeper = b"[" * 90_000 + b"]" * 90_000
    assert shown(deeper).encode() == deeper
    assert len(shown(b"1" * (MAX_SHOWN + 100))) == MAX_SHOWN + 2


def test_an_event_is_json_and_stays_as_it_was_written() -> None:
    text = '{ "large": 123456789012345678901234567890 }\n'
    assert checked_event(text) == text
    for broken in ("", "{", "[" * 100_000, "nope"):
        with pytest.raises(InvalidParameterValueException, match="The event is not JSON"):
            checked_event(broken)
