"""What a function behind a route answered, as an HTTP response, and what clients hear instead.

Payload format 2.0 is that of function URLs, `url_responses`. Format 1.0 infers nothing: a
REST API takes objects of five members and refuses any other, an HTTP API wants a status.
The two kinds of API have wordings of their own for the same troubles.
"""

from enum import Enum
from typing import Any

import orjson

from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.domain.http_apis import PAYLOAD_2, ApiKind
from lambdabox.gateway.api_requests import ApiCall, is_binary
from lambdabox.gateway.url_responses import (
    BODILESS,
    JSON,
    BadResponseError,
    body_of,
    head_of,
    headers_of,
    parsed,
    response_of,
)

_MEMBERS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})


class Trouble(Enum):
    """Why a request has no answer of a function's."""

    NO_ROUTE = "no route"
    NO_STAGE = "no stage"
    DISABLED = "disabled"
    TOO_LARGE = "too large"
    NOT_ALLOWED = "not allowed"
    """The function's policy does not let the API in, or there is no such function."""
    THROTTLED = "throttled"
    FAILED = "failed"
    BAD_RESPONSE = "bad response"
    TIMED_OUT = "timed out"
    UNAUTHORIZED = "unauthorized"
    """Nobody says who asks, or says it in a way that is not believed."""
    DENIED = "denied"
    """Who asks is known, and may not."""
    EXPLICITLY_DENIED = "explicitly denied"
    NO_ANSWER = "no answer"
    """The authorizer's function failed, or its answer is none."""


class TroubleError(Exception):
    """A request has no answer of a function's."""

    def __init__(self, trouble: Trouble, headers: Headers | None = None) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble
        self.headers = headers or []


_HTTP = {
    Trouble.NO_ROUTE: (404, "Not Found"),
    Trouble.NO_STAGE: (404, "Not Found"),
    Trouble.DISABLED: (404, "Not Found"),
    Trouble.TOO_LARGE: (413, "Request Entity Too Large"),
    Trouble.NOT_ALLOWED: (500, "Internal Server Error"),
    Trouble.THROTTLED: (503, "Service Unavailable"),
    Trouble.FAILED: (500, "Internal Server Error"),
    Trouble.BAD_RESPONSE: (500, "Internal Server Error"),
    Trouble.TIMED_OUT: (503, "Service Unavailable"),
    Trouble.UNAUTHORIZED: (401, "Unauthorized"),
    Trouble.DENIED: (403, "Forbidden"),
    Trouble.EXPLICITLY_DENIED: (403, "Forbidden"),
    Trouble.NO_ANSWER: (500, "Internal Server Error"),
}
_REST: dict[Trouble, tuple[int, str | None]] = {
    Trouble.NO_ROUTE: (403, "Missing Authentication Token"),
    Trouble.NO_STAGE: (403, "Forbidden"),
    Trouble.DISABLED: (403, "Forbidden"),
    Trouble.TOO_LARGE: (413, "Request Too Long"),
    Trouble.NOT_ALLOWED: (500, "Internal server error"),
    Trouble.THROTTLED: (500, "Internal server error"),
    Trouble.FAILED: (502, "Internal server error"),
    Trouble.BAD_RESPONSE: (502, "Internal server error"),
    Trouble.TIMED_OUT: (504, "Endpoint request timed out"),
    Trouble.UNAUTHORIZED: (401, "Unauthorized"),
    Trouble.DENIED: (403, "User is not authorized to access this resource"),
    Trouble.EXPLICITLY_DENIED: (
        403, "User is not authorized to access this resource with an explicit deny",
    ),
    Trouble.NO_ANSWER: (500, None),
}  # fmt: skip
# REST APIs name their errors in a header, too.
_ERROR_TYPES = {
    Trouble.NO_ROUTE: b"MissingAuthenticationTokenException",
    Trouble.NO_STAGE: b"ForbiddenException",
    Trouble.DISABLED: b"ForbiddenException",
    Trouble.TOO_LARGE: b"RequestTooLargeException",
    Trouble.UNAUTHORIZED: b"UnauthorizedException",
    Trouble.DENIED: b"AccessDeniedException",
    Trouble.EXPLICITLY_DENIED: b"AccessDeniedException",
    Trouble.NO_ANSWER: b"AuthorizerConfigurationException",
}
# As AWS spells it there, and nowhere else.
_CAPITALIZED = frozenset({Trouble.DENIED, Trouble.EXPLICITLY_DENIED})


