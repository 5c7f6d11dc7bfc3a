"""The HTTP calls of extensions: Extensions API 2020-01-01, Telemetry API and Logs API.

They share the Runtime API's listener and connections; this module turns their calls into
transitions of `Extensions` and subscriptions of the telemetry stream. Paths, headers and
error types are AWS's.
"""

import re
import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from lambdabox.domain.functions import Deployment
from lambdabox.runtime.extensions import Extension, Extensions, RefusedError
from lambdabox.runtime.http_connection import HttpConnection, Reply, Request, error_reply
from lambdabox.runtime.telemetry_stream import SubscriptionClosedError, TelemetryStream
from lambdabox.runtime.telemetry_subscription import InvalidSubscriptionError, parse_subscription
from lambdabox.telemetry.extension_events import SubscriptionApi

_BASE = "/2020-01-01/extension"
_REGISTER = f"{_BASE}/register"
_NEXT = f"{_BASE}/event/next"
_INIT_ERROR = f"{_BASE}/init/error"
_EXIT_ERROR = f"{_BASE}/exit/error"
_SUBSCRIPTIONS: dict[str, SubscriptionApi] = {
    "/2022-07-01/telemetry": "telemetry",
    "/2020-08-15/logs": "logs",
}
_METHODS = {
    _REGISTER: "POST",
    _NEXT: "GET",
    _INIT_ERROR: "POST",
    _EXIT_ERROR: "POST",
    **dict.fromkeys(_SUBSCRIPTIONS, "PUT"),
}
_PATHS = re.compile("|".join(f"{re.escape(path)}/?" for path in _METHODS))

_NAME = "lambda-extension-name"
_IDENTIFIER = "lambda-extension-identifier"
_ERROR_TYPE = "lambda-extension-function-error-type"
_FEATURES = "lambda-extension-accept-feature"

_BODY_BYTES = 64 * 1024
_EVENTS = 16
_ACCEPTED = Reply(202, b'{"status":"OK"}')
_SUBSCRIBED = Reply(200, b'"OK"')


class ExtensionsApi:
    """Answers the calls of the extensions of one sandbox."""

    def __init__(
        self, extensions: Extensions, telemetry: TelemetryStream, deployment: Deployment
    ) -> None:
        self._extensions = extensions
        self._telemetry = telemetry
        self._deployment = deployment
        self._parked: dict[HttpConnection, Extension] = {}

    def owns(self, path: str) -> bool:
        return _PATHS.fullmatch(path) is not None

    def left(self, connection: HttpConnection) -> None:
        """The connection is gone, and with it the call that waited on it."""
        if self._parked and (extension := self._parked.pop(connection, None)):
            self._extensions.withdraw(extension)

    def handle(self, request: Request, connection: HttpConnection) -> Reply | None:
        path = request.path.removesuffix("/")
        method = _METHODS[path]
        if request.method != method:
            message = f"{request.method} is not allowed for {path}; use {method}."
            return error_reply(405, "MethodNotAllowed", message, ("Allow", method))
        try:
            return self._call(path, request, connection)
        except RefusedError as error:
            return error_reply(403, error.error_type, error.message)

    def _call(self, path: str, request: Request, connection: HttpConnection) -> Reply | None:
        if path == _REGISTER:
            return self._register(request)
        extension = self._extensions.find(request.headers.get(_IDENTIFIER, ""))
        if path == _NEXT:
            self._next(extension, connection)
            return None
        if path in _SUBSCRIPTIONS:
            return self._subscribe(_SUBSCRIPTIONS[path], extension, request)
        error_type = request.headers.get(_ERROR_TYPE, "")
        self._extensions.report_error(extension, error_type, in_init=path == _INIT_ERROR)
        return _ACCEPTED

    def _register(self, request: Request) -> Reply:
        name = request.headers.get(_NAME, "")
        # The name is judged first, as on AWS.
        events = _events(request.body) if name else ()
        extension = self._extensions.register(name, events)
        key, settings = self._deployment.key, self._deployment.settings
        answer = {
            "functionName": key.name,
            "functionVersion": self._deployment.version,
            "handler": settings.handler or "",
        }
        features = request.headers.get(_FEATURES, "").split(",")
        if "accountId" in (feature.strip() for feature in features):
            answer["accountId"] = key.account
        identifier = ("Lambda-Extension-Identifier", extension.identifier)
        return Reply(200, orjson.dumps(answer), (identifier,))

    def _next(self, extension: Extension, connection: HttpConnection) -> None:
        def deliver(event: bytes) -> None:
            self._parked.pop(connection, None)
            event_id = ("Lambda-Extension-Event-Identifier", str(uuid.uuid4()))
            connection.reply(Reply(200, event, (event_id,)))

        self._parked[connection] = extension
        try:
            self._extensions.next(extension, deliver)
        except RefusedError:
            del self._parked[connection]
            raise

    def _subscribe(self, api: SubscriptionApi, extension: Extension, request: Request) -> Reply:
        try:
            self._telemetry.subscribe(
                extension.name, parse_subscription(api, _bounded(request.body))
            )
        except InvalidSubscriptionError as error:
            return error_reply(400, "ValidationError", str(error))
        except SubscriptionClosedError:
            title = api.capitalize()
            message = f"{title} API subscription is closed already"
            return error_reply(403, f"{title}.SubscriptionClosed", message)
        return _SUBSCRIBED


def _events(body: bytes | None) -> Sequence[str]:
    """Return the events that a registration names. Raises RefusedError."""
    try:
        parsed: Any = orjson.loads(_bounded(body))
    except orjson.JSONDecodeError as error:
        raise RefusedError("InvalidRequestFormat", f"The body is not JSON: {error}") from error
    events = parsed.get("events") if isinstance(parsed, dict) else None
    events = [] if events is None else events
    if not isinstance(parsed, dict) or not isinstance(events, list) or len(events) > _EVENTS:
        message = 'The body has to be like {"events": ["INVOKE", "SHUTDOWN"]}'
        raise RefusedError("InvalidRequestFormat", message)
    if parsed.get("configurationKeys"):
        message = "configurationKeys are deprecated; use environment variables instead"
        raise RefusedError("InvalidRequestFormat", message)
    if not all(isinstance(event, str) for event in events):
        raise RefusedError("InvalidRequestFormat", "Every event has to be a string")
    return events


def _bounded(body: bytes | None) -> bytes:
    """Return the body, or an empty one, which nobody takes for valid, if it is too long."""
    return body if body is not None and len(body) <= _BODY_BYTES else b""
