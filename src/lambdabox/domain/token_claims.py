"""What a JSON Web Token claims, and whether that lets its bearer in.

The signature is somebody else's business. The rules are API Gateway's: who issued the token,
for whom, from when until when, and for which scopes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any


class ClaimError(ValueError):
    """A claim that lets nobody in. The message says which, for the client."""


def check(claims: Mapping[str, Any], *, issuer: str, audience: Sequence[str], now: float) -> None:
    """Raise ClaimError unless the token is from `issuer`, for `audience`, and valid at `now`."""
    if claims.get("iss") != issuer:
        raise ClaimError("the token does not have a valid issuer")
    # AWS looks at the client only where no audience is named.
    named = claims.get("aud") if claims.get("aud") is not None else claims.get("client_id")
    if not set(_texts(named)).intersection(audience):
        raise ClaimError("the token does not have a valid audience")
    expires = _time(claims, "exp")
    if expires is None:
        raise ClaimError("the token does not have an expiration time")
    if now >= expires:
        raise ClaimError("the token has expired")
    if now < (_time(claims, "nbf") or 0):
        raise ClaimError("the token is not valid yet")
    if now < (_time(claims, "iat") or 0):
        raise ClaimError("the token was issued in the future")


def granted_scopes(claims: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Return those scopes of `wanted` that the token has."""
    given = claims.get("scope") if claims.get("scope") is not None else claims.get("scp")
    has = set(given.split(" ") if isinstance(given, str) else _texts(given))
    return [each for each in wanted if each in has]


def shown(claims: Mapping[str, Any]) -> dict[str, str]:
    """Return the claims as functions see them: texts, lists as `[a b]`."""
    return {name: _shown(value) for name, value in claims.items()}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(_shown(each) for each in value)}]"
    return json.dumps(value, separators=(",", ":"))


def _texts(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimError(f"the token does not have a valid {name} claim")
    return value