def trouble_response(
    trouble: Trouble, kind: ApiKind, headers: Headers | None = None
) -> WireResponse:
    """Return what an API of this kind says of a trouble."""
    if kind is ApiKind.HTTP:
        return message_response(*_HTTP[trouble], extra=headers)
    error_type = _ERROR_TYPES.get(trouble, b"InternalServerErrorException")
    extra = [(b"x-amzn-errortype", error_type), *(headers or ())]
    name = "Message" if trouble in _CAPITALIZED else "message"
    return message_response(*_REST[trouble], extra=extra, name=name)


def message_response(
    status: int, message: str | None, *, extra: Headers | None = None, name: str = "message"
) -> WireResponse:
    headers = [(b"content-type", JSON), *(extra or ())]
    return WireResponse(status, headers, orjson.dumps({name: message}))


def api_response(asked: ApiCall, payload: bytes) -> WireResponse:
    """Return the response that a function's result means. Raises BadResponseError."""
    integration = asked.match.route.integration
    if integration is not None and integration.payload == PAYLOAD_2:
        return response_of(payload)
    try:
        result = parsed(payload)
    except (ValueError, RecursionError):
        raise BadResponseError("it is not JSON") from None
    if not isinstance(result, dict):
        raise BadResponseError("it is not an object")
    return _response_1(asked, {name: each for name, each in result.items() if each is not None})


def _response_1(asked: ApiCall, result: dict[str, Any]) -> WireResponse:
    is_rest = asked.api.kind is ApiKind.REST
    if is_rest and (unknown := result.keys() - _MEMBERS):
        raise BadResponseError(f"it has a member {min(unknown)[:40]!r}")
    if not is_rest and "statusCode" not in result:
        raise BadResponseError("it has no statusCode")
    if not isinstance(result.get("body", ""), str):
        raise BadResponseError("its body is not a text")
    status, headers = _head(result)
    if status in BODILESS:
        return WireResponse(status, headers, b"")
    if is_rest and not _decodes(asked, headers):
        result = {**result, "isBase64Encoded": False}
    return WireResponse(status, headers, body_of(result))


def _head(result: dict[str, Any]) -> tuple[int, Headers]:
    """Return status and headers. A name of both maps has the values of both, each once."""
    lists = result.get("multiValueHeaders", {})
    if not isinstance(lists, dict) or not all(
        isinstance(each, list | None) for each in lists.values()
    ):
        raise BadResponseError("multiValueHeaders is not an object of lists")
    several = [
        header
        for name, values in lists.items()
        for value in values or ()
        for header in headers_of({name: value})
    ]
    names = {name for name, _ in several}
    status, single = head_of(
        {name: result[name] for name in ("statusCode", "headers") if name in result}, JSON
    )
    # The content type that a response without one has.
    is_typed = any(name.lower() == "content-type" for name in result.get("headers", ()))
    own = [
        header
        for header in single
        if header not in several
        and (is_typed or header[0] != b"content-type" or header[0] not in names)
    ]
    return status, own + several


def _decodes(asked: ApiCall, headers: Headers) -> bool:
    """Whether a REST API decodes a body: as it was told of the type that is sent or wanted."""
    accepted = asked.call.headers.get("accept", "").partition(",")[0]
    sent = dict(headers).get(b"content-type", b"").decode("latin-1")
    return any(is_binary(asked.api.binary_types, each) for each in (accepted, sent))
