"""Tell pollers that something was written to what they poll, so that they look at once.

Only what passes through the node is seen; what is written elsewhere is found by polling.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio.to_thread
import orjson

from lambdabox.events.relayed import Forward, Reads, ServiceAnswer, ServiceRequest
from lambdabox.ports import Bus

SOURCE_WRITTEN = "source-written"
"""The topic on which each queue, table or stream that was written to is told, by its ARN. A
table's streams have ARNs that begin with the table's."""

_PARSED_ON_LOOP_BYTES = 256 * 1024

Names = Callable[[Mapping[str, Any]], Iterable[str]]
"""Given an operation's input, return what it writes to, as it is named there."""


class WriteNudges:
    """An Interceptor for SQS, DynamoDB and Kinesis."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def reads(self, request: ServiceRequest) -> Reads:
        if request.target in _WRITES.get(request.service, {}):
            return Reads.BODY
        content_type = request.headers.get("content-type", "")
        is_form = content_type.startswith("application/x-www-form-urlencoded")
        return Reads.BODY if request.service == "sqs" and is_form else Reads.NOTHING

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        answer = await forward(request)
        if answer.is_success:
            for name in await _written(request):
                self._bus.publish(SOURCE_WRITTEN, _arn(request, name))
        return answer


async def _written(request: ServiceRequest) -> frozenset[str]:
    names = _WRITES[request.service].get(request.target, _queue_of_form)
    if names is _queue_of_form:
        return frozenset(_queue_of_form({"body": request.body, "path": request.path}))
    body = request.body or b"{}"
    try:
        if len(body) <= _PARSED_ON_LOOP_BYTES:
            parameters = orjson.loads(body)
        else:
            parameters = await anyio.to_thread.run_sync(orjson.loads, body)
        return frozenset(name for name in names(parameters) if isinstance(name, str))
    except (ValueError, AttributeError, TypeError, KeyError):
        return frozenset()  # whatever the service has made of that


def _queue_of_form(request: Mapping[str, Any]) -> list[str]:
    """The queue of the query protocol, which older SDKs speak."""
    form = parse_qs(request["body"].decode("latin-1"))
    if form.get("Action", [""])[0] not in ("SendMessage", "SendMessageBatch"):
        return []
    return form.get("QueueUrl") or [request["path"]]


def _arn(request: ServiceRequest, name: str) -> str:
    scope = request.scope
    if name.startswith("arn:"):
        return name
    if request.service == "sqs":
        account, _, queue = urlsplit(name).path.strip("/").rpartition("/")
        return f"arn:aws:sqs:{scope.region}:{account.rpartition('/')[2]}:{queue}"
    kind = {"dynamodb": "table", "kinesis": "stream"}[request.service]
    return f"arn:aws:{request.service}:{scope.region}:{scope.account}:{kind}/{name}"


def _queue(parameters: Mapping[str, Any]) -> Iterable[str]:
    return [parameters["QueueUrl"]]


def _table(parameters: Mapping[str, Any]) -> Iterable[str]:
    return [parameters["TableName"]]


def _tables(parameters: Mapping[str, Any]) -> Iterable[str]:
    return list(parameters["RequestItems"])


def _tables_of_transaction(parameters: Mapping[str, Any]) -> Iterable[str]:
    actions = (action for item in parameters["TransactItems"] for action in item.values())
    return [action["TableName"] for action in actions]


def _stream(parameters: Mapping[str, Any]) -> Iterable[str]:
    return [parameters.get("StreamARN") or parameters["StreamName"]]


_WRITES: Mapping[str, Mapping[str, Names]] = {
    "sqs": {"SendMessage": _queue, "SendMessageBatch": _queue},
    "dynamodb": {
        "PutItem": _table,
        "UpdateItem": _table,
        "DeleteItem": _table,
        "BatchWriteItem": _tables,
        "TransactWriteItems": _tables_of_transaction,
    },
    "kinesis": {"PutRecord": _stream, "PutRecords": _stream},
}
