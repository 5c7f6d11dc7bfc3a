"""CBOR (RFC 8949), as much of it as Smithy's RPC protocol uses, and no more.

Clients of CloudWatch may send it. What they send is checked like everything else: nesting is
bounded, lengths are believed only as far as there are bytes, and the rest is refused.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

MAX_DEPTH = 64
MAX_ITEMS = 100_000

_BREAK = object()
_EPOCH_TAG = 1
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}


class BadCborError(ValueError):
    """The bytes are not CBOR, or not of the kinds that are used here."""


def decode(data: bytes) -> Any:
    """Return the one value in `data`; a time becomes its seconds since the epoch."""
    reader = _Reader(data)
    value = reader.value(0)
    if value is _BREAK or reader.at != len(data):
        raise BadCborError("the body is more than one value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self._items = 0

    def value(self, depth: int) -> Any:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise BadCborError("the body is nested too deeply, or has too many values")
        first = self._take(1)[0]
        major, extra = first >> 5, first & 31
        match major:
            case 0:
                return self._argument(extra)
            case 1:
                return -1 - self._argument(extra)
            case 2 | 3:
                return self._string(major, extra)
            case 4:
                return self._list(extra, depth)
            case 5:
                return self._map(extra, depth)
            case 6:
                return self._tagged(extra, depth)
            case _:
                return self._simple(extra)

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise BadCborError("the body ends too early")
        part = self._data[self.at : end]
        self.at = end
        return part

    def _argument(self, extra: int) -> int:
        if extra < 24:
            return extra
        if extra > 27:
            raise BadCborError("a length cannot be read")
        return int.from_bytes(self._take(1 << (extra - 24)), "big")

    def _string(self, major: int, extra: int) -> Any:
        if extra != 31:
            content = self._take(self._argument(extra))
        else:
            parts = []
            while (first := self._take(1)[0]) != 0xFF:
                if first >> 5 != major or first & 31 == 31:
                    raise BadCborError("a string's parts are of another kind")
                parts.append(self._take(self._argument(first & 31)))
            content = b"".join(parts)
        if major == 2:
            return content
        try:
            return content.decode()
        except UnicodeDecodeError as exc:
            raise BadCborError("a string is not UTF-8") from exc

    def _list(self, extra: int, depth: int) -> list[Any]:
        items: list[Any] = []
        count = math.inf if extra == 31 else self._argument(extra)
        while len(items) < count:
            item = self.value(depth + 1)
            if item is _BREAK:
                if count != math.inf:
                    raise BadCborError("a list ends too early")
                break
            items.append(item)
        return items

    def _map(self, extra: int, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        left = math.inf if extra == 31 else self._argument(extra)
        while left > 0:
            key = self.value(depth + 1)
            if key is _BREAK and left == math.inf:
                break
            value = self.value(depth + 1)
            if not isinstance(key, str) or value is _BREAK:
                raise BadCborError("a map's keys are strings, and each has a value")
            members[key] = value
            left -= 1
        return members

    def _tagged(self, extra: int, depth: int) -> Any:
        tag = self._argument(extra)
        value = self.value(depth + 1)
        if tag != _EPOCH_TAG or isinstance(value, bool) or not isinstance(value, int | float):
            raise BadCborError("of tags, only that of a time is known")
        return value

    def _simple(self, extra: int) -> Any:
        if extra == 31:
            return _BREAK
        if extra in _FLOATS:
            form, size = _FLOATS[extra]
            return struct.unpack(form, self._take(size))[0]
        if extra not in _SIMPLE:
            raise BadCborError("a simple value is not known")
        return _SIMPLE[extra]


def encode(value: Any) -> bytes:
    """Return a value of ours as CBOR: members that are None are left out."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Any) -> None:
    match value:
        case None:
            out.append(0xF6)
        case bool():
            out.append(0xF5 if value else 0xF4)
        case int():
            _head(out, 0 if value >= 0 else 1, value if value >= 0 else -1 - value)
        case float():
            out += struct.pack(">Bd", 0xFB, value)
        case bytes():
            _head(out, 2, len(value))
            out += value
        case str():
            content = value.encode("utf-8", "replace")
            _head(out, 3, len(content))
            out += content
        case datetime():
            _head(out, 6, _EPOCH_TAG)
            _write(out, value.astimezone(UTC).timestamp())
        case Mapping():
            members = {name: member for name, member in value.items() if member is not None}
            _head(out, 5, len(members))
            for name, member in members.items():
                _write(out, name)
                _write(out, member)
        case Sequence():
            _head(out, 4, len(value))
            for item in value:
                _write(out, item)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in CBOR")


def _head(out: bytearray, major: int, argument: int) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
        return
    size = next(size for size in range(4) if argument < 1 << (8 << size))
    out.append(major << 5 | 24 + size)
    out += argument.to_bytes(1 << size, "big")
