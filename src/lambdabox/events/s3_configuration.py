"""A bucket's notification configuration, split: functions are the node's, the rest the store's.

S3 speaks XML. What the client sends is parsed, the functions are taken out, and what remains
goes on to the store, whose answers get the functions back.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from uuid import uuid4

from lambdabox.domain.bucket_notifications import (
    EVENTS,
    BucketNotifications,
    FunctionNotification,
    overlapping,
)

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_BYTES = 1024 * 1024
_ALL_TARGETS = ("CloudFunctionConfiguration", "QueueConfiguration", "TopicConfiguration")


class BadConfiguration(ValueError):
    """The configuration cannot be used. `code` is S3's error code."""

    def __init__(self, message: str, code: str = "InvalidArgument") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def split(text: bytes) -> tuple[BucketNotifications, bytes]:
    """Return a configuration's functions, and the configuration without them.

    Raises BadConfiguration with S3's wording.
    """
    root = _parsed(text)
    functions = [_function(each) for each in _children(root, "CloudFunctionConfiguration")]
    _check(
        functions, [_text(each, "Id") for kind in _ALL_TARGETS for each in _children(root, kind)]
    )
    for each in list(_children(root, "CloudFunctionConfiguration")):
        root.remove(each)
    return BucketNotifications(tuple(functions)), _written(root)


def joined(text: bytes, notifications: BucketNotifications) -> bytes:
    """Return the store's configuration with the functions that the node keeps."""
    try:
        root = ET.fromstring(text)  # noqa: S314  # it comes from the store, and expat is bounded
    except ET.ParseError:
        root = ET.Element(f"{{{NAMESPACE}}}NotificationConfiguration")
    prefix = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    for function in notifications.functions:
        item = ET.SubElement(root, f"{prefix}CloudFunctionConfiguration")
        ET.SubElement(item, f"{prefix}Id").text = function.id
        ET.SubElement(item, f"{prefix}CloudFunction").text = function.function_arn
        for event in function.events:
            ET.SubElement(item, f"{prefix}Event").text = event
        rules = [("Prefix", function.prefix), ("Suffix", function.suffix)]
        if any(value for _, value in rules):
            key = ET.SubElement(ET.SubElement(item, f"{prefix}Filter"), f"{prefix}S3Key")
            for name, value in rules:
                if value:
                    rule = ET.SubElement(key, f"{prefix}FilterRule")
                    ET.SubElement(rule, f"{prefix}Name").text = name
                    ET.SubElement(rule, f"{prefix}Value").text = value
    return _written(root)


def _written(root: ET.Element) -> bytes:
    ET.register_namespace("", NAMESPACE)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _parsed(text: bytes) -> ET.Element:
    malformed = BadConfiguration(
        "The XML you provided was not well-formed or did not validate against our published schema",
        "MalformedXML",
    )
    if len(text) > MAX_BYTES:
        raise malformed
    try:
        root = ET.fromstring(text)  # noqa: S314  # bounded above; expat refuses to expand bombs
    except ET.ParseError:
        raise malformed from None
    if _name(root) != "NotificationConfiguration":
        raise malformed
    return root


def _function(item: ET.Element) -> FunctionNotification:
    events = tuple(child.text or "" for child in _children(item, "Event"))
    if not events or not EVENTS.issuperset(events):
        raise BadConfiguration("The event is not supported for notifications")
    rules: dict[str, str] = {}
    for rule in item.iter():
        if _name(rule) == "FilterRule":
            name = _text(rule, "Name").strip().lower()
            if name not in ("prefix", "suffix"):
                raise BadConfiguration("filter rule name must be either prefix or suffix")
            if name in rules:
                raise BadConfiguration(f"Cannot specify more than one {name} rule in a filter.")
            rules[name] = _text(rule, "Value")
    return FunctionNotification(
        id=_text(item, "Id").strip() or str(uuid4()),
        function_arn=_text(item, "CloudFunction").strip(),
        events=events,
        prefix=rules.get("prefix", ""),
        suffix=rules.get("suffix", ""),
    )


def _check(functions: list[FunctionNotification], ids: list[str]) -> None:
    named = [id for id in ids if id]
    if len(set(named)) < len(named):
        raise BadConfiguration("Same ID used for multiple configurations. IDs must be unique")
    if overlapping(functions):
        raise BadConfiguration(
            "Configurations overlap. Configurations on the same bucket cannot share a common event "
            "type."
        )


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    return (child for child in element if _name(child) == name)


def _text(element: ET.Element, name: str) -> str:
    return next((child.text or "" for child in _children(element, name)), "")
