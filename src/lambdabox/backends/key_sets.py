"""The public keys of those who issue tokens, fetched from where OpenID Connect says they are.

Remembered for two hours, as API Gateway does. A key that is not among them is looked for
again, but not more than once a minute: anybody may send tokens that name any key. That an
issuer does not answer is remembered for a moment.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio

from lambdabox.backends import http_client
from lambdabox.backends.http_client import HttpError
from lambdabox.ports import Clock

REMEMBERED_SECONDS = 7_200.0
AGAIN_SECONDS = 60.0
FAILED_SECONDS = 5.0
FETCH_SECONDS = 10.0
MAX_BYTES = 1_000_000
MAX_ISSUERS = 100
_CONFIGURATION = "/.well-known/openid-configuration"


class KeySetError(Exception):
    """An issuer's keys cannot be had. The message says why, for the node's log."""


@dataclass(slots=True)
class _Issuer:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    keys: Mapping[str, Mapping[str, Any]] | None = None
    asked: float = 0.0
    failure: KeySetError | None = None


class KeySets:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issuers: dict[str, _Issuer] = {}

    async def key(self, issuer: str, key_id: str) -> Mapping[str, Any] | None:
        """Return a JSON Web Key of the issuer's, None if it has none of that id.

        Raises KeySetError.
        """
        if issuer not in self._issuers and len(self._issuers) >= MAX_ISSUERS:
            self._issuers.clear()
        known = self._issuers.setdefault(issuer, _Issuer())
        async with known.lock:
            if self._must_ask(known, key_id):
                await self._ask(issuer, known)
            if known.failure is not None:
                raise known.failure
            return (known.keys or {}).get(key_id)

    def _must_ask(self, known: _Issuer, key_id: str) -> bool:
        age = self._clock.monotonic() - known.asked
        if known.failure is not None:
            return age >= FAILED_SECONDS
        if known.keys is None:
            return True
        return age >= (REMEMBERED_SECONDS if key_id in known.keys else AGAIN_SECONDS)

    async def _ask(self, issuer: str, known: _Issuer) -> None:
        try:
            known.keys, known.failure = await _fetch_keys(issuer), None
        except KeySetError as exc:
            known.failure = exc
        known.asked = self._clock.monotonic()


async def _fetch_keys(issuer: str) -> Mapping[str, Mapping[str, Any]]:
    configuration = await _fetch(issuer.rstrip("/") + _CONFIGURATION)
    where = configuration.get("jwks_uri")
    if not isinstance(where, str):
        raise KeySetError(f"{issuer}{_CONFIGURATION} has no jwks_uri")
    keys = (await _fetch(where)).get("keys")
    listed = keys if isinstance(keys, list) else []
    return {
        each["kid"]: each
        for each in listed
        if isinstance(each, dict) and isinstance(each.get("kid"), str)
    }


async def _fetch(url: str) -> Mapping[str, Any]:
    """Return the JSON object at an address. Redirects are not followed."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise KeySetError(f"{url[:200]!r} is no address of the web")
        parts.port  # noqa: B018  # raises ValueError for what is no port
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [(b"host", parts.netloc.encode()), (b"accept", b"application/json")]
        with anyio.fail_after(FETCH_SECONDS):
            asked = http_client.request(url, "GET", target.encode(), headers, b"")
            async with asked as answer:
                return _document(url, answer.status, await _body(url, answer))
    except (HttpError, TimeoutError) as exc:
        raise KeySetError(f"{url[:200]} cannot be fetched: {exc or 'no answer in time'}") from exc
    except ValueError as exc:
        raise KeySetError(f"{url[:200]!r} is no address of the web: {exc}") from exc


async def _body(url: str, answer: http_client.Answer) -> bytes:
    body = b""
    async for chunk in answer.body:
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeySetError(f"{url[:200]} answers more than {MAX_BYTES} bytes")
    return body


def _document(url: str, status: int, body: bytes) -> Mapping[str, Any]:
    if status != 200:
        raise KeySetError(f"{url[:200]} answers with status {status}")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise KeySetError(f"{url[:200]} answers no JSON") from exc
    if not isinstance(found, dict):
        raise KeySetError(f"{url[:200]} answers no JSON object")
    return found
