"""Sessions without a store: a signed cookie, and the CSRF token that belongs to it.

The signing key comes from the node's secret and the console's token, so that a changed token
ends all sessions. A session lives for a week from the last half of it that it was used in.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

LIFETIME_SECONDS = 7 * 86_400

MAX_FAILURES = 10
FAILURE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    expires: int
    """Seconds since the epoch."""
    has_logged_in: bool = False


class Sessions:
    def __init__(self, *, secret: str, token: str | None, now: Callable[[], float]) -> None:
        self._key = hashlib.sha256(f"console\0{secret}\0{token or ''}".encode()).digest()
        self._token = token
        self._now = now

    def begin(self, *, has_logged_in: bool = False) -> Session:
        return Session(secrets.token_urlsafe(18), self._expiry(), has_logged_in)

    def read(self, cookie: str) -> Session | None:
        """Return the session that a cookie is of, None if it is not one of ours or over."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign("session", body).encode(), signature.encode()):
            return None
        id, expires, level = body.split(".")
        session = Session(id, int(expires), level == "in")
        return session if session.expires > self._now() else None

    def write(self, session: Session) -> str:
        body = f"{session.id}.{session.expires}.{'in' if session.has_logged_in else 'out'}"
        return f"{body}.{self._sign('session', body)}"

    def renewed(self, session: Session) -> Session | None:
        """Return the session with a new end, if it has lived for half of its time."""
        if session.expires - self._now() > LIFETIME_SECONDS / 2:
            return None
        return replace(session, expires=self._expiry())

    def csrf_token(self, session: Session) -> str:
        return self._sign("csrf", session.id)

    def has_csrf_token(self, session: Session, given: str) -> bool:
        return hmac.compare_digest(self.csrf_token(session).encode(), given.encode())

    def is_token(self, given: str) -> bool:
        """Whether this is the console's token."""
        if not self._token:
            return False
        return hmac.compare_digest(self._token.encode(), given.encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), "sha256").hexdigest()

    def _expiry(self) -> int:
        return int(self._now()) + LIFETIME_SECONDS


class LoginLimit:
    """Ten wrong tokens a minute, from everybody together, so that nobody can try them all."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: list[float] = []

    @property
    def is_reached(self) -> bool:
        since = self._now() - FAILURE_SECONDS
        self._failures = [moment for moment in self._failures if moment > since]
        return len(self._failures) >= MAX_FAILURES

    def count(self) -> None:
        self._failures.append(self._now())
