"""What a function behind a URL answered, as an HTTP response.

A result that is an object with a `statusCode` says what the response is; any other is the
body. A streamed response may have such an object ahead of it, ended by eight NUL bytes. All
of it comes from user code, so nothing is taken that would not be one response.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from lambdabox.api.serialize import Headers, WireResponse

HTTP_STREAM = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = bytes(8)
PRELUDE_BYTES = 64 * 1024
"""The longest object ahead of a streamed body."""

JSON = b"application/json"
BYTES = b"application/octet-stream"
BODILESS = frozenset({204, 304})

# The node's own to say, or of a connection: a function's are shown under another name.
_REMAPPED = frozenset({
    b"connection", b"content-length", b"date", b"keep-alive", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"www-authenticate", b"x-amzn-requestid",
    b"x-amzn-trace-id",
})  # fmt: skip
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_NOT_IN_VALUES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""Maybe an integer past 64 bits, which orjson would round."""


class BadResponseError(Exception):
    """The function's answer is not a response; the message says what is wrong with it."""


def response_of(payload: bytes) -> WireResponse:
    """Return the response that a result means. Raises BadResponseError."""
    try:
        result = parsed(payload)
    except (ValueError, RecursionError):
        return _streamed_whole(payload)
    if isinstance(result, dict) and "statusCode" in result:
        status, headers = head_of(result, JSON)
        return WireResponse(status, headers, b"" if status in BODILESS else body_of(result))
    body = _utf8(result) if isinstance(result, str) else compact(result, payload)
    return WireResponse(200, [(b"content-type", JSON)], body)


def head_of(members: Mapping[str, Any], default_type: bytes) -> tuple[int, Headers]:
    """Return the status and the headers that a function asks for. Raises BadResponseError."""
    status = _status(members.get("statusCode", 200))
    headers = headers_of(members.get("headers"))
    if status not in BODILESS and not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", default_type))
    cookies = members.get("cookies")
    if not isinstance(cookies, list | None):
        raise BadResponseError("cookies is not a list")
    headers.extend((b"set-cookie", _value("cookies", cookie)) for cookie in cookies or ())
    return status, headers


def prelude_of(data: bytes) -> Mapping[str, Any]:
    """Return the object ahead of a streamed body. Raises BadResponseError."""
    try:
        members = parsed(data or b"{}")
    except (ValueError, RecursionError) as exc:
        raise BadResponseError(f"the metadata is not JSON: {exc}") from None
    if not isinstance(members, dict):
        raise BadResponseError("the metadata is not an object")
    return members


def streamed_type(content_type: str) -> bytes:
    """Return the content type that a runtime gave its stream, if it can be sent."""
    text = content_type.encode("latin-1", "replace").strip()
    return BYTES if not text or _NOT_IN_VALUES.search(text) else text


def compact(result: Any, payload: bytes) -> bytes:
    """Return `payload`, whose value is `result`, without space between its tokens."""
    try:
        if _LONG_NUMBER.search(payload):
            return _utf8(json.dumps(json.loads(payload), ensure_ascii=False, separators=(",", ":")))
        return orjson.dumps(result)
    except (TypeError, RecursionError):
        return payload  # too deep, or half a surrogate pair: as the function wrote it


def parsed(document: bytes) -> Any:
    """Return the value of a result. Raises ValueError or RecursionError if it is not JSON."""
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError:
        # Half a surrogate pair, which Node.js writes, or NaN, which Python does.
        return json.loads(document)


def _streamed_whole(payload: bytes) -> WireResponse:
    """A streaming function behind a URL that does not stream: its stream, collected."""
    prelude, end, body = payload[: PRELUDE_BYTES + 8].partition(PRELUDE_END)
    if not end:
        return WireResponse(200, [(b"content-type", BYTES)], payload)
    status, headers = head_of(prelude_of(prelude), BYTES)
    body = payload[len(prelude) + len(end) :]
    return WireResponse(status, headers, b"" if status in BODILESS else body)


def _status(given: Any) -> int:
    """An integer, or one in a string. 1xx is refused, for no client would take it for the end."""
    if isinstance(given, str) and re.fullmatch("[0-9]{3}", given):
        given = int(given)
    if type(given) is not int or not 200 <= given <= 599:
        raise BadResponseError(f"statusCode is {str(given)[:40]!r}, not 200 to 599")
    return given


def headers_of(given: Any) -> Headers:
    """Return the headers of an object that has them. Raises BadResponseError."""
    if not isinstance(given, dict | None):
        raise BadResponseError("headers is not an object")
    headers: Headers = []
    for given_name, value in (given or {}).items():
        if value is None:
            continue
        name = _utf8(given_name).lower()
        if not _NAME.fullmatch(name):
            raise BadResponseError(f"{given_name[:40]!r} is no name of a header")
        remapped = b"x-amzn-remapped-" + name if name in _REMAPPED else name
        headers.append((remapped, _value(given_name, value)))
    return headers


def _value(name: str, given: Any) -> bytes:
    if isinstance(given, list):
        return b",".join(_value(name, item) for item in given if not isinstance(item, list))
    if isinstance(given, dict) or given is None:
        raise BadResponseError(f"the value of {name[:40]!r} is not a text")
    value = _utf8((given if isinstance(given, str) else json.dumps(given)).strip())
    if _NOT_IN_VALUES.search(value):
        raise BadResponseError(f"the value of {name[:40]!r} has control characters")
    return value


def body_of(result: Mapping[str, Any]) -> bytes:
    """Return the body that a function asks for. Raises BadResponseError."""
    given = result.get("body")
    if given is None:
        return b""
    if not isinstance(given, str):
        return _json(given)
    if result.get("isBase64Encoded") is not True:
        return _utf8(given)
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise BadResponseError("isBase64Encoded is true and the body is not base64") from None


def _json(value: Any) -> bytes:
    try:
        return _utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except RecursionError:
        raise BadResponseError("the body is nested too deeply") from None


def _utf8(text: str) -> bytes:
    return text.encode(errors="replace")
