"""AWS's oldest protocol: forms with numbered names in, XML out.

`Dimensions.member.1.Name=FunctionName` is the same document as in JSON; which members are
lists and numbers the service model says.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from lambdabox.api.values import MAX_VALUES
from lambdabox.domain.errors import SerializationException

FORM = "application/x-www-form-urlencoded"

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[+-]?\d{1,18}")


def read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_VALUES, errors="strict"
        )
    except ValueError as exc:
        raise SerializationException(f"The form cannot be read: {exc}") from exc
    return dict(pairs)


def read_input(operation: OperationModel, form: Mapping[str, str]) -> dict[str, Any]:
    """Return an operation's input as a JSON document of it; what the model lacks is ignored."""
    shape = operation.input_shape
    return _structure(shape, _nested(form)) if shape is not None else {}


def _nested(form: Mapping[str, str]) -> dict[str, Any]:
    """Turn `a.member.1.b` into dictionaries within dictionaries."""
    root: dict[str, Any] = {}
    for name, value in form.items():
        *path, last = name.split(".", 16)
        node = root
        for part in path:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                raise SerializationException(f"{name[:200]} names a part of a value.")
            node = below
        if isinstance(node.get(last), dict):
            raise SerializationException(f"{name[:200]} has a value and parts.")
        node[last] = value
    return root


def _structure(shape: StructureShape, node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return {
        name: _value(member, node[name]) for name, member in shape.members.items() if name in node
    }


def _value(shape: Shape, node: Any) -> Any:
    match shape:
        case StructureShape():
            return _structure(shape, node)
        case ListShape():
            return _list(shape, node)
        case _ if isinstance(node, dict):
            return node  # refused by whoever reads the document
        case _:
            return _scalar(shape, node)


def _list(shape: ListShape, node: Any) -> Any:
    if node == "":
        return []  # how clients send an empty list
    if not isinstance(node, dict):
        return node
    items = node.get("member", node)
    if not isinstance(items, dict):
        return items
    numbered = [(int(at), item) for at, item in items.items() if at.isdigit() and len(at) < 7]
    return [_value(shape.member, item) for _, item in sorted(numbered, key=lambda pair: pair[0])]


def _scalar(shape: Shape, text: str) -> Any:
    match shape.type_name:
        case "integer" | "long" if _INTEGER.fullmatch(text):
            return int(text)
        case "float" | "double":
            try:
                return float(text)
            except ValueError:
                return text
        case "boolean":
            return {"true": True, "false": False}.get(text.lower(), text)
        case "timestamp":
            return _seconds(text)
        case _:
            return text


def _seconds(text: str) -> Any:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return text


def write_output(
    operation: OperationModel, output: Mapping[str, Any], namespace: str, request_id: str
) -> bytes:
    name = operation.name
    shape = operation.output_shape
    members = _members(shape, output) if shape is not None else ""
    metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    return (
        f'<{name}Response xmlns="{namespace}"><{name}Result>{members}</{name}Result>'
        f"{metadata}</{name}Response>"
    ).encode()


def write_error(code: str, message: str, fault: str, namespace: str, request_id: str) -> bytes:
    return (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{fault}</Type><Code>{_text(code)}</Code>'
        f"<Message>{_text(message)}</Message></Error><RequestId>{request_id}</RequestId>"
        "</ErrorResponse>"
    ).encode()


def _members(shape: StructureShape, value: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_xml(shape.members[name], member)}</{name}>"
        for name, member in value.items()
        if member is not None
    )


def _xml(shape: Shape, value: Any) -> str:
    match shape:
        case StructureShape():
            return _members(shape, value)
        case ListShape():
            return "".join(f"<member>{_xml(shape.member, item)}</member>" for item in value)
        case MapShape():
            return "".join(
                f"<entry><key>{_text(key)}</key><value>{_xml(shape.value, item)}</value></entry>"
                for key, item in value.items()
            )
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(str(value))


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))
