"""Find the operation that a method, path and query string name.

Every path of the service model becomes one branch of a tree of segments, so that the
request in the hot path (Invoke) costs a few dictionary look-ups. A path is split before
it is decoded: an ARN in a segment may hold %2F, and is still one segment.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from urllib.parse import unquote_to_bytes

from lambdabox.domain.errors import SerializationException, UnknownOperationException
from lambdabox.domain.values import dataclass

MAX_SHOWN = 200
MAX_QUERY_FIELDS = 1_000

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation's place. `fixed_query` must be in the query string, name by name."""

    operation_name: str
    method: str
    segments: tuple[str, ...]
    fixed_query: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_uri(cls, operation_name: str, method: str, request_uri: str) -> "Route":
        path, _, query = request_uri.partition("?")
        fixed = tuple(
            (name, value)
            for name, _, value in (part.partition("=") for part in query.split("&") if part)
        )
        return cls(operation_name, method, tuple(path.strip("/").split("/")), fixed)


@dataclass(frozen=True, slots=True)
class Found:
    operation_name: str
    labels: Mapping[str, str]
    query: Mapping[str, list[str]]


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    label: "_Node | None" = None
    leaves: dict[str, list[tuple[Route, tuple[str, ...]]]] = field(default_factory=dict)


class Router:
    """The tree of all routes. A literal segment wins over a label, a fixed query over none."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._depth = 0
        for route in routes:
            self._add(route)

    def find(self, method: str, raw_path: bytes, query_string: bytes) -> Found:
        segments = _split(raw_path, self._depth)
        query = parse_query(query_string)
        values: list[str] = []
        leaf = self._descend(self._root, segments, 0, values, method) if segments else None
        for route, names in leaf or ():
            if all(value in query.get(name, ()) for name, value in route.fixed_query):
                return Found(route.operation_name, dict(zip(names, values, strict=True)), query)
        shown = raw_path[:MAX_SHOWN].decode("utf-8", "backslashreplace")
        raise UnknownOperationException(
            f"No operation has the method {method[:MAX_SHOWN]} and the path {shown}. "
            "Check the path, its API date and the endpoint's service."
        )

    def _add(self, route: Route) -> None:
        node = self._root
        names = []
        for segment in route.segments:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.label = node.label or _Node()
                node = node.label
            else:
                node = node.literals.setdefault(segment, _Node())
        leaf = node.leaves.setdefault(route.method, [])
        leaf.append((route, tuple(names)))
        leaf.sort(key=lambda entry: -len(entry[0].fixed_query))
        self._depth = max(self._depth, len(route.segments))

    def _descend(
        self, node: _Node, segments: list[str], at: int, values: list[str], method: str
    ) -> list[tuple[Route, tuple[str, ...]]] | None:
        """The routes that end here; `values` then holds the labels met on the way."""
        if at == len(segments):
            return node.leaves.get(method)
        segment = segments[at]
        literal = node.literals.get(segment)
        if literal is not None:
            leaf = self._descend(literal, segments, at + 1, values, method)
            if leaf is not None:
                return leaf
        if node.label is None or not segment:
            return None
        values.append(segment)
        leaf = self._descend(node.label, segments, at + 1, values, method)
        if leaf is None:
            values.pop()
        return leaf


def parse_query(query_string: bytes) -> dict[str, list[str]]:
    """The decoded values of each name, in the order they were sent."""
    query: dict[str, list[str]] = {}
    if not query_string:
        return query
    if query_string.count(b"&") >= MAX_QUERY_FIELDS:
        raise SerializationException(f"The query string has more than {MAX_QUERY_FIELDS} fields.")
    for part in query_string.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            query.setdefault(_decode(name, "query string"), []).append(
                _decode(value, "query string")
            )
    return query


def _split(raw_path: bytes, depth: int) -> list[str]:
    """The decoded segments, or none when there are more than any route has."""
    path = raw_path.strip(b"/")
    if path.count(b"/") >= depth:
        return []
    return [_decode(segment, "path") for segment in path.split(b"/")]


def _decode(raw: bytes, where: str) -> str:
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise SerializationException(
                f"The {where} holds a '%' that two hexadecimal digits do not follow: "
                f"{raw[:MAX_SHOWN].decode('utf-8', 'backslashreplace')}"
            )
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise SerializationException(
            f"The {where} is not UTF-8: {raw[:MAX_SHOWN].decode('utf-8', 'backslashreplace')}"
        ) from exc
