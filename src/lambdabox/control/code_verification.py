"""Decide whether code may be deployed where a code signing configuration says whose may.

As on AWS: code that was changed after it was signed is refused always; code that is not
signed, not by an allowed publisher, or not any more, is refused or warned of, as the
configuration's policy says.
"""

import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread

from lambdabox.domain.code_signatures import (
    TAIL_BYTES,
    CodeSigningConfig,
    Signed,
    comment_length,
    message,
    read,
)
from lambdabox.domain.errors import (
    CodeVerificationFailedException,
    InvalidCodeSignatureException,
)
from lambdabox.domain.functions import Code
from lambdabox.ports import BlobStore, Clock, SigningKeys

CHUNK_BYTES = 1 << 20

log = logging.getLogger(__name__)


class Verification:
    def __init__(self, blobs: BlobStore, keys: SigningKeys, clock: Clock) -> None:
        self._blobs = blobs
        self._keys = keys
        self._clock = clock

    async def check(self, name: str, code: Code, config: CodeSigningConfig) -> str | None:
        """Return the signing profile whose code this is, None for other code that may pass.

        `code` has been stored. Raises InvalidCodeSignatureException, and
        CodeVerificationFailedException if the policy is Enforce.
        """
        path = self._blobs.path(code.digest)
        signed, problem = await anyio.to_thread.run_sync(self._judge, path, config)
        if problem is None and signed is not None:
            return signed.profile_arn
        if config.policy == "Enforce":
            raise CodeVerificationFailedException(
                "Lambda cannot deploy the function. The function or layer might be signed using a "
                "signature that the client is not configured to accept. Check the provided "
                f"signature for {name}: {problem}."
            )
        log.warning("%s is deployed although %s, as %s allows", name, problem, config.arn)
        return None

    def _judge(self, path: Path, config: CodeSigningConfig) -> tuple[Signed | None, str | None]:
        """Return the signature, and what keeps it from being accepted."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            tail = file.read()
        signed = read(tail)
        if signed is None:
            return None, "it is not signed"
        if signed.profile_arn not in config.publishers:
            return signed, f"{signed.profile_arn} is not an allowed publisher"
        bare_bytes = size - (comment_length(tail) or 0) - 2
        text = message(
            signed.profile_arn, signed.signed_at, signed.expires_at, _digest(path, bare_bytes)
        )
        try:
            is_valid = self._keys.verify(signed.profile_arn, text, signed.signature)
        except KeyError as exc:
            return signed, f"{signed.profile_arn} cannot be checked: {exc.args[0]}"
        if not is_valid:
            raise InvalidCodeSignatureException(
                "The code signature failed the integrity check: the code is not what "
                f"{signed.profile_arn} has signed."
            )
        if signed.has_expired(datetime.fromtimestamp(self._clock.now(), UTC)):
            return signed, f"the signature expired at {signed.expires_at}"
        return signed, None


def _digest(path: Path, bare_bytes: int) -> str:
    """Return the SHA-256 of an archive as it is without its comment."""
    digest, left = hashlib.sha256(), bare_bytes
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    digest.update(bytes(2))
    return digest.hexdigest()
