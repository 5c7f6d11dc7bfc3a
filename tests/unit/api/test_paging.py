"""Markers come back as they were given, and nothing else is taken for one."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.api.paging import page_size, read_marker, write_marker
from lambdabox.domain.errors import InvalidParameterValueException


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**31 - 1))
def test_a_marker_comes_back(name: str, position: int) -> None:
    assert read_marker(write_marker(name, position), str, int) == (name, position)


@pytest.mark.parametrize("marker", [None, ""])
def test_no_marker_is_the_beginning(marker: str | None) -> None:
    assert read_marker(marker, str, int) is None


def forged(place: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


@pytest.mark.parametrize(
    "marker",
    [
        "x",
        "not base64!",
        "é",
        "\ud800",
        "////",
        base64.urlsafe_b64encode(b"{").decode(),
        forged({}),
        forged("hello"),
        forged([]),
        forged(["hello"]),
        forged(["hello", "1"]),
        forged(["hello", True]),
        forged(["hello", 1.5]),
        forged(["hello", None]),
        forged([1, "hello"]),
        forged(["hello", 1, 2]),
        forged(["hello", 2**31]),
        forged(["hello", 2**64 - 1]),
        forged(["hello", -1]),
    ],
)
def test_what_is_no_marker_of_ours_is_refused(marker: str) -> None:
    with pytest.raises(InvalidParameterValueException, match="NextMarker"):
        read_marker(marker, str, int)


@given(st.text(max_size=40))
def test_any_text_is_a_marker_or_is_refused(text: str) -> None:
    try:
        place = read_marker(text, str, int)
    except InvalidParameterValueException:
        return
    assert place is None or (type(place[0]), type(place[1])) == (str, int)


@pytest.mark.parametrize(
    ("requested", "size"), [(None, 50), (1, 1), (50, 50), (51, 50), (10_000, 50)]
)
def test_a_page_has_at_most_50_items(requested: int | None, size: int) -> None:
    assert page_size(requested) == size
