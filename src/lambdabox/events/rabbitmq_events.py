"""Messages of RabbitMQ in the shape that functions know."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from lambdabox.broker_ports import QueueMessage
from lambdabox.domain.mappings import EventSourceMapping

_PROPERTIES = {
    "contentType": "content_type",
    "contentEncoding": "content_encoding",
    "headers": "headers",
    "deliveryMode": "delivery_mode",
    "priority": "priority",
    "correlationId": "correlation_id",
    "replyTo": "reply_to",
    "expiration": "expiration",
    "messageId": "message_id",
    "timestamp": "timestamp",
    "type": "message_type",
    "userId": "user_id",
    "appId": "app_id",
    "clusterId": "cluster_id",
}


def record_of(message: QueueMessage) -> dict[str, Any]:
    properties = {
        shown: _shown(message.properties.get(name)) for shown, name in _PROPERTIES.items()
    }
    headers = message.properties.get("headers") or {}
    return {
        "basicProperties": {
            **properties,
            "headers": {name: _header(value) for name, value in headers.items()},
            # AMQP has no use for it any more, and libraries show its absence as empty text.
            "clusterId": properties["clusterId"] or None,
            "bodySize": len(message.body),
        },
        "redelivered": message.is_redelivered,
        "data": base64.b64encode(message.body).decode(),
    }


def payload_of(mapping: EventSourceMapping, virtual_host: str, records: Sequence[bytes]) -> bytes:
    """Return the event of these records, each as JSON."""
    queue = orjson.dumps(f"{mapping.settings.queues[0]}::{virtual_host}")
    head = orjson.dumps({"eventSource": "aws:rmq", "eventSourceArn": mapping.source_arn})
    return b'%b,"rmqMessagesByQueue":{%b:[%b]}}' % (head[:-1], queue, b",".join(records))


def _shown(value: Any) -> Any:
    return _moment(value) if isinstance(value, datetime) else value


def _header(value: Any) -> Any:
    """Text is told as its bytes, as AWS does; numbers and truth as they are."""
    match value:
        case str():
            return {"bytes": list(value.encode(errors="surrogatepass"))}
        case bytes() | bytearray():
            return {"bytes": list(value)}
        case datetime():
            return _moment(value)
        case Decimal():
            return float(value)
        case Mapping():
            return {str(name): _header(each) for name, each in value.items()}
        case list() | tuple():
            return [_header(each) for each in value]
    return value


def _moment(value: datetime) -> str:
    """`Nov 23, 2026, 6:00:00 AM`."""
    moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    hour = moment.hour % 12 or 12
    return f"{moment:%b} {moment.day}, {moment.year}, {hour}:{moment:%M:%S %p}"
