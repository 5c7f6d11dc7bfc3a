"""Signing profiles for tests: a key pair each, and packages signed with it."""

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lambdabox.domain.code_signatures import (
    Signed,
    comment,
    message,
    with_comment,
    without_comment,
)


class SigningProfile:
    def __init__(self, version: str) -> None:
        self.arn = f"arn:aws:signer:us-east-1:000000000000:/signing-profiles/tests/{version}"
        self._key = Ed25519PrivateKey.generate()

    def write_public_key(self, path: Path) -> None:
        pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        path.write_bytes(pem)

    def sign(self, package: bytes, *, expires_at: str | None = None) -> bytes:
        bare = without_comment(package)
        assert bare is not None
        signed_at = "2026-01-01T00:00:00Z"
        text = message(self.arn, signed_at, expires_at, hashlib.sha256(bare).hexdigest())
        return with_comment(
            bare, comment(Signed(self.arn, signed_at, expires_at, self._key.sign(text)))
        )
