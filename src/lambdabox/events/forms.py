"""The query protocol, which SNS speaks: a form of dotted names in, XML out."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from lambdabox.events.relayed import ServiceAnswer, ServiceRequest

Form = Mapping[str, str]


def form_of(request: ServiceRequest) -> Form:
    """Return a request's parameters, `Action` among them."""
    body = (request.body or b"").decode("utf-8", "replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def members(form: Form, prefix: str) -> Iterator[Form]:
    """Return the members of a list, each with the names that it has in it, in their order."""
    found: dict[int, dict[str, str]] = {}
    for name, value in form.items():
        if name.startswith(f"{prefix}."):
            number, _, rest = name[len(prefix) + 1 :].partition(".")
            if number.isascii() and number.isdecimal():
                found.setdefault(int(number[:6]), {})[rest] = value
    return (found[number] for number in sorted(found))


def texts(answer: ServiceAnswer, name: str) -> list[str]:
    """Return the texts of all elements of an answer that have this name, in their order."""
    try:
        root = ET.fromstring(answer.body)  # noqa: S314  # the service's own
    except ET.ParseError:
        return []
    return [each.text or "" for each in root.iter() if each.tag.rpartition("}")[2] == name]


def refusal(request: ServiceRequest, code: str, message: str) -> ServiceAnswer:
    root = ET.Element("ErrorResponse")
    error = ET.SubElement(root, "Error")
    for name, text in (("Type", "Sender"), ("Code", code), ("Message", message)):
        ET.SubElement(error, name).text = text
    ET.SubElement(root, "RequestId").text = request.request_id
    body: bytes = ET.tostring(root, encoding="utf-8")
    headers = [(b"content-type", b"text/xml"), (b"content-length", str(len(body)).encode())]
    return ServiceAnswer(400, headers, body)
