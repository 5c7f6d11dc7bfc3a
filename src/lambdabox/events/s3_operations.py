"""What a request to S3 does to a bucket or an object, told from its method, path and query.

Only as much as events need: which event a successful answer means, and for which keys.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from lambdabox.events.relayed import ServiceAnswer, ServiceRequest

PUT = "ObjectCreated:Put"
POST = "ObjectCreated:Post"
COPY = "ObjectCreated:Copy"
COMPLETE = "ObjectCreated:CompleteMultipartUpload"
DELETE = "ObjectRemoved:Delete"
MARKER = "ObjectRemoved:DeleteMarkerCreated"
TAGGED = "ObjectTagging:Put"
UNTAGGED = "ObjectTagging:Delete"
ACL = "ObjectAcl:Put"

# Of a bucket's or object's parts that are no object themselves.
_PARTS = frozenset({
    "acl", "attributes", "legal-hold", "partNumber", "restore", "retention", "select", "tagging",
    "torrent", "uploadId", "uploads",
})  # fmt: skip


_FORM_KEY = re.compile(rb'\bname="key"[^\r]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n')
_FORM_FILE = re.compile(rb'\bname="file"; *filename="([^"\r\n]*)"')


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about. `key` is empty for the bucket itself."""

    bucket: str
    key: str
    query: frozenset[str]

    @property
    def is_configuration(self) -> bool:
        return not self.key and "notification" in self.query


@dataclass(frozen=True, slots=True)
class Change:
    """Something that has happened to an object."""

    event: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    """None where it has to be asked for, or does not matter."""


def target_of(request: ServiceRequest) -> Target:
    bucket, _, key = request.path.lstrip("/").partition("/")
    names = frozenset(parse_qs(request.query, keep_blank_values=True))
    return Target(unquote(bucket), unquote(key), names)


def event_of(request: ServiceRequest, target: Target) -> str | None:
    """Return the event that a request means if it succeeds, None if it means none."""
    parts = target.query & _PARTS
    if not target.key:
        if request.method == "POST" and "delete" in target.query:
            return DELETE
        return POST if _is_form(request) else None
    match request.method, sorted(parts):
        case "PUT", []:
            return COPY if "x-amz-copy-source" in request.headers else PUT
        case "PUT", ["tagging"]:
            return TAGGED
        case "PUT", ["acl"]:
            return ACL
        case "POST", ["uploadId"]:
            return COMPLETE
        case "DELETE", []:
            return DELETE
        case "DELETE", ["tagging"]:
            return UNTAGGED
        case _:
            return None


def changes_of(
    event: str, request: ServiceRequest, target: Target, answer: ServiceAnswer
) -> list[Change]:
    """Return what a successful request has changed."""
    version = _version(answer)
    etag = (answer.header("etag") or "").strip('"') or None
    if event == DELETE:
        return list(_removed(request, target, answer))
    if event == POST:
        key = _key_of_form(request.body or b"")
        return [Change(POST, key, version, etag)] if key else []
    if event in (COPY, COMPLETE):
        result = _xml(answer.body)
        if result is None or _name(result) == "Error":
            return []  # S3 says 200 before it knows
        etag = next((e.text or "" for e in result if _name(e) == "ETag"), "").strip('"') or None
    size = _length(request) if event == PUT else None
    return [Change(event, target.key, version, etag, size)]


def _removed(request: ServiceRequest, target: Target, answer: ServiceAnswer) -> Iterator[Change]:
    if target.key:
        is_marker = answer.header("x-amz-delete-marker") == "true"
        # With a version in the request it is that version, a marker too, that is gone.
        if is_marker and "versionId" not in target.query:
            yield Change(MARKER, target.key, _version(answer))
        else:
            yield Change(DELETE, target.key, _version(answer))
        return
    refused = {_child(each, "Key") for each in _all(_xml(answer.body), "Error")}
    markers = {
        _child(each, "Key"): _child(each, "DeleteMarkerVersionId")
        for each in _all(_xml(answer.body), "Deleted")
        if _child(each, "DeleteMarker") == "true"
    }
    for each in _all(_xml(request.body or b""), "Object"):
        key, version = _child(each, "Key"), _child(each, "VersionId") or None
        if key in refused:
            continue
        if version is None and key in markers:
            yield Change(MARKER, key, markers[key] or None)
        else:
            yield Change(DELETE, key, version)


def _key_of_form(body: bytes) -> str:
    """Return what a browser's form names the object; fields come before the file."""
    found = _FORM_KEY.search(body)
    if found is None:
        return ""
    file = _FORM_FILE.search(body)
    name = file[1] if file is not None else b""
    return found[1].replace(b"${filename}", name).decode(errors="replace")


def _version(answer: ServiceAnswer) -> str | None:
    """Return the object's version; some stores say "null" where a bucket keeps no versions."""
    version = answer.header("x-amz-version-id")
    return None if version == "null" else version


def _is_form(request: ServiceRequest) -> bool:
    content_type = request.headers.get("content-type", "")
    return request.method == "POST" and content_type.startswith("multipart/form-data")


def _length(request: ServiceRequest) -> int | None:
    headers = request.headers
    length = headers.get("x-amz-decoded-content-length") or headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() else None


def _xml(text: bytes) -> ET.Element | None:
    try:
        return ET.fromstring(text)  # noqa: S314  # expat refuses to expand bombs
    except ET.ParseError:
        return None


def _all(root: ET.Element | None, name: str) -> list[ET.Element]:
    return [] if root is None else [each for each in root if _name(each) == name]


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _child(element: ET.Element, name: str) -> str:
    return next((child.text or "" for child in element if _name(child) == name), "")
