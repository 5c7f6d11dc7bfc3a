"""Turn what a client sent into values of the model's types, or refuse it.

JSON bodies and the strings of headers, paths and queries meet the same rule: a value of
another type is a `SerializationException`, worded as AWS words it, never a crash further
in. Lengths, patterns and ranges are not looked at here.
"""

import binascii
import math
import re
from collections.abc import Callable, Mapping, Set
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from lambdabox.api.service_model import Shape
from lambdabox.domain.errors import SerializationException

MAX_SHOWN_PATH = 200
# Each value costs microseconds of the event loop, and a body has room for many millions.
MAX_VALUES = 100_000

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {"true": True, "false": False}
_INTEGER_BITS = {"integer": 31, "long": 63}
_TARGETS = {
    "string": "a String",
    "integer": "an Integer",
    "long": "a Long",
    "float": "a Float",
    "double": "a Double",
    "boolean": "a Boolean",
    "timestamp": "a Date",
    "blob": "a Blob",
}


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; an empty body is an empty object."""
    if not body:
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise SerializationException(f"Unexpected token: {exc}") from exc
    if not isinstance(document, dict):
        raise SerializationException(f"{_found(document)}: the body must be a JSON object.")
    if len(body) > MAX_VALUES:  # a smaller one has no room for as many
        _refuse_flood(document)
    return document


def member_path(parent: str, name: str) -> str:
    """AWS shows members in lowerCamel, joined by dots."""
    camel = name[:1].lower() + name[1:]
    return f"{parent}.{camel}" if parent else camel


def read_json(shape: Shape, value: Any, path: str) -> Any:
    """`value`, as JSON gave it, in the type of `shape`."""
    if shape.metadata.get("document"):
        return value
    match shape.type_name:
        case "structure":
            return read_structure(shape, _composite(value, dict, path), path)
        case "list":
            return _read_list(shape, value, path)
        case "map":
            return _read_map(shape, value, path)
        case "timestamp":
            return _read_timestamp(shape, value, path, "unixtimestamp")
        case _:
            return _read_scalar(shape, value, path)


def read_structure(
    shape: Shape,
    document: Mapping[str, Any],
    path: str,
    *,
    without: Set[str] = frozenset(),
) -> dict[str, Any]:
    """The members of `shape` in `document`. Null is absent; what the model lacks is ignored."""
    members = {}
    for name, member in shape.members.items():
        value = document.get(member.serialization.get("name", name))
        if value is not None and name not in without:
            members[name] = read_json(member, value, member_path(path, name))
    return members


def read_text(shape: Shape, text: str, path: str, timestamp_format: str) -> Any:
    """`text`, from a header, the path or the query, in the type of `shape`."""
    value: Any = text
    match shape.type_name:
        case "list":
            parts = (part.strip() for part in text.split(","))
            return [read_text(shape.member, part, path, timestamp_format) for part in parts]
        case "timestamp":
            return _read_timestamp(shape, text, path, timestamp_format)
        case "boolean":
            value = _BOOLEANS.get(text.lower(), text)
        case "integer" | "long" if _INTEGER.fullmatch(text):
            value = int(text)
        case "float" | "double" if _NUMBER.fullmatch(text):
            value = float(text)
    return _read_scalar(shape, value, path)


def _refuse_flood(document: dict[str, Any]) -> None:
    containers: list[Any] = [document]
    total = 0
    while containers:
        container = containers.pop()
        total += len(container)
        if total > MAX_VALUES:
            raise SerializationException(f"The body holds more than {MAX_VALUES} values.")
        items = container.values() if isinstance(container, dict) else container
        containers.extend(item for item in items if isinstance(item, dict | list))


def _read_list(shape: Shape, value: Any, path: str) -> list[Any]:
    # A null element stays: the constraints refuse it, and say where it is.
    return [
        None if item is None else read_json(shape.member, item, f"{path}.{at}.member")
        for at, item in enumerate(_composite(value, list, path), 1)
    ]


def _read_map(shape: Shape, value: Any, path: str) -> dict[str, Any]:
    return {
        key: None if item is None else read_json(shape.value, item, f"{path}.{key}")
        for key, item in _composite(value, dict, path).items()
    }


def _read_scalar(shape: Shape, value: Any, path: str) -> Any:
    match shape.type_name, value:
        case ("string", str()) | ("boolean", bool()):
            return value
        case "blob", str():
            return _read_base64(value, path)
        case (("integer" | "long" | "float" | "double"), (int() | float())) if _is_number(value):
            return _read_number(shape, value, path)
    raise _refusal(shape, value, path)


def _read_number(shape: Shape, value: float, path: str) -> float:
    bits = _INTEGER_BITS.get(shape.type_name)
    if bits is None:
        return float(value)
    if value != int(value) or not -(1 << bits) <= value < 1 << bits:
        raise _refusal(shape, value, path)
    return int(value)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)


def _read_base64(value: str, path: str) -> bytes:
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError as exc:
        raise SerializationException(
            _at(f"STRING_VALUE can not be converted to a Blob: it is not base64 ({exc})", path)
        ) from exc


def _read_timestamp(shape: Shape, value: Any, path: str, default_format: str) -> datetime:
    format_name = shape.serialization.get("timestampFormat", default_format).lower()
    try:
        return _TIMESTAMP_READERS[format_name](value).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError) as exc:
        raise _refusal(shape, value, path) from exc


def _from_epoch(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return datetime.fromtimestamp(value, UTC)


def _from_iso8601(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_TIMESTAMP_READERS: dict[str, Callable[[Any], datetime]] = {
    "unixtimestamp": _from_epoch,
    "iso8601": _from_iso8601,
    "rfc822": parsedate_to_datetime,
}


def _composite(value: Any, kind: type, path: str) -> Any:
    if isinstance(value, kind):
        return value
    wanted = "list" if kind is list else "structure or map"
    raise SerializationException(_at(f"{_found(value)}: a {wanted} was expected", path))


def _refusal(shape: Shape, value: Any, path: str) -> SerializationException:
    if isinstance(value, dict | list):
        return SerializationException(_at(_found(value), path))
    target = _TARGETS[shape.type_name]
    return SerializationException(_at(f"{_found(value)} can not be converted to {target}", path))


def _found(value: Any) -> str:
    match value:
        case dict():
            return "Start of structure or map found where not expected."
        case list():
            return "Start of list found where not expected."
        case bool():
            return "TRUE_VALUE" if value else "FALSE_VALUE"
        case str():
            return "STRING_VALUE"
        case None:
            return "NULL_VALUE"
        case _:
            return "NUMBER_VALUE"


def _at(problem: str, path: str) -> str:
    return f"{problem} (at '{path[:MAX_SHOWN_PATH]}')"
