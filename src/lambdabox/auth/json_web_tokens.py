"""JSON Web Tokens: taken apart, and verified with a public key of their issuer's.

The algorithms are those with a public key: RSA with SHA-2, and ECDSA on P-256. A token names
its algorithm itself, so the key decides which it may be: `none` and those with a shared
secret are nobody's.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RSA = ("RS256", "RS384", "RS512")
ECDSA = "ES256"
_COORDINATE_BYTES = 32


class TokenError(ValueError):
    """Not a token, or not one that can be verified. The message says why, for the client."""


@dataclass(frozen=True, slots=True)
class Token:
    algorithm: str
    key_id: str
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def parse(text: str) -> Token:
    """Return the token that a header holds, `Bearer` before it or not. Raises TokenError."""
    scheme, found, rest = text.partition(" ")
    token = rest.strip() if found and scheme.lower() == "bearer" else text
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenError("token contains an invalid number of segments")
    header, claims = _document(parts[0]), _document(parts[1])
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or (algorithm not in RSA and algorithm != ECDSA):
        raise TokenError("signing method is invalid")
    if not isinstance(key_id, str):
        raise TokenError("kid header not found in token")
    signed = f"{parts[0]}.{parts[1]}".encode()
    return Token(algorithm, key_id, claims, signed, _bytes(parts[2]))


def verify(token: Token, key: Mapping[str, Any]) -> None:
    """Raise TokenError unless `key`, a JSON Web Key, is what the token was signed with."""
    # Imported here: a node without authorizers starts without.
    from cryptography.exceptions import InvalidSignature

    if key.get("alg", token.algorithm) != token.algorithm or key.get("use", "sig") != "sig":
        raise TokenError("signing method is invalid")
    try:
        if token.algorithm == ECDSA:
            _verify_ecdsa(token, key)
        else:
            _verify_rsa(token, key)
    except InvalidSignature:
        raise TokenError("the token's signature is invalid") from None
    except TokenError:
        raise
    except (TypeError, ValueError) as exc:
        raise TokenError("the issuer's key is invalid") from exc


def _verify_rsa(token: Token, key: Mapping[str, Any]) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    if key.get("kty") != "RSA":
        raise TokenError("signing method is invalid")
    public = RSAPublicNumbers(_number(key.get("e")), _number(key.get("n"))).public_key()
    digests = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
    digest = digests[token.algorithm]
    public.verify(token.signature, token.signed, padding.PKCS1v15(), digest)


def _verify_ecdsa(token: Token, key: Mapping[str, Any]) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if (key.get("kty"), key.get("crv")) != ("EC", "P-256"):
        raise TokenError("signing method is invalid")
    if len(token.signature) != 2 * _COORDINATE_BYTES:
        raise TokenError("the token's signature is invalid")
    numbers = ec.EllipticCurvePublicNumbers(
        _number(key.get("x")), _number(key.get("y")), ec.SECP256R1()
    )
    halves = token.signature[:_COORDINATE_BYTES], token.signature[_COORDINATE_BYTES:]
    signature = encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
    numbers.public_key().verify(signature, token.signed, ec.ECDSA(hashes.SHA256()))


def _document(segment: str) -> Mapping[str, Any]:
    try:
        found = json.loads(_bytes(segment))
    except (ValueError, RecursionError) as exc:
        raise TokenError("the token is malformed") from exc
    if not isinstance(found, dict):
        raise TokenError("the token is malformed")
    return found


def _bytes(segment: str) -> bytes:
    try:
        return _decoded(segment)
    except ValueError as exc:
        raise TokenError("the token is malformed") from exc


def _decoded(segment: str) -> bytes:
    return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)


def _number(given: Any) -> int:
    if not isinstance(given, str):
        raise TypeError("a number of a key is a text")
    return int.from_bytes(_decoded(given), "big")
