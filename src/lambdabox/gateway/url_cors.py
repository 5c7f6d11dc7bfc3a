"""Cross-origin requests to function URLs, answered by the platform.

A URL that has CORS settings answers preflight requests itself, and what the function says
about origins is replaced. One that has none leaves all of it to the function.
"""

import re
from collections.abc import Iterable, Mapping

from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.domain.urls import Cors

_PREFIX = b"access-control-"
_CONTROL_CHARS = re.compile(r"[\x00-\x1f\x7f]")


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    return (
        method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers
    )


def preflight(cors: Cors, headers: Mapping[str, str]) -> WireResponse:
    """Return the answer to a browser that asks what it may send."""
    answer = _origin_headers(cors, headers)
    if answer:
        method, names = (
            headers.get(f"access-control-request-{what}", "") for what in ("method", "headers")
        )
        answer += _listed(cors, b"access-control-allow-methods", cors.allow_methods, method)
        answer += _listed(cors, b"access-control-allow-headers", cors.allow_headers, names)
        if cors.max_age_seconds is not None:
            answer.append((b"access-control-max-age", str(cors.max_age_seconds).encode()))
    return WireResponse(200, [*answer, *_vary(cors)], b"")


def with_cors(cors: Cors | None, headers: Mapping[str, str], response: Headers) -> Headers:
    """Return a response's headers with what the URL's settings say about the caller's origin."""
    if cors is None:
        return response
    own = [header for header in response if not header[0].startswith(_PREFIX)]
    allowed = _origin_headers(cors, headers)
    if allowed and cors.expose_headers:
        allowed.append((b"access-control-expose-headers", _line(cors.expose_headers)))
    return [*own, *allowed, *_vary(cors)]


def _origin_headers(cors: Cors, headers: Mapping[str, str]) -> Headers:
    """What lets this origin in; nothing if it is not let in."""
    origin, allowed = headers.get("origin"), cors.allow_origins or ()
    if origin is None or ("*" not in allowed and origin not in allowed):
        return []
    # A browser takes no `*` together with credentials.
    is_open = "*" in allowed and not cors.allow_credentials
    answer = [(b"access-control-allow-origin", b"*" if is_open else _line([origin]))]
    if cors.allow_credentials:
        answer.append((b"access-control-allow-credentials", b"true"))
    return answer


def _listed(cors: Cors, name: bytes, allowed: tuple[str, ...] | None, asked: str) -> Headers:
    """`*` would mean a name of its own where there are credentials: what was asked is said."""
    if not allowed:
        return []
    if "*" in allowed and cors.allow_credentials:
        return [(name, _line([asked]))] if asked else []
    return [(name, _line(allowed))]


def _vary(cors: Cors) -> Headers:
    is_open = "*" in (cors.allow_origins or ()) and not cors.allow_credentials
    return [] if is_open else [(b"vary", b"Origin")]


def _line(texts: Iterable[str]) -> bytes:
    return _CONTROL_CHARS.sub("", ",".join(texts)).encode()
