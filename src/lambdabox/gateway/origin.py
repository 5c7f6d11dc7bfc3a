"""Keep web pages away from the node.

A node on loopback is reachable by every page its user's browser shows: a page can post to
it without being asked, and with a name of its own that resolves to this machine it could
even read the answers. Browsers say where a request comes from, and AWS clients are not
browsers, so only requests that carry a browser's headers are looked at.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from lambdabox.domain.errors import AccessDeniedException

_BROWSER_HEADERS = ("origin", "sec-fetch-site")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def check_origin(method: str, headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Raise AccessDeniedException for a browser's request that no page of ours has made.

    `allowed` holds origins, such as `http://localhost:3000`, whose pages may use the node.
    """
    if not any(name in headers for name in _BROWSER_HEADERS):
        return
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin in allowed:
        return
    if not _is_local_name(host):
        raise AccessDeniedException(
            f"A browser may not reach this node under the name {host[:200]!r}. Use localhost or an "
            "IP address."
        )
    is_foreign = origin is not None and origin.partition("://")[2] != host
    is_foreign |= headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
    if is_foreign and method not in _READS:
        raise AccessDeniedException(
            f"Pages of {(origin or 'another site')[:200]} may not use this node. Name their origin "
            "in the setting allowed_origins if they shall."
        )


def _is_local_name(host: str) -> bool:
    """Whether no stranger can make `host` (with a port or without) resolve to this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
