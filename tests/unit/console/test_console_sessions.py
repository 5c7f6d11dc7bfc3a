"""Sessions that live in a signed cookie, and the tokens that belong to them."""

from dataclasses import replace

import pytest

from lambdabox.console.sessions import (
    LIFETIME_SECONDS,
    MAX_FAILURES,
    LoginLimit,
    Sessions,
)

SECRET, TOKEN = "secret", "the-token"


class Now:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


def sessions(now: Now, *, secret: str = SECRET, token: str | None = TOKEN) -> Sessions:
    return Sessions(secret=secret, token=token, now=now)


def test_a_session_is_read_back(now: Now) -> None:
    ours = sessions(now)
    session = ours.begin(has_logged_in=True)
    assert ours.read(ours.write(session)) == session


def test_a_session_of_somebody_who_has_not_logged_in_does_not_become_one_who_has(now: Now) -> None:
    ours = sessions(now)
    cookie = ours.write(ours.begin())
    assert ours.read(cookie.replace(".out.", ".in.")) is None


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "a.1.in.", "a.99999999999.in." + "0" * 64, "é"])
def test_cookies_of_others_are_none(now: Now, cookie: str) -> None:
    assert sessions(now).read(cookie) is None


def test_another_secret_or_another_token_ends_all_sessions(now: Now) -> None:
    ours = sessions(now)
    cookie = ours.write(ours.begin(has_logged_in=True))
    assert sessions(now, secret="other").read(cookie) is None
    assert sessions(now, token="other-token").read(cookie) is None
    assert sessions(now, token=None).read(cookie) is None


def test_a_session_ends_after_a_week_and_is_renewed_before(now: Now) -> None:
    ours = sessions(now)
    session = ours.begin()
    assert ours.renewed(session) is None
    now.seconds += LIFETIME_SECONDS * 0.6
    renewed = ours.renewed(session)
    assert renewed == replace(session, expires=int(now.seconds) + LIFETIME_SECONDS)
    now.seconds += LIFETIME_SECONDS * 0.5
    assert ours.read(ours.write(session)) is None
    assert ours.read(ours.write(renewed)) == renewed


def test_a_csrf_token_is_of_one_session(now: Now) -> None:
    ours = sessions(now)
    one, other = ours.begin(), ours.begin()
    assert ours.has_csrf_token(one, ours.csrf_token(one))
    assert not ours.has_csrf_token(one, ours.csrf_token(other))
    assert not ours.has_csrf_token(one, "")
    assert not ours.has_csrf_token(one, "ü")


def test_only_the_token_is_the_token(now: Now) -> None:
    assert sessions(now).is_token("the-token")
    assert not sessions(now).is_token("the-tokem")
    assert not sessions(now, token=None).is_token("")
    assert not sessions(now, token="").is_token("")


def test_wrong_tokens_are_limited_for_a_minute(now: Now) -> None:
    limit = LoginLimit(now)
    for _ in range(MAX_FAILURES):
        assert not limit.is_reached
        limit.count()
    assert limit.is_reached
    now.seconds += 61
    assert not limit.is_reached
