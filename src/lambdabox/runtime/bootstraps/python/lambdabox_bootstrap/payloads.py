"""Events and results as JSON, byte for byte as AWS's Python runtime reads and writes them.

That runtime uses simplejson, which differs from the standard library's json: named tuples
are objects, bytes are text, Decimals keep their digits, and NaN is refused in events. The
plain case, which is nearly all, goes through the C encoder untouched.
"""

import json
import marshal
import os
import re

UNESCAPED = frozenset(f"AWS_Lambda_python3.{minor}" for minor in (12, 13, 14, 15))
"""Execution environments whose runtime writes non-ASCII characters as they are."""

_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')


class Marshaller:
    """Converts for one execution environment (the value of AWS_EXECUTION_ENV)."""

    def __init__(self, execution_environment: str) -> None:
        self._ascii = execution_environment not in UNESCAPED
        self._encoder = json.JSONEncoder(ensure_ascii=self._ascii)
        self._decoder = json.JSONDecoder(parse_constant=_refuse)

    def decode(self, payload: bytes) -> object:
        """Return the event. Raises ValueError or RecursionError."""
        text = payload.decode()
        text = text.removeprefix("\ufeff")
        try:
            return self._decoder.decode(text)
        except _ConstantFound:
            raise json.JSONDecodeError("Expecting value", text, _position(text)) from None

    def encode(self, result: object) -> bytes:
        """Return what the handler returned as JSON; bytes are passed on as they are."""
        if isinstance(result, bytes):
            return result
        if _is_plain(result):
            try:
                return self._encoder.encode(result).encode()
            except TypeError:
                pass  # bytes, which simplejson takes, or a type that nobody does
        return _CarefulEncoder(self._ascii).encode(result).encode()

    def encode_report(self, report: "dict[str, object]") -> bytes:
        """Return an error report as JSON. Cannot fail: lone surrogates are escaped."""
        try:
            return self._encoder.encode(report).encode()
        except UnicodeEncodeError:
            return json.dumps(report).encode()


class _CarefulEncoder:
    """Encodes what simplejson can and the standard library's encoder cannot.

    A Decimal's digits cannot be handed to the C encoder, so it writes a mark of random
    text in their place, which is exchanged afterwards.
    """

    def __init__(self, ascii_only: bool) -> None:
        self._mark = os.urandom(16).hex()
        self._numbers: list[str] = []
        self._open: set[int] = set()
        self._encoder = json.JSONEncoder(ensure_ascii=ascii_only, default=self._convert)

    def encode(self, result: object) -> str:
        pieces = self._encoder.encode(self._plain(result)).split(f'"{self._mark}"')
        text = pieces[0]
        if len(pieces) > 1:
            text += "".join(number + piece for number, piece in zip(self._numbers, pieces[1:]))
        return text

    def _convert(self, value: object) -> object:
        if isinstance(value, bytes):
            return value.decode()
        fields = _named_fields(value)
        if fields is not None:
            return self._plain(fields)
        from decimal import Decimal

        if isinstance(value, Decimal):
            self._numbers.append("NaN" if value.is_nan() else str(value))
            return self._mark
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    def _plain(self, value: object) -> object:
        """Return `value` with containers of exact built-in types only."""
        fields = _named_fields(value)
        if fields is not None:
            value = fields
        if not isinstance(value, (dict, list, tuple)):
            return value
        if id(value) in self._open:
            raise ValueError("Circular reference detected")
        self._open.add(id(value))
        plain: object
        if isinstance(value, dict):
            plain = {_key(key): self._plain(inner) for key, inner in value.items()}
        else:
            plain = [self._plain(inner) for inner in value]
        self._open.discard(id(value))
        return plain


class _ConstantFound(Exception):
    """The event has NaN or an infinity, which are not JSON."""


def _refuse(constant: str) -> object:
    raise _ConstantFound(constant)


def _position(text: str) -> int:
    for match in _STRING_OR_CONSTANT.finditer(text):
        if not match.group().startswith('"'):
            return match.start()
    return 0


def _key(key: object) -> object:
    if isinstance(key, bytes):
        return key.decode()
    if key is None or isinstance(key, (str, int, float)):
        return key
    kind = type(key).__name__
    raise TypeError(f"keys must be str, int, float, bool or None, not {kind}")


def _named_fields(value: object) -> "dict[object, object] | None":
    if isinstance(value, (str, int, float, bytes, type)) or value is None:
        return None
    as_dict = getattr(value, "_asdict", None)
    if not callable(as_dict):
        return None
    fields = as_dict()
    if not isinstance(fields, dict):
        raise TypeError(f"_asdict() must return a dict, not {type(fields).__name__}")
    return fields


def _is_plain(value: object) -> bool:
    # marshal refuses whatever is not exactly a built-in type (a named tuple, a Decimal),
    # and looks at every value in C: far cheaper than a walk in Python. Version 2 keeps no
    # table of references.
    try:
        marshal.dumps(value, 2)  # type: ignore[arg-type]  # whether it can is the question
    except ValueError:
        return False
    return True
