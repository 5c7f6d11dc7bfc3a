"""Public keys of signing profiles, in PEM files that the node's settings name.

Read whenever a package is checked: that is rare, and a file that has been replaced counts
at once.
"""

from collections.abc import Mapping
from pathlib import Path


class PemSigningKeys:
    """A `ports.SigningKeys` of Ed25519 and ECDSA keys."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths

    def verify(self, profile_arn: str, message: bytes, signature: bytes) -> bool:
        # Imported at first use: it takes a tenth of a second, and most nodes never need it.
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        path = self._paths.get(profile_arn)
        if path is None:
            raise KeyError(f"the setting signing_keys names no key of {profile_arn}")
        try:
            key = load_pem_public_key(path.read_bytes())
        except OSError as exc:
            raise KeyError(f"the key {path} cannot be read: {exc.strerror}") from exc
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise KeyError(f"the file {path} is no public key in PEM") from exc
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, message, ec.ECDSA(SHA256()))
            else:
                raise KeyError(f"the key {path} is neither an Ed25519 nor an ECDSA key")
        except InvalidSignature:
            return False
        return True
