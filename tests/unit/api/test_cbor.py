"""CBOR as Smithy's protocol uses it, from clients that may send anything."""

import struct
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.api.cbor import BadCborError, decode, encode

VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=40,
)


@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    assert decode(encode(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(BadCborError):
        decode(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("00", 0), ("1864", 100), ("1bffffffffffffffff", 2**64 - 1), ("3903e7", -1000),
        ("f93c00", 1.0), ("fa47c35000", 100000.0), ("fb3ff199999999999a", 1.1),
        ("f4", False), ("f6", None), ("6449455446", "IETF"), ("83010203", [1, 2, 3]),
        ("a26161016162820203", {"a": 1, "b": [2, 3]}),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
        ("7f657374726561646d696e67ff", "streaming"), ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("c11a514b67b0", 1363896240), ("c1fb41d452d9ec200000", 1363896240.5),
    ],
)  # fmt: skip
def test_the_examples_of_the_standard(data: str, value: Any) -> None:
    assert decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "ends too early", id="nothing"),
        pytest.param(b"\x82\x01", "ends too early", id="a list without its end"),
        pytest.param(b"\x5b" + b"\xff" * 8, "ends too early", id="a string of sixteen exabytes"),
        pytest.param(b"\x9b" + b"\xff" * 8, "ends too early", id="a list of as many"),
        pytest.param(b"\x81" * 100_000, "too deeply", id="a deep nest"),
        pytest.param(b"\x9f" + b"\x00" * 200_000 + b"\xff", "too many values", id="many values"),
        pytest.param(b"\xa1\x01\x02", "keys are strings", id="a key that is a number"),
        pytest.param(b"\xff", "more than one value", id="an end without a beginning"),
        pytest.param(b"\x00\x00", "more than one value", id="two values"),
        pytest.param(b"\xc2\x41\x00", "tags", id="a large number"),
        pytest.param(b"\xf8\x20", "simple value", id="a simple value"),
        pytest.param(b"\x61\xff", "UTF-8", id="no UTF-8"),
        pytest.param(b"\x1c", "length", id="a reserved length"),
        pytest.param(b"\x7f\x41\x00\xff", "another kind", id="bytes in a string"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadCborError, match=reason):
        decode(data)


def test_times_are_tagged_and_members_without_a_value_left_out() -> None:
    moment = datetime(2026, 11, 18, 12, tzinfo=UTC)
    expected = b"\xa1\x61t\xc1\xfb" + struct.pack(">d", moment.timestamp())
    assert encode({"t": moment, "n": None}) == expected
