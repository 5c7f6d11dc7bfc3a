"""The HTTP Runtime API of one execution environment, version 2018-06-01.

Any runtime that works on AWS works here: the calls, headers and error bodies are AWS's.
This module turns calls into transitions of the session; `http_connection` does the wire.
A streamed response reaches the session as it comes.
"""

import asyncio
import base64
import binascii
import re
import socket
import uuid
from collections.abc import Callable, Mapping

import orjson

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import CREDENTIALS_PATH, CREDENTIALS_TOKEN_VARIABLE
from lambdabox.runtime.credentials import ContainerCredentials
from lambdabox.runtime.extensions_api import ExtensionsApi
from lambdabox.runtime.http_connection import HttpConnection, Reply, Request, error_reply
from lambdabox.runtime.session import IllegalCallError, RuntimeSession, UnknownRequestError

_BASE = "/2018-06-01"
_NEXT = f"{_BASE}/runtime/invocation/next"
_ANSWER = re.compile(rf"{_BASE}/runtime/invocation/([^/]*)/(response|error)")
_METHODS = {
    _NEXT: "GET",
    f"{_BASE}/runtime/init/error": "POST",
    f"{_BASE}/runtime/restore/next": "GET",
    f"{_BASE}/runtime/restore/error": "POST",
    CREDENTIALS_PATH: "GET",
    f"{_BASE}/ping": "GET",
    "/ping": "GET",
}

_CONNECTIONS = 32
_BODIES_BYTES = 2 * limits.RESPONSE_BYTES
_ERROR_TYPE = "lambda-runtime-function-error-type"
_ERROR_BODY = "lambda-runtime-function-error-body"
_RESPONSE_MODE = "lambda-runtime-function-response-mode"
_INVOCATION_ID = "lambda-runtime-invocation-id"
_STREAMING = "streaming"

