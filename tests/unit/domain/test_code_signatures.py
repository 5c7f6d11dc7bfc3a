import io
import json
import struct
import zipfile
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packages import zipped

from lambdabox.domain.code_signatures import (
    TAIL_BYTES,
    Signed,
    comment,
    comment_length,
    message,
    read,
    with_comment,
    without_comment,
)

PROFILE = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/ours/v1"
SIGNED = Signed(PROFILE, "2026-11-23T06:00:00Z", "2027-11-23T06:00:00Z", b"signature")
BARE = zipped({"app.py": "def handler(event, context):\n    return event\n"})


def commented(**changes: object) -> bytes:
    """Return a package whose signature's members are changed."""
    return with_comment(BARE, json.dumps({**json.loads(comment(SIGNED)), **changes}).encode())


def test_what_is_signed_is_a_text_of_five_lines() -> None:
    assert message(PROFILE, "2026-11-23T06:00:00Z", None, "ab") == (
        f"lambdabox code signature 1\n{PROFILE}\n2026-11-23T06:00:00Z\n-\nab\n".encode()
    )


def test_a_signed_package_is_a_zip_with_a_signature() -> None:
    package = with_comment(BARE, comment(SIGNED))
    assert zipfile.ZipFile(io.BytesIO(package)).testzip() is None
    assert read(package[-TAIL_BYTES:]) == SIGNED
    assert without_comment(package) == BARE


@given(st.binary(max_size=200))
def test_no_comment_changes_what_is_signed(text: bytes) -> None:
    package = with_comment(BARE, text)
    if comment_length(package) == len(text):
        assert without_comment(package) == BARE
    else:  # the comment looks like the end of another zip, and is not taken for ours
        assert without_comment(package) != BARE
        assert b"PK\x05\x06" in text


def test_the_longest_comment_is_found() -> None:
    package = with_comment(bytes(100_000) + BARE, b"x" * 65_535)
    assert comment_length(package[-TAIL_BYTES:]) == 65_535


def test_an_end_inside_the_comment_is_not_ours() -> None:
    inner = struct.pack("<4s16xH", b"PK\x05\x06", 0)
    package = with_comment(BARE, comment(SIGNED) + inner)
    assert read(package) is None
    assert without_comment(package) != BARE


@pytest.mark.parametrize(
    "package",
    [
        b"",
        b"PK\x05\x06",
        BARE,
        BARE + b"junk",
        with_comment(BARE, b"made by hand"),
        with_comment(BARE, b"[]"),
        with_comment(BARE, b"{}"),
        with_comment(BARE, b"[" * 60_000),
        commented(**{"lambdabox-signature": 2}),
        commented(profile=1),
        commented(profile="ours"),
        commented(profile=f"{PROFILE}\n2026-11-23T06:00:00Z"),
        commented(signed="yesterday"),
        commented(signed="2026-11-23T6:00:00Z"),
        commented(signed=None, expires="2026-11-23T6:0:0Z"),
        commented(expires=5),
        commented(signature="?"),
        commented(signature=None),
    ],
)
def test_what_carries_no_signature_is_not_signed(package: bytes) -> None:
    assert read(package[-TAIL_BYTES:]) is None


def test_a_signature_ends_when_it_says() -> None:
    assert not SIGNED.has_expired(datetime(2027, 11, 23, 5, 59, 59, tzinfo=UTC))
    assert SIGNED.has_expired(datetime(2027, 11, 23, 6, 0, 0, tzinfo=UTC))
    forever = Signed(PROFILE, SIGNED.signed_at, None, b"")
    assert not forever.has_expired(datetime(9999, 1, 1, tzinfo=UTC))
