"""What a token claims decides whether its bearer gets in."""

from typing import Any

import pytest

from lambdabox.domain.token_claims import ClaimError, check, granted_scopes, shown

NOW = 1_000.0
CLAIMS: dict[str, Any] = {"iss": "https://i", "aud": "shop", "exp": 1_001}


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"aud": ["other", "shop"]}, id="one of several audiences"),
        pytest.param({"aud": None, "client_id": "shop"}, id="the client, without an audience"),
        pytest.param({"nbf": 1_000, "iat": 999.5}, id="from now on"),
    ],
)
def test_a_token_for_us_is_let_in(claims: dict[str, Any]) -> None:
    check({**CLAIMS, **claims}, issuer="https://i", audience=["shop"], now=NOW)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"iss": "https://i/"}, "valid issuer"),
        ({"iss": None}, "valid issuer"),
        ({"aud": "other"}, "valid audience"),
        ({"aud": "other", "client_id": "shop"}, "valid audience"),
        ({"aud": [["shop"]]}, "valid audience"),
        ({"aud": None}, "valid audience"),
        ({"exp": 1_000}, "has expired"),
        ({"exp": None}, "expiration time"),
        ({"exp": "1001"}, "valid exp"),
        ({"exp": True}, "valid exp"),
        ({"nbf": 1_001}, "not valid yet"),
        ({"iat": 1_001}, "in the future"),
    ],
)
def test_any_other_is_not(claims: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        check({**CLAIMS, **claims}, issuer="https://i", audience=["shop"], now=NOW)


def test_an_authorizer_without_an_audience_lets_nobody_in() -> None:
    with pytest.raises(ClaimError):
        check(CLAIMS, issuer="https://i", audience=[], now=NOW)


@pytest.mark.parametrize(
    "claims",
    [{"scope": "read write"}, {"scp": ["read", "write"]}, {"scp": "read write", "scope": None}],
)
def test_scopes_are_those_that_are_wanted_and_given(claims: dict[str, Any]) -> None:
    assert granted_scopes(claims, ["write", "admin"]) == ["write"]
    assert granted_scopes({}, ["write"]) == []


def test_functions_see_texts() -> None:
    claims = {"sub": "a", "exp": 1_500_000_000, "groups": ["a", "b"], "ok": True, "o": {"b": 1}}
    assert shown(claims) == {
        "sub": "a",
        "exp": "1500000000",
        "groups": "[a b]",
        "ok": "true",
        "o": '{"b":1}',
    }
