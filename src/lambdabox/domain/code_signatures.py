"""Signatures of deployment packages, carried in the comment of the zip.

What is signed is a short text: the profile, the times, and the SHA-256 of the archive as it
is without a comment. So a signed package stays an ordinary zip, and anybody can check one
with a hash and openssl; docs/code-signing.md shows how.
"""

import base64
import json
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from lambdabox.domain.values import dataclass

TAIL_BYTES = 22 + 65_535
"""The end of a zip that holds its last record and its comment, however long they are."""

MARK = "lambdabox-signature"
VERSION = 1
TIME = "%Y-%m-%dT%H:%M:%SZ"

_END = struct.Struct("<4s16xH")
_END_MARK = b"PK\x05\x06"
_PROFILE = re.compile(r"arn:[\x21-\x7e]{1,2000}")

Policy = Literal["Warn", "Enforce"]


@dataclass(frozen=True, slots=True)
class CodeSigningConfig:
    """Whose code a function takes, and what becomes of other code."""

    id: str
    arn: str
    publishers: tuple[str, ...]
    """Signing profile version ARNs."""
    last_modified: float
    policy: Policy = "Warn"
    description: str | None = None


@dataclass(frozen=True, slots=True)
class CodeSigningUse:
    """Which configuration a function has."""

    config_arn: str


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature says of itself, before anybody has checked it."""

    profile_arn: str
    """The version of a signing profile: whose key it is."""
    signed_at: str
    expires_at: str | None
    signature: bytes

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now.strftime(TIME) >= self.expires_at


def message(profile_arn: str, signed_at: str, expires_at: str | None, digest: str) -> bytes:
    """Return what is signed. `digest` is the SHA-256, in hexadecimal, of the bare archive."""
    lines = (f"lambdabox code signature {VERSION}", profile_arn, signed_at, expires_at or "-")
    return "\n".join((*lines, digest, "")).encode()


def comment_length(tail: bytes) -> int | None:
    """Return how long the comment of a zip with this end is; None for what is no zip.

    A zip whose end can be read in two ways is none: what is checked must be what is unpacked.
    """
    place = tail.rfind(_END_MARK)
    if place < 0 or len(tail) - place < _END.size:
        return None
    _, length = _END.unpack_from(tail, place)
    return int(length) if place + _END.size + length == len(tail) else None


def read(tail: bytes) -> Signed | None:
    """Return the signature of a zip with this end; None if there is none."""
    length = comment_length(tail)
    if not length:
        return None
    try:
        document = json.loads(tail[-length:])
        return _signed(document)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def comment(signed: Signed) -> bytes:
    """Return the comment of a zip that carries this signature."""
    document = {
        MARK: VERSION,
        "profile": signed.profile_arn,
        "signed": signed.signed_at,
        "expires": signed.expires_at,
        "signature": base64.b64encode(signed.signature).decode(),
    }
    return json.dumps(document).encode()


def with_comment(bare: bytes, text: bytes) -> bytes:
    """Return a zip that has no comment with `text` as its comment."""
    return bare[:-2] + struct.pack("<H", len(text)) + text


def without_comment(content: bytes) -> bytes | None:
    """Return the zip as it is signed; None for what is no zip."""
    length = comment_length(content[-TAIL_BYTES:])
    return None if length is None else content[: len(content) - length - 2] + bytes(2)


def _signed(document: Mapping[str, Any]) -> Signed | None:
    if document[MARK] != VERSION:
        return None
    profile, signed_at, expires = document["profile"], document["signed"], document["expires"]
    if not _PROFILE.fullmatch(profile):
        return None
    if not _is_time(signed_at) or (expires is not None and not _is_time(expires)):
        return None
    signature = base64.b64decode(document["signature"], validate=True)
    return Signed(profile, signed_at, expires, signature)


def _is_time(text: str) -> bool:
    """Whether it is written as we write it, so that times compare as texts do."""
    return datetime.strptime(text, TIME).replace(tzinfo=UTC).strftime(TIME) == text
