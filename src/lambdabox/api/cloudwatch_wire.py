"""The three protocols in which CloudWatch is spoken to: JSON, CBOR and forms with XML.

Whatever the protocol, an operation's input becomes one document, which is checked against the
service model as every other service's is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import anyio.to_thread
import orjson

from lambdabox.api import cbor, query_protocol
from lambdabox.api.model import ServiceApi
from lambdabox.api.parse import Match
from lambdabox.domain.errors import ApiError, SerializationException
from lambdabox.events.relayed import ServiceAnswer, ServiceRequest

FORM = "application/x-www-form-urlencoded"

_CBOR_PATH = re.compile(r"/service/GraniteServiceVersion20100801/operation/(\w+)")


class Protocol(Enum):
    JSON = "json"
    CBOR = "cbor"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as far as it can be told without the model."""

    protocol: Protocol
    operation: str
    document: Mapping[str, Any]
    request_id: str


def protocol_of(request: ServiceRequest) -> tuple[Protocol, str | None] | None:
    """Return how a request is written and its operation, if its head says; None if neither."""
    if request.method != "POST":
        return None
    if request.headers.get("x-amz-target"):
        return Protocol.JSON, request.target
    found = _CBOR_PATH.fullmatch(request.path)
    if found is not None:
        return Protocol.CBOR, found[1]
    if request.headers.get("content-type", "").startswith(FORM):
        return Protocol.QUERY, None
    return None


class CloudWatchWire:
    """Inputs out of requests, and answers. The model is read when it is first needed."""

    async def prepare(self) -> None:
        """Read the model, on a thread: the first request of a node's life waits for that."""
        await anyio.to_thread.run_sync(lambda: self._service)

    @cached_property
    def _service(self) -> ServiceApi:
        return ServiceApi.load("cloudwatch")

    @property
    def _namespace(self) -> str:
        return str(self._service.service.metadata["xmlNamespace"])

    def read(self, call: Call) -> dict[str, Any]:
        """Return the checked input. Raises ApiError."""
        operation = self._service.operation(call.operation)
        if call.protocol is Protocol.QUERY:
            params = query_protocol.read_parameters(operation, call.document)
            self._service.check(call.operation, params)
            return params
        try:
            body = orjson.dumps(call.document)
        except (TypeError, ValueError) as exc:  # bytes, or integers past 64 bits
            raise SerializationException(f"The body cannot be read: {exc}") from exc
        return self._service.parse(Match(operation), {}, body)

    def answer(self, call: Call, output: Mapping[str, Any]) -> ServiceAnswer:
        operation = self._service.operation(call.operation)
        match call.protocol:
            case Protocol.JSON:
                response = self._service.serialize_output(operation, output)
                return _answer(call, response.status, b"application/x-amz-json-1.0", response.body)
            case Protocol.CBOR:
                return _answer(call, 200, b"application/cbor", cbor.encode(output))
            case Protocol.QUERY:
                written = query_protocol.output(operation, self._namespace, output, call.request_id)
                return _answer(call, 200, b"text/xml", written.body)

    def refuse(self, call: Call, error: ApiError) -> ServiceAnswer:
        code, status = error.code, error.status
        fault = "Sender" if status < 500 else "Receiver"
        old_code = _OLD_CODES.get(code, code)
        match call.protocol:
            case Protocol.QUERY:
                written = query_protocol.error(
                    old_code, error.message, status, self._namespace, call.request_id
                )
                return _answer(call, status, b"text/xml", written.body)
            case Protocol.CBOR:
                body = cbor.encode({"__type": _TYPE + code, "message": error.message})
                content_type = b"application/cbor"
            case Protocol.JSON:
                body = orjson.dumps({"__type": code, "message": error.message})
                content_type = b"application/x-amz-json-1.0"
        answer = _answer(call, status, content_type, body)
        query_error = (b"x-amzn-query-error", f"{old_code};{fault}".encode())
        return ServiceAnswer(answer.status, [*answer.headers, query_error], answer.body)


_TYPE = "com.amazonaws.cloudwatch#"
_OLD_CODES = {
    "InvalidParameterValueException": "InvalidParameterValue",
    "InvalidParameterCombinationException": "InvalidParameterCombination",
    "MissingRequiredParameterException": "MissingParameter",
    "ValidationException": "ValidationError",
    "InternalServiceFault": "InternalServiceError",
}
"""What errors were called before JSON: clients of the form protocol, and old programs, use it."""


def read_call(request: ServiceRequest, protocol: Protocol, operation: str | None) -> Call:
    """Return what a request asks for. Raises SerializationException."""
    body = request.body or b""
    document: Any
    match protocol:
        case Protocol.JSON:
            try:
                document = orjson.loads(body or b"{}")
            except orjson.JSONDecodeError as exc:
                raise SerializationException(f"Unexpected token: {exc}") from exc
        case Protocol.CBOR:
            try:
                document = cbor.decode(body) if body else {}
            except cbor.BadCborError as exc:
                raise SerializationException(f"The body is not CBOR: {exc}") from exc
        case Protocol.QUERY:
            document = dict(query_protocol.read_form(body))
            operation = document.pop("Action", "")
    if not isinstance(document, dict):
        raise SerializationException("The body must be an object.")
    return Call(protocol, operation or "", document, request.request_id)


def _answer(call: Call, status: int, content_type: bytes, body: bytes) -> ServiceAnswer:
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-requestid", call.request_id.encode()),
    ]
    if call.protocol is Protocol.CBOR:
        headers.append((b"smithy-protocol", b"rpc-v2-cbor"))
    return ServiceAnswer(status, headers, body)
