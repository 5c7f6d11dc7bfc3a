"""The JSON protocols: parameters of a request, and refusals in the service's form."""

from collections.abc import Mapping
from typing import Any

import orjson

from lambdabox.events.relayed import ServiceAnswer, ServiceRequest


def document_of(body: bytes | None) -> Mapping[str, Any]:
    """Return the JSON object that a body is; an empty one for whatever else it is."""
    try:
        found = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def refusal(_request: ServiceRequest, code: str, message: str) -> ServiceAnswer:
    body = orjson.dumps({"__type": code, "message": message})
    headers = [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", code.encode()),
    ]
    return ServiceAnswer(400, headers, body)
