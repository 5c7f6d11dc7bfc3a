"""A token is what its issuer has signed, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tokens import Signer, base64url

from lambdabox.auth.json_web_tokens import TokenError, parse, verify

RSA = Signer.rsa("k1")
EC = Signer.ec("k2")
CLAIMS = {"iss": "https://issuer", "sub": "somebody"}


@pytest.mark.parametrize(
    ("signer", "algorithm"),
    [(RSA, "RS256"), (RSA, "RS384"), (RSA, "RS512"), (EC, "ES256")],
)
@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer  "])
def test_a_token_that_was_signed_is_verified(signer: Signer, algorithm: str, scheme: str) -> None:
    token = parse(scheme + signer.token(CLAIMS, algorithm=algorithm))
    verify(token, signer.key)
    assert (token.claims, token.key_id) == (CLAIMS, signer.key_id)


def tampered(text: str) -> str:
    header, _, signature = text.split(".")
    return ".".join((header, base64url(json.dumps({**CLAIMS, "sub": "root"}).encode()), signature))


@pytest.mark.parametrize("signer", [RSA, EC])
def test_another_claim_or_another_key_is_refused(signer: Signer) -> None:
    text = signer.token(CLAIMS)
    with pytest.raises(TokenError, match="signature is invalid"):
        verify(parse(tampered(text)), signer.key)
    other = Signer.rsa("k1") if signer is RSA else Signer.ec("k2")
    with pytest.raises(TokenError, match="signature is invalid"):
        verify(parse(text), other.key)


def test_the_key_decides_on_the_algorithm() -> None:
    with pytest.raises(TokenError, match="signing method"):
        verify(parse(EC.token(CLAIMS)), RSA.key)
    with pytest.raises(TokenError, match="signing method"):
        verify(parse(RSA.token(CLAIMS)), {**RSA.key, "alg": "RS512"})
    with pytest.raises(TokenError, match="signing method"):
        verify(parse(RSA.token(CLAIMS)), {**RSA.key, "use": "enc"})


@pytest.mark.parametrize("algorithm", ["none", "HS256", "PS256", None, 5])
def test_algorithms_without_a_public_key_are_none(algorithm: Any) -> None:
    header = base64url(json.dumps({"alg": algorithm, "kid": "k1"}).encode())
    with pytest.raises(TokenError, match="signing method"):
        parse(f"{header}.{base64url(b'{}')}.")


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "n": "AQ", "e": "AQAB"},
        {"kty": "RSA", "n": 5, "e": []},
    ],
)
def test_a_key_that_is_none_verifies_nothing(key: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        verify(parse(RSA.token(CLAIMS)), key)


@given(st.text() | st.lists(st.binary().map(base64url), min_size=3, max_size=3).map(".".join))
def test_whatever_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenError):
        parse(text)
