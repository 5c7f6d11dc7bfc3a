"""What is told of an asynchronous invocation's end: the record, and the dead letter.

Byte for byte what AWS sends, because queues' consumers and rules of event buses read it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from lambdabox.domain.arn import FunctionReference, Scope
from lambdabox.domain.destinations import Attribute, Parcel, qualified
from lambdabox.domain.errors import ApiError
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.values import dataclass

ERROR_MESSAGE_BYTES = 1_024
FUNCTION_ERROR_CODE = 200
"""In a dead letter: the function ran, and failed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an event's last attempt ended. Neither an outcome nor an error if there was none."""

    reference: FunctionReference
    invocation: Invocation
    condition: str
    """Success, RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency …"""
    invoke_count: int
    outcome: Outcome | None = None
    error: ApiError | None = None

    @property
    def is_success(self) -> bool:
        return self.condition == "Success"


def record_parcel(ending: Ending, now: float) -> Parcel:
    """Return what a destination is sent."""
    key = ending.reference.key
    head = _head(ending, now)
    return Parcel(
        body=orjson.dumps({**head, **_payloads(ending)}),
        short_body=orjson.dumps(head),
        sender=Scope(key.account, key.region),
        function_arn=qualified(ending.reference),
        is_success=ending.is_success,
        object_prefix=f"aws/lambda/async/{key.name}",
        trace=ending.invocation.trace,
    )


def dead_letter(ending: Ending) -> Parcel:
    """Return what a dead-letter queue is sent: the event, and why it is there."""
    key, invocation = ending.reference.key, ending.invocation
    code, message = _error(ending)
    return Parcel(
        body=invocation.payload,
        sender=Scope(key.account, key.region),
        function_arn=qualified(ending.reference),
        attributes={
            "RequestID": Attribute("String", invocation.request_id),
            "ErrorCode": Attribute("Number", str(code)),
            "ErrorMessage": Attribute("String", _first_kilobyte(message) or "Unknown"),
        },
        trace=invocation.trace,
    )


def _head(ending: Ending, now: float) -> dict[str, Any]:
    head: dict[str, Any] = {
        "version": "1.0",
        "timestamp": _timestamp(now),
        "requestContext": {
            "requestId": ending.invocation.request_id,
            "functionArn": qualified(ending.reference),
            "condition": ending.condition,
            "approximateInvokeCount": ending.invoke_count,
        },
    }
    outcome = ending.outcome
    if outcome is not None:
        head["responseContext"] = {
            "statusCode": 200,
            "executedVersion": outcome.executed_version,
            **({"functionError": outcome.function_error} if outcome.function_error else {}),
        }
    return head


def _payloads(ending: Ending) -> dict[str, Any]:
    payloads = {"requestPayload": _json(ending.invocation.payload)}
    if ending.outcome is not None:
        payloads["responsePayload"] = _json(ending.outcome.payload)
    return payloads


def _json(payload: bytes) -> Any:
    """Return JSON as it stands; what a runtime of the author's own wrote may be none."""
    if not payload:
        return None
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")
    return orjson.Fragment(payload)


def _error(ending: Ending) -> tuple[int, str]:
    if ending.outcome is not None:
        return FUNCTION_ERROR_CODE, _error_message(ending.outcome.payload)
    if ending.error is not None:
        return ending.error.status, ending.error.message
    return 429, "Rate Exceeded."


def _error_message(payload: bytes) -> str:
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")
    if isinstance(document, dict) and isinstance(document.get("errorMessage"), str):
        return str(document["errorMessage"])
    return payload.decode(errors="replace")


def _first_kilobyte(text: str) -> str:
    return text.encode(errors="replace")[:ERROR_MESSAGE_BYTES].decode(errors="ignore")


def _timestamp(now: float) -> str:
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


Undelivered = Sequence[tuple[str, Parcel]]
"""Destinations' ARNs, and what each is still to be sent."""

_UNDELIVERED = b'{"undelivered":'


def encode_undelivered(undelivered: Undelivered) -> bytes:
    """Return a message's body for the queue, which `decode_undelivered` knows from an event's."""
    return orjson.dumps({"undelivered": [[arn, _written(parcel)] for arn, parcel in undelivered]})


def decode_undelivered(body: bytes) -> Undelivered | None:
    """Return what is still to be sent; None if the message is an event."""
    if not body.startswith(_UNDELIVERED):
        return None
    return [(arn, _read(members)) for arn, members in orjson.loads(body)["undelivered"]]


def _written(parcel: Parcel) -> dict[str, Any]:
    return {
        "body": parcel.body.decode(errors="replace"),
        "short_body": None if parcel.short_body is None else parcel.short_body.decode(),
        "sender": [parcel.sender.account, parcel.sender.region],
        "function_arn": parcel.function_arn,
        "is_success": parcel.is_success,
        "object_prefix": parcel.object_prefix,
        "attributes": {
            name: [attribute.data_type, attribute.value]
            for name, attribute in parcel.attributes.items()
        },
        "trace": parcel.trace,
    }


def _read(members: Mapping[str, Any]) -> Parcel:
    short = members["short_body"]
    attributes = {name: Attribute(*cells) for name, cells in members["attributes"].items()}
    return Parcel(
        body=members["body"].encode(),
        short_body=None if short is None else short.encode(),
        sender=Scope(*members["sender"]),
        function_arn=members["function_arn"],
        is_success=members["is_success"],
        object_prefix=members["object_prefix"],
        attributes=attributes,
        trace=members["trace"],
    )
