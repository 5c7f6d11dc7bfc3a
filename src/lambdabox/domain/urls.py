"""Function URLs: an address of its own for a function or an alias, and who may use it how.

The name in the address is `{id}.lambda-url.{region}.{anything}`: AWS's own names end in
`on.aws`, a node's in `localhost`, which resolves to loopback without any set-up, and whoever
has a name server for a domain of their own can use that.
"""

import re
import secrets
import string
from typing import Final

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.values import dataclass

NONE: Final = "NONE"
AWS_IAM: Final = "AWS_IAM"
BUFFERED: Final = "BUFFERED"
RESPONSE_STREAM: Final = "RESPONSE_STREAM"

MARK = ".lambda-url."
CORS_METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"})

_ID_CHARS = string.ascii_lowercase + string.digits
_ID = re.compile(r"[a-z0-9]{32}")


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may use a URL. Members are None if they were not given."""

    allow_credentials: bool | None = None
    allow_headers: tuple[str, ...] | None = None
    allow_methods: tuple[str, ...] | None = None
    allow_origins: tuple[str, ...] | None = None
    expose_headers: tuple[str, ...] | None = None
    max_age_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """The record of one URL."""

    id: str
    auth_type: str
    created_at: float
    """Seconds since the epoch."""
    modified_at: float
    invoke_mode: str = BUFFERED
    cors: Cors | None = None


def new_url_id() -> str:
    return "".join(secrets.choice(_ID_CHARS) for _ in range(32))


def is_url_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def domain_name(url_id: str, region: str) -> str:
    """Return the name under which this machine reaches the URL."""
    return f"{url_id}{MARK}{region}.localhost"


def id_of_host(host: str) -> str | None:
    """Return which URL a `Host` header names, if any has that name; None for any other host."""
    url_id, mark, _ = host.lower().partition(MARK)
    return url_id if mark else None


def check_cors(cors: Cors) -> None:
    """Raise InvalidParameterValueException for methods that AWS does not let CORS name."""
    unknown = [method for method in cors.allow_methods or () if method not in CORS_METHODS]
    if unknown:
        raise InvalidParameterValueException(
            f"The CORS method {unknown[0]!r} is not one of {', '.join(sorted(CORS_METHODS))}. "
            "OPTIONS need not be named: preflight requests are always answered."
        )
