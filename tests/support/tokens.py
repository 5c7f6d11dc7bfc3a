"""An issuer of JSON Web Tokens: keys, what they sign, and the pages that show them."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "RS256": hashes.SHA256,
    "RS384": hashes.SHA384,
    "RS512": hashes.SHA512,
}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class Signer:
    key_id: str
    key: Mapping[str, str]
    """What the issuer publishes."""
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @classmethod
    def rsa(cls, key_id: str) -> "Signer":
        private = rsa.generate_private_key(65537, 2048)
        numbers = private.public_key().public_numbers()
        key = {"kty": "RSA", "kid": key_id, "n": _number(numbers.n), "e": _number(numbers.e)}
        return cls(key_id, key, private)

    @classmethod
    def ec(cls, key_id: str) -> "Signer":
        private = ec.generate_private_key(ec.SECP256R1())
        numbers = private.public_key().public_numbers()
        x, y = (base64url(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
        return cls(key_id, {"kty": "EC", "crv": "P-256", "kid": key_id, "x": x, "y": y}, private)

    def token(self, claims: Mapping[str, Any], *, algorithm: str = "RS256") -> str:
        name = "ES256" if isinstance(self.private, ec.EllipticCurvePrivateKey) else algorithm
        header = {"alg": name, "kid": self.key_id, "typ": "JWT"}
        signed = ".".join(base64url(json.dumps(each).encode()) for each in (header, claims))
        return f"{signed}.{base64url(self._sign(signed.encode(), algorithm))}"

    def _sign(self, data: bytes, algorithm: str) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), _HASHES[algorithm]())
        halves = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return b"".join(half.to_bytes(32, "big") for half in halves)
