"""Read one request into the parameters of its operation, as the service model lays it out.

Where each member travels (path, query, headers, body) is worked out once per operation
and kept, because an invocation should not pay for reading the model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Literal

from lambdabox.api import values
from lambdabox.api.service_model import OperationModel, Shape
from lambdabox.domain.errors import SerializationException
from lambdabox.domain.values import dataclass

Location = Literal["uri", "querystring", "header", "headers"]


@dataclass(frozen=True, slots=True)
class Match:
    """The operation a request names, with what its path and query string hold."""

    operation: OperationModel
    labels: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Outside:
    """A member that travels outside the body."""

    name: str
    location: Location
    wire_name: str
    shape: Shape
    path: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the members of one operation's input are."""

    outside: tuple[_Outside, ...] = ()
    body: Shape | None = None
    """The input itself, when some of its members are in a JSON body."""
    payload: tuple[str, Shape, bool] | None = None
    """The member that is the whole body, and whether it is required."""


class RequestParser:
    """Parameters out of requests. Values have the model's types; constraints come later."""

    def __init__(self) -> None:
        self._plans: dict[str, _Plan] = {}

    def parse(self, match: Match, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """`headers` has lower-case names. Only a `SerializationException` is raised."""
        plan = self._plan(match.operation)
        params: dict[str, Any] = {}
        for member in plan.outside:
            value = _read_outside(member, match, headers)
            if value is not None:
                params[member.name] = value
        if plan.payload is not None:
            params.update(_read_payload(*plan.payload, body))
        elif plan.body is not None:
            document = values.decode_object(body)
            elsewhere = {member.name for member in plan.outside}
            params.update(values.read_structure(plan.body, document, "", without=elsewhere))
        return params

    def _plan(self, operation: OperationModel) -> _Plan:
        plan = self._plans.get(operation.name)
        if plan is None:
            plan = self._plans[operation.name] = _make_plan(operation)
        return plan


def _make_plan(operation: OperationModel) -> _Plan:
    shape = operation.input_shape
    if shape is None:
        return _Plan()
    outside = tuple(_outside_members(operation, shape))
    payload_name = shape.serialization.get("payload")
    if payload_name is not None:
        required = payload_name in shape.required_members
        return _Plan(outside, payload=(payload_name, shape.members[payload_name], required))
    return _Plan(outside, body=shape if len(outside) < len(shape.members) else None)


def _outside_members(operation: OperationModel, shape: Shape) -> Iterator[_Outside]:
    if not operation.http.get("requestUri", "/").strip("/"):
        return  # JSON-RPC: locations mean nothing, everything is in the body
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if location is not None:
            wire_name = member.serialization.get("name", name)
            if location in {"header", "headers"}:
                wire_name = wire_name.lower()
            path = values.member_path("", name)
            yield _Outside(name, location, wire_name, member, path)


def _read_outside(member: _Outside, match: Match, headers: Mapping[str, str]) -> Any:
    match member.location:
        case "uri":
            text = match.labels.get(member.wire_name)
        case "header":
            text = headers.get(member.wire_name)
        case "headers":
            return _read_prefixed(member, headers)
        case "querystring":
            return _read_query(member, match.query)
    if text is None:
        return None
    in_header = "rfc822" if member.location == "header" else "iso8601"
    return values.read_text(member.shape, text, member.path, in_header)


def _read_query(member: _Outside, query: Mapping[str, list[str]]) -> Any:
    path = member.path
    if member.shape.type_name == "map":
        return _read_query_map(member, query)
    texts = query.get(member.wire_name)
    if texts is None:
        return None
    if member.shape.type_name == "list":
        element = member.shape.member
        return [
            values.read_text(element, text, f"{path}.{at}.member", "iso8601")
            for at, text in enumerate(texts, 1)
        ]
    return values.read_text(member.shape, texts[0], path, "iso8601")


def _read_query_map(member: _Outside, query: Mapping[str, list[str]]) -> dict[str, Any] | None:
    """Every name in the query is a key; a map of lists keeps all of its values."""
    value_shape, path = member.shape.value, member.path
    found: dict[str, Any] = {}
    for key, texts in query.items():
        if value_shape.type_name == "list":
            read = [values.read_text(value_shape.member, t, path, "iso8601") for t in texts]
            found[key] = read
        else:
            found[key] = values.read_text(value_shape, texts[0], path, "iso8601")
    return found or None


def _read_prefixed(member: _Outside, headers: Mapping[str, str]) -> dict[str, str] | None:
    prefix = member.wire_name
    found = {name[len(prefix) :]: text for name, text in headers.items() if name.startswith(prefix)}
    return found or None


def _read_payload(name: str, shape: Shape, required: bool, body: bytes) -> dict[str, Any]:
    if shape.type_name == "blob":
        return {name: body} if body or required else {}
    if shape.type_name == "string":
        try:
            return {name: body.decode()} if body or required else {}
        except UnicodeDecodeError as exc:
            raise SerializationException(f"The body is not UTF-8: {exc.reason}") from exc
    if not body:
        return {}
    path = values.member_path("", name)
    return {name: values.read_json(shape, values.decode_object(body), path)}
