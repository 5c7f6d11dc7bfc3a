"""Which records of a source get through a mapping's filters.

A pattern sees the record as the function would, with what the record carries decoded. Where
the one is JSON and the other is not they do not match, and the record is dropped; a pattern
that does not mention the data does not mind its format.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lambdabox.domain.event_filters import Fields, Pattern, compile_pattern
from lambdabox.domain.mappings import SourceKind

Record = Mapping[str, Any]

_NO_JSON = object()


@dataclass(frozen=True, slots=True)
class _Filter:
    pattern: Pattern
    wants_json: Mapping[str, bool]
    """For each member with data that the pattern mentions, whether it expects JSON in it."""


class RecordFilter:
    def __init__(self, kind: SourceKind, filters: Sequence[str]) -> None:
        self._kind = kind
        self._read = _READERS.get(kind, {})
        self._filters = [self._compile(text) for text in filters]

    def passes(self, record: Record) -> bool:
        """Whether one of the filters lets a record, in the event's shape, through."""
        if not self._filters:
            return True
        flat = record
        if self._kind is SourceKind.KINESIS:  # patterns name what is inside `kinesis` directly
            flat = {**record, **record["kinesis"]}
        return any(self._matches(each, flat) for each in self._filters)

    def _compile(self, text: str) -> _Filter:
        pattern = compile_pattern(text)
        mentioned = {
            name: is_object for name, is_object in _mentioned(pattern.fields) if name in self._read
        }
        return _Filter(pattern, mentioned)

    def _matches(self, each: _Filter, record: Record) -> bool:
        view = dict(record)
        for name, wants_json in each.wants_json.items():
            text = self._read[name](record.get(name))
            document = _json(text)
            if (document is not _NO_JSON) is not wants_json:
                return False
            view[name] = document if wants_json else text
        return each.pattern.matches(view)


def _mentioned(fields: Fields) -> Iterator[tuple[str, bool]]:
    """Yield the members that a pattern names at its top, and whether as objects."""
    for name, node in fields.members.items():
        yield name, isinstance(node, Fields)
    for alternatives in fields.choices:
        for alternative in alternatives:
            yield from _mentioned(alternative)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _decoded(value: Any) -> str:
    try:
        return base64.b64decode(_plain(value)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _json(text: str) -> Any:
    """Return the object or array that `text` is; anything else is plain text to filters."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _NO_JSON
    return document if isinstance(document, dict | list) else _NO_JSON


_READERS: Mapping[SourceKind, Mapping[str, Callable[[Any], str]]] = {
    SourceKind.SQS: {"body": _plain},
    SourceKind.KINESIS: {"data": _decoded},
    SourceKind.MSK: {"value": _decoded, "key": _decoded},
    SourceKind.KAFKA: {"value": _decoded, "key": _decoded},
    SourceKind.MQ: {"data": _decoded},
}
"""How the text is read of each member that carries data. DynamoDB's is an object as it is."""