_ACCEPTED = Reply(202, b'{"status":"OK"}')
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class RuntimeApi:
    """Answers the calls of one runtime process. Its environment closes it."""

    def __init__(
        self,
        session: RuntimeSession,
        extensions: ExtensionsApi | None = None,
        credentials: ContainerCredentials | None = None,
    ) -> None:
        self._session = session
        self._extensions = extensions
        self._credentials = credentials
        self._server: asyncio.Server | None = None
        self._connections: set[HttpConnection] = set()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._room = _BODIES_BYTES
        self._parked: HttpConnection | None = None
        self._streaming: HttpConnection | None = None
        self._invocation_id = ""
        self._deliver_callback = self._deliver
        self._resume_callback = self._resume

    async def listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HttpConnection(self), sock=listener)

    async def drained(self) -> None:
        """Return once all connections have ended, as they do after the process did.

        What it had sent before has then been handled. A descendant that outlives it can
        hold a connection open, so the caller sets a limit.
        """
        await asyncio.sleep(0)  # one turn of the loop accepts what had just connected
        for connection in self._connections:
            connection.drain()
        await self._all_closed.wait()

    def close(self) -> None:
        """Close the listener and drop all connections. May be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.abort()

    # Called by connections.

    def opened(self, connection: HttpConnection) -> bool:
        if self._server is None or len(self._connections) >= _CONNECTIONS:
            return False
        self._connections.add(connection)
        self._all_closed.clear()
        return True

    def reserve(self, size: int) -> bool:
        if size > self._room:
            return False
        self._room -= size
        return True

    def left(self, connection: HttpConnection) -> None:
        if self._parked is connection:
            self._parked = None
            self._session.withdraw(self._deliver_callback)
            self._session.withdraw_snapshot(self._resume_callback)
        elif self._extensions is not None:
            self._extensions.left(connection)
        if self._streaming is connection:
            self._streaming = None
            self._session.break_stream()

    def closed(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def stream(
        self, request: Request, connection: HttpConnection
    ) -> Callable[[bytes], None] | None:
        if request.headers.get(_RESPONSE_MODE, "").lower() != _STREAMING:
            return None
        answer = _ANSWER.fullmatch(request.path)
        if answer is None or answer[2] == "error" or request.method != "POST":
            return None
        if not self._is_current(request):
            return None
        try:
            self._begin_stream(request, answer[1], connection)
        except (UnknownRequestError, IllegalCallError):
            return None  # `handle` says so once the request is complete
        self._streaming = connection
        return self._session.stream

    def handle(self, request: Request, connection: HttpConnection) -> Reply | None:
        answer = _ANSWER.fullmatch(request.path)
        method = "POST" if answer else _METHODS.get(request.path)
        if method is None:
            if self._extensions is not None and self._extensions.owns(request.path):
                return self._extensions.handle(request, connection)
            return _not_found(request)
        if request.method != method:
            message = f"{request.method} is not allowed for {request.path}; use {method}."
            return error_reply(405, "MethodNotAllowed", message, ("Allow", method))
        try:
            if answer:
                is_error = answer[2] == "error"
                return self._answer(request, answer[1], connection, is_error=is_error)
            return self._call(request, connection)
        except UnknownRequestError:
            return error_reply(400, "InvalidRequestID", "Invalid request ID")
        except IllegalCallError as error:
            return error_reply(403, "InvalidStateTransition", f"Transition is not allowed: {error}")

    def _call(self, request: Request, connection: HttpConnection) -> Reply | None:
        call = request.path.removeprefix(_BASE)
        if call == "/ping":
            return Reply(200, b"pong")
        if call == "/runtime/invocation/next":
            self._session.next(self._deliver_callback)
            self._parked = connection
            return None
        if call == "/runtime/restore/next":
            self._session.snapshot(self._resume_callback)
            self._parked = connection
            return None
        if call == CREDENTIALS_PATH:
            return self._fetch_credentials(request)
        if request.body is None:
            return _too_large()
        error_type = request.headers.get(_ERROR_TYPE, "")
        if call == "/runtime/init/error":
            self._session.init_error(request.body, error_type)
        else:
            self._session.restore_error(request.body, error_type)
        return _ACCEPTED

    def _fetch_credentials(self, request: Request) -> Reply:
        if self._credentials is None:
            return _not_found(request)
        if not self._credentials.admits(request.headers.get("authorization", "")):
            message = f"The Authorization header is not the value of {CREDENTIALS_TOKEN_VARIABLE}."
            return error_reply(403, "AccessDenied", message)
        return Reply(200, self._credentials.document())

    def _resume(self, _variables: Mapping[str, str]) -> None:
        # No fork of a process goes on with this connection, so it has its variables already.
        connection, self._parked = self._parked, None
        if connection is not None:
            connection.reply(Reply(200, b""))

    def _deliver(self, invocation: Invocation, deadline_ms: int) -> None:
        connection, self._parked = self._parked, None
        self._invocation_id = str(uuid.uuid4())
        if connection is not None:
            connection.reply(_event(invocation, deadline_ms, self._invocation_id))

    def _answer(
        self, request: Request, request_id: str, connection: HttpConnection, *, is_error: bool
    ) -> Reply:
        session = self._session
        if not request_id or request_id != session.request_id:
            raise UnknownRequestError(request_id)
        if not self._is_current(request):
            return error_reply(400, "InvalidInvocationId", "Invalid invocation ID")
        mode = request.headers.get(_RESPONSE_MODE, "").lower()
        if not is_error and mode not in ("", "buffered", _STREAMING):
            return self._refuse_mode(request_id, mode)
        if request.is_streamed:
            return self._end_stream(request)
        if request.body is None:
            session.too_large(request_id)
            return _too_large()
        if is_error:
            session.error(request_id, request.body, request.headers.get(_ERROR_TYPE, ""))
        elif mode == _STREAMING:  # collected, for it came before the last call was answered
            self._begin_stream(request, request_id, connection)
            session.stream(request.body)
            return self._end_stream(request)
        elif error_type := request.trailers.get(_ERROR_TYPE):
            session.error(request_id, _trailing_error(request, error_type), error_type)
        else:
            session.response(request_id, request.body)
        return _ACCEPTED

    def _is_current(self, request: Request) -> bool:
        """Whether the request names the invocation at hand, if it names one."""
        return request.headers.get(_INVOCATION_ID, self._invocation_id) == self._invocation_id

    def _refuse_mode(self, request_id: str, mode: str) -> Reply:
        message = f"Invalid response mode {mode!r}: use streaming, or leave the header out."
        error_type = "Runtime.InvalidResponseModeHeader"
        body = orjson.dumps({"errorMessage": message, "errorType": error_type})
        self._session.error(request_id, body, error_type)
        return error_reply(400, "InvalidFunctionResponseMode", message)

    def _begin_stream(self, request: Request, request_id: str, connection: HttpConnection) -> None:
        content_type = request.headers.get("content-type", "")
        self._session.begin_stream(request_id, content_type, connection)

    def _end_stream(self, request: Request) -> Reply:
        self._streaming = None
        if error_type := request.trailers.get(_ERROR_TYPE):
            self._session.fail_stream(_trailing_error(request, error_type), error_type)
            return _ACCEPTED
        return _ACCEPTED if self._session.end_stream() else _too_large()


async def serve_runtime_api(
    listener: socket.socket,
    session: RuntimeSession,
    extensions: ExtensionsApi | None = None,
    credentials: ContainerCredentials | None = None,
) -> RuntimeApi:
    """Serve the API of `session` on `listener` until the result is closed."""
    api = RuntimeApi(session, extensions, credentials)
    await api.listen(listener)
    return api


def _event(invocation: Invocation, deadline_ms: int, invocation_id: str) -> Reply:
    headers = (
        ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", invocation.invoked_arn),
        ("Lambda-Runtime-Trace-Id", invocation.trace),
        ("Lambda-Runtime-Client-Context", _NOT_ASCII.sub(_escape, invocation.client_context)),
        ("Lambda-Runtime-Cognito-Identity", ""),
        ("Lambda-Runtime-Aws-Tenant-Id", invocation.tenant_id),
        ("Lambda-Runtime-Invocation-Id", invocation_id),
    )
    # Values come from callers: a line break in one must not begin another header.
    given = tuple((name, _CONTROL_CHARACTERS.sub(" ", value)) for name, value in headers if value)
    return Reply(200, invocation.payload, given)


def _escape(match: re.Match[str]) -> str:
    """Return a character of a JSON text as an escape, for HTTP clients that read Latin-1."""
    units = match[0].encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _trailing_error(request: Request, error_type: str) -> bytes:
    """Return the error that ended a streamed response: JSON, in base64, in a trailer."""
    try:
        body = base64.b64decode(request.trailers.get(_ERROR_BODY, ""), validate=True)
    except (binascii.Error, ValueError):
        body = b""
    message = "The response stream ended with an error that has no valid description."
    return body or orjson.dumps({"errorMessage": message, "errorType": error_type})


def _not_found(request: Request) -> Reply:
    return error_reply(404, "NotFound", f"The Runtime API has no {request.path}.")


def _too_large() -> Reply:
    message = f"Exceeded maximum allowed payload size ({limits.RESPONSE_BYTES} bytes)."
    return error_reply(413, "RequestEntityTooLarge", message)
