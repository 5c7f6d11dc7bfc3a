"""Frozen dataclasses to JSON and back, so that a record's text follows its type.

Members that an older release did not write take their defaults, which is what makes a
new setting with a default need no migration.
"""

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")


def encode(record: Any) -> bytes:
    """Return `record`, a dataclass, as JSON."""
    return orjson.dumps(record)


def decode(kind: type[T], text: bytes) -> T:
    """Return the `kind` that `text` holds. Raises TypeError if members are missing."""
    record: T = _build(kind, orjson.loads(text))
    return record


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _build(next(a for a in get_args(kind) if a is not type(None)), value)
    if origin is tuple:
        return tuple(_build(get_args(kind)[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return value
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]  # a dataclass is a type here
        known = {name: _build(hints[name], item) for name, item in value.items() if name in hints}
        return kind(**known)  # type: ignore[operator]  # as above
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return value
