"""Keep secrets of the state database unreadable without a key beside it.

AES-256-GCM under one key of the node's own, in a file that only the node reads. What a
secret belongs to is authenticated with it, so that it cannot be moved to another function.
The nonce is derived from key, place and content: the same variables of the same function
look the same, so that publishing can tell that nothing has changed, and no two different
contents share a nonce.
"""

import base64
import binascii
import hmac
import os
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from lambdabox.domain.errors import (
    KMSAccessDeniedException,
    KMSInvalidStateException,
    KMSNotFoundException,
)

if TYPE_CHECKING:
    pass

KEY_BYTES = 32
NONCE_BYTES = 12
FORMAT = "1"


class _Key:
    """A key, and what tells it from others without telling it."""

    def __init__(self, key: bytes) -> None:
        # Imported at first use: it takes a tenth of a second, and many nodes have no secrets.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.id = _derived(key, b"id").hex()[:16]
        self.nonce_key = _derived(key, b"nonce")
        self.cipher: AESGCM = AESGCM(_derived(key, b"cipher"))


class KeyFileCipher:
    """A `ports.Cipher` whose key is in a file, made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: _Key | None = None
        self._lock = threading.Lock()

    def seal(self, content: bytes, place: str) -> str:
        with self._lock:
            key = self._key = self._key or self._read() or self._make()
        known = place.encode()
        nonce = hmac.digest(key.nonce_key, _framed(known) + content, "sha256")[:NONCE_BYTES]
        sealed = nonce + key.cipher.encrypt(nonce, content, known)
        return f"{FORMAT}.{key.id}.{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, place: str) -> bytes:
        from cryptography.exceptions import InvalidTag  # deferred, as above

        with self._lock:
            key = self._key = self._key or self._read()
        name = self._path.name
        if key is None:
            raise KMSNotFoundException(f"The file {name} is not in the node's data directory.")
        try:
            given, key_id, text = sealed.split(".")
            content = base64.b64decode(text, validate=True)
            if given != FORMAT:
                raise ValueError(f"format {given} is not known")
            if key_id != key.id:
                raise KMSNotFoundException(
                    f"The file {name} in the node's data directory holds another key than the "
                    "one it was encrypted with."
                )
            return key.cipher.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], place.encode())
        except (ValueError, binascii.Error, InvalidTag) as exc:
            raise KMSInvalidStateException("The ciphertext is damaged.") from exc

    def _read(self) -> _Key | None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise KMSAccessDeniedException(
                f"The file {self._path.name} in the node's data directory cannot be read: "
                f"{exc.strerror}."
            ) from exc
        if len(content) != KEY_BYTES:
            raise KMSInvalidStateException(
                f"The file {self._path.name} in the node's data directory is not a key of "
                f"{KEY_BYTES} bytes."
            )
        return _Key(content)

    def _make(self) -> _Key:
        """Make the key: whole and synced before anything is encrypted with it, or not at all."""
        content = secrets.token_bytes(KEY_BYTES)
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            draft.rename(self._path)
            _sync_directory(self._path.parent)
        finally:
            draft.unlink(missing_ok=True)
        return _Key(content)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, b"lambdabox " + purpose, "sha256")


def _framed(text: bytes) -> bytes:
    return len(text).to_bytes(8, "big") + text


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
