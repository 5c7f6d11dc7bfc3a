"""What a subscription to telemetry asks for, checked against the documented limits.

The Telemetry API and its predecessor, the Logs API, differ in their schema versions and in
the form of their events; limits and destinations are the same.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

from lambdabox.domain.values import dataclass
from lambdabox.telemetry.extension_events import SubscriptionApi

TYPES = ("platform", "function", "extension")
SCHEMAS = {
    "telemetry": ("2022-07-01", "2022-12-13", "2025-01-29"),
    "logs": ("2020-08-15", "2021-03-18"),
}
HOSTS = ("sandbox.localdomain", "sandbox")
_URI_CHARS = 2_048

Complain = Callable[[str], None]


class InvalidSubscriptionError(Exception):
    """The request breaks the documented rules; the message names all that it breaks."""


@dataclass(frozen=True, slots=True)
class Buffering:
    max_items: int = 10_000
    max_bytes: int = 262_144
    timeout_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class Destination:
    """A listener inside the sandbox."""

    protocol: str
    """HTTP or TCP."""
    port: int
    host: str = HOSTS[0]
    path: str = "/"


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    api: SubscriptionApi
    schema_version: str
    types: tuple[str, ...]
    buffering: Buffering
    destination: Destination


# Name on the wire, smallest and largest value, as documented.
_BUFFERING = {
    "maxItems": (1_000, 10_000, "max_items"),
    "maxBytes": (262_144, 1_048_576, "max_bytes"),
    "timeoutMs": (25, 30_000, "timeout_ms"),
}


def parse_subscription(api: SubscriptionApi, body: bytes) -> SubscriptionRequest:
    """Return what the body asks for. Raises InvalidSubscriptionError."""
    try:
        request: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidSubscriptionError(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidSubscriptionError("the body should be a JSON object")
    complaints: list[str] = []
    destination = _destination(request.get("destination"), complaints.append)
    schema_version = _schema_version(api, request.get("schemaVersion"), complaints.append)
    types = _types(request.get("types"), complaints.append)
    buffering = _buffering(request.get("buffering"), complaints.append)
    if complaints:
        raise InvalidSubscriptionError("; ".join(complaints))
    return SubscriptionRequest(api, schema_version, types, buffering, destination)


def _schema_version(api: SubscriptionApi, given: Any, complain: Complain) -> str:
    known = SCHEMAS[api]
    if given is None and api == "logs":
        return known[0]
    if given not in known:
        complain(f"schemaVersion should be one of {', '.join(known)}")
        return known[0]
    return str(given)


def _types(given: Any, complain: Complain) -> tuple[str, ...]:
    if not isinstance(given, list) or not given:
        complain("types should not be empty")
        return ()
    if not all(kind in TYPES for kind in given):
        complain(f"types should be any of {', '.join(TYPES)}")
        return ()
    return tuple(dict.fromkeys(given))


def _buffering(given: Any, complain: Complain) -> Buffering:
    if given is None:
        return Buffering()
    if not isinstance(given, dict):
        complain("buffering should be an object")
        return Buffering()
    values: dict[str, int] = {}
    for name, (least, most, field) in _BUFFERING.items():
        value = given.get(name)
        if value is None:
            continue
        if type(value) is not int or not least <= value <= most:
            complain(f"buffering.{name} should be a number from {least} to {most}")
            continue
        values[field] = value
    return Buffering(**values)


def _destination(given: Any, complain: Complain) -> Destination:
    nowhere = Destination("HTTP", 0)
    if not isinstance(given, dict):
        complain("destination is not provided")
        return nowhere
    protocol = given.get("protocol")
    if protocol == "HTTP":
        return _http_destination(given, complain)
    if protocol == "TCP":
        port = given.get("port")
        if type(port) is int and 0 < port < 65_536:
            return Destination("TCP", port)
        complain("port should be a number from 1 to 65535")
        return nowhere
    complain("destination.protocol should be HTTP or TCP")
    return nowhere


def _http_destination(given: dict[str, Any], complain: Complain) -> Destination:
    uri = given.get("URI", given.get("uri"))
    nowhere = Destination("HTTP", 0)
    if not isinstance(uri, str) or not uri:
        complain("URI is not provided")
        return nowhere
    # What is printable cannot break out of the request's first line.
    if len(uri) > _URI_CHARS or not uri.isascii() or not uri.isprintable() or " " in uri:
        complain(f"URI should be at most {_URI_CHARS} visible ASCII characters")
        return nowhere
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        complain("URI should be like http://sandbox.localdomain:4243/path")
        return nowhere
    if parts.scheme != "http" or parts.hostname not in HOSTS or "@" in parts.netloc:
        complain("URI should begin with http://sandbox.localdomain: or http://sandbox:")
    if not port:
        complain("URI port is not provided")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination("HTTP", port or 0, parts.hostname or "", path)
