"""The query protocol of older AWS services: a form with dotted names in, XML out.

Driven by the service model, as the other protocols are. CloudFormation speaks it.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from lambdabox.api import values
from lambdabox.api.serialize import WireResponse
from lambdabox.api.service_model import OperationModel, Shape
from lambdabox.api.values import member_path
from lambdabox.domain.errors import SerializationException

MAX_FIELDS = 20_000
_TYPE = (b"content-type", b"text/xml")
# What XML 1.0 cannot hold, however it is written.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Form = Mapping[str, str]


def read_form(body: bytes) -> Form:
    """Return the names and values of a request, `Action` among them."""
    try:
        found = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as exc:
        raise SerializationException(f"The body is not a form: {exc}") from exc
    return dict(found)


def read_parameters(operation: OperationModel, form: Form) -> dict[str, Any]:
    """Return an operation's parameters. Raises SerializationException."""
    if operation.input_shape is None:
        return {}
    found: dict[str, Any] = _read(operation.input_shape, _tree(form), "")
    return found


def _tree(form: Form) -> dict[str, Any]:
    """Names with dots as objects in objects; what a name holds itself is under the empty name."""
    root: dict[str, Any] = {}
    for name, value in form.items():
        place = root
        for part in name.split(".")[:20]:
            place = place.setdefault(part, {})
        place[""] = value
    return root


def _read(shape: Shape, tree: Mapping[str, Any], path: str) -> Any:
    match shape.type_name:
        case "structure":
            return {
                name: _read(member, tree[wire], member_path(path, name))
                for name, member in shape.members.items()
                if (wire := member.serialization.get("name", name)) in tree
            }
        case "list":
            inside = tree if shape.serialization.get("flattened") else tree.get("member", {})
            return [
                _read(shape.member, each, f"{path}.{at}.member")
                for at, each in enumerate(_numbered(inside), 1)
            ]
        case "map":
            entries = list(_numbered(tree.get("entry", {})))
            return {
                _read(shape.key, each.get("key", {}), path): _read(
                    shape.value, each.get("value", {}), path
                )
                for each in entries
            }
        case _:
            return values.read_text(shape, str(tree.get("", "")), path, "iso8601")


def _numbered(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    numbers = sorted(
        int(name) for name in tree if name.isascii() and name.isdecimal() and len(name) < 9
    )
    return (tree[str(number)] for number in numbers if str(number) in tree)


def output(
    operation: OperationModel, namespace: str, members: Mapping[str, Any], request_id: str
) -> WireResponse:
    root = ET.Element(f"{operation.name}Response", {"xmlns": namespace})
    shape = operation.output_shape
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{operation.name}Result")
        _write_structure(ET.SubElement(root, wrapper), shape, members)
    metadata = ET.SubElement(root, "ResponseMetadata")
    ET.SubElement(metadata, "RequestId").text = request_id
    return WireResponse(200, [_TYPE], _text_of(root))


def error(code: str, message: str, status: int, namespace: str, request_id: str) -> WireResponse:
    root = ET.Element("ErrorResponse", {"xmlns": namespace})
    inside = ET.SubElement(root, "Error")
    fault = "Sender" if status < 500 else "Receiver"
    for name, text in (("Type", fault), ("Code", code), ("Message", message)):
        ET.SubElement(inside, name).text = _writable(text)
    ET.SubElement(root, "RequestId").text = request_id
    return WireResponse(status, [_TYPE], _text_of(root))


def _write_structure(place: ET.Element, shape: Shape, members: Mapping[str, Any]) -> None:
    if unknown := members.keys() - shape.members.keys():
        raise ValueError(f"{shape.name} has no member {', '.join(sorted(unknown))}.")
    for name, value in members.items():
        if value is not None:
            member = shape.members[name]
            _write(place, member.serialization.get("name", name), member, value)


def _write(place: ET.Element, name: str, shape: Shape, value: Any) -> None:
    element = ET.SubElement(place, name)
    match shape.type_name:
        case "structure":
            _write_structure(element, shape, value)
        case "list":
            for each in value:
                _write(element, "member", shape.member, each)
        case "map":
            for key, each in value.items():
                entry = ET.SubElement(element, "entry")
                _write(entry, "key", shape.key, key)
                _write(entry, "value", shape.value, each)
        case _:
            element.text = _writable(_text(value))


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        case _:
            return str(value)


def _writable(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)


def _text_of(root: ET.Element) -> bytes:
    text: bytes = ET.tostring(root, encoding="utf-8")
    return text
