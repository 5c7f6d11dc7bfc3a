"""Put an operation's output, or an error, on the wire as the service model lays it out.

Two protocols are spoken: REST-JSON (Lambda: members may travel in the status, headers or
as the whole body) and JSON-RPC (CloudWatch Logs: everything in the body). A member that
is None is left out; one that the model does not have is a mistake of ours and is raised.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import orjson

from lambdabox.api.service_model import OperationModel, Shape
from lambdabox.domain.errors import ApiError
from lambdabox.domain.values import dataclass

JSON = b"application/json"
EVENT_STREAM = b"application/vnd.amazon.eventstream"

# The model says 200 since it has an output; AWS answers 204.
_STATUS = {"DeleteFunction": 204}
_CONTROL_CHARS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class WireResponse:
    status: int
    headers: Headers
    body: bytes


def rest_output(operation: OperationModel, output: Mapping[str, Any]) -> WireResponse:
    status = _STATUS.get(operation.name, operation.http.get("responseCode", 200))
    shape = operation.output_shape
    if shape is None:
        return WireResponse(status, [], b"")
    _refuse_unknown(shape, output)
    headers: Headers = []
    document = {}
    for name, value in output.items():
        if value is None:
            continue
        member = shape.members[name]
        match member.serialization.get("location"):
            case "statusCode":
                status = value
            case "header":
                headers.append((_header_name(name, member), _header_value(member, value)))
            case "headers":
                headers.extend(_prefixed_headers(name, member, value))
            case _:
                document[name] = value
    return _rest_response(shape, status, headers, document)


def json_output(
    operation: OperationModel, output: Mapping[str, Any], content_type: bytes
) -> WireResponse:
    if operation.output_shape is None:
        return WireResponse(200, [(b"content-type", content_type)], b"")
    body = _dump(_document(operation.output_shape, output))
    return WireResponse(200, [(b"content-type", content_type)], body)


def rest_error(error: ApiError, shape: Shape | None) -> WireResponse:
    headers: Headers = [(b"x-amzn-ErrorType", error.code.encode()), (b"content-type", JSON)]
    document: dict[str, Any] = {"Type": error.fault} if error.has_type else {}
    document[_message_key(shape)] = error.message
    for name, member, value in _error_members(error, shape):
        if member.serialization.get("location") == "header":
            headers.append((_header_name(name, member), _header_value(member, str(value))))
        else:
            document[member.serialization.get("name", name)] = _json_value(member, value)
    return WireResponse(error.status, headers, _dump(document))


def json_error(error: ApiError, shape: Shape | None, content_type: bytes) -> WireResponse:
    """JSON-RPC tells errors apart by `__type`; the status says only whose fault it is."""
    status = error.status if error.status in {413, 501} else 400
    if error.fault == "Service" and status == 400:
        status = max(error.status, 500)
    document: dict[str, Any] = {"__type": error.code, _message_key(shape): error.message}
    for name, member, value in _error_members(error, shape):
        document[member.serialization.get("name", name)] = _json_value(member, value)
    headers: Headers = [(b"x-amzn-ErrorType", error.code.encode())]
    return WireResponse(status, [*headers, (b"content-type", content_type)], _dump(document))


def _rest_response(
    shape: Shape, status: int, headers: Headers, document: dict[str, Any]
) -> WireResponse:
    if status == 204:
        return WireResponse(status, headers, b"")
    payload_name = shape.serialization.get("payload")
    content_type, body = JSON, b""
    if payload_name is None:
        body = _dump(_document(shape, document))
    elif shape.members[payload_name].serialization.get("eventstream"):
        content_type = EVENT_STREAM
    else:
        body = _payload(shape.members[payload_name], document.get(payload_name))
    has_type = any(name.lower() == b"content-type" for name, _ in headers)
    if (body or content_type is EVENT_STREAM) and not has_type:
        headers = [*headers, (b"content-type", content_type)]
    return WireResponse(status, headers, body)


def _payload(shape: Shape, value: Any) -> bytes:
    match value:
        case None:
            return b""
        case bytes():
            return value
        case str():
            return value.encode()
        case _:
            return _dump(_json_value(shape, value))


def _document(shape: Shape, members: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_unknown(shape, members)
    return {
        shape.members[name].serialization.get("name", name): _json_value(shape.members[name], value)
        for name, value in members.items()
        if value is not None
    }


def _json_value(shape: Shape, value: Any) -> Any:
    if value is None or shape.metadata.get("document"):
        return value
    match shape.type_name:
        case "structure":
            return _document(shape, value)
        case "list":
            return [_json_value(shape.member, item) for item in value]
        case "map":
            return {key: _json_value(shape.value, item) for key, item in value.items()}
        case "blob":
            return base64.b64encode(value).decode()
        case "timestamp":
            return _timestamp(shape, value, "unixtimestamp")
        case _:
            return value


def _timestamp(shape: Shape, value: datetime, default_format: str) -> float | str:
    if value.tzinfo is None:
        raise ValueError(f"The time {value} of a {shape.name} has no time zone.")
    match shape.serialization.get("timestampFormat", default_format).lower():
        case "iso8601":
            return value.isoformat()
        case "rfc822":
            return format_datetime(value)
        case _:
            return value.timestamp()


def _header_name(name: str, member: Shape) -> bytes:
    wire_name: str = member.serialization.get("name", name)
    return wire_name.encode()


def _header_value(member: Shape, value: Any) -> bytes:
    """`value` as one line: part of it may come from a function, which must not add headers."""
    if member.type_name == "timestamp":
        value = _timestamp(member, value, "rfc822")
    elif member.type_name == "boolean":
        value = "true" if value else "false"
    return _CONTROL_CHARS.sub("", str(value)).encode("utf-8", "replace")


def _prefixed_headers(name: str, member: Shape, entries: Mapping[str, Any]) -> Headers:
    prefix = _header_name(name, member)
    return [
        (prefix + key.encode(), _header_value(member.value, value))
        for key, value in entries.items()
    ]


def _message_key(shape: Shape | None) -> str:
    return "Message" if shape is not None and "Message" in shape.members else "message"


def _error_members(error: ApiError, shape: Shape | None) -> list[tuple[str, Shape, Any]]:
    """What the shape holds besides type and message, from the error's own attributes."""
    members = [] if shape is None else shape.members.items()
    found = (
        (name, member, getattr(error, _attribute(name), None))
        for name, member in members
        if name not in {"Type", "Message", "message"}
    )
    return [entry for entry in found if entry[2] is not None]


def _attribute(member_name: str) -> str:
    return _WORD_START.sub("_", member_name).lower()


def _refuse_unknown(shape: Shape, members: Mapping[str, Any]) -> None:
    unknown = members.keys() - shape.members.keys()
    if unknown:
        raise ValueError(f"{shape.name} has no member {', '.join(sorted(unknown))}.")


def _dump(document: Any) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:
        # Lone surrogates and integers past 64 bits: rare, and the standard library can.
        return json.dumps(document).encode()
