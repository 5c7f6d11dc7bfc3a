"""CloudWatch's metrics, for the platform's own namespace and those that functions print.

GetMetricData, GetMetricStatistics and ListMetrics are answered from the journal where they ask
for what is kept there. Everything else goes on to whoever is CloudWatch for this node, and a
question about both is answered from both.
"""

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from lambdabox.api import cbor
from lambdabox.api.cloudwatch_data import MetricData
from lambdabox.api.cloudwatch_statistics import ListMetrics, MetricStatistics, described
from lambdabox.api.cloudwatch_wire import (
    Call,
    CloudWatchWire,
    Protocol,
    protocol_of,
    read_call,
)
from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import ApiError, ServiceException
from lambdabox.events.relayed import Forward, Reads, ServiceAnswer, ServiceRequest
from lambdabox.ports import Clock
from lambdabox.telemetry.metric_queries import MetricQueries

SERVICE = "monitoring"

OPERATIONS = frozenset({"GetMetricData", "GetMetricStatistics", "ListMetrics"})

log = logging.getLogger(__name__)


class CloudWatch:
    """An `events.relayed.Interceptor`."""

    def __init__(self, queries: MetricQueries, aws: AwsServices, clock: Clock) -> None:
        self._wire = CloudWatchWire()
        self._data = MetricData(queries, aws, clock)
        self._statistics = MetricStatistics(queries, clock)
        self._list = ListMetrics(queries, clock)
        self._queries = queries

    def reads(self, request: ServiceRequest) -> Reads:
        found = protocol_of(request)
        if found is None:
            return Reads.NOTHING
        _, operation = found
        return Reads.BODY if operation is None or operation in OPERATIONS else Reads.NOTHING

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        found = protocol_of(request)
        assert found is not None  # noqa: S101  # `reads` has seen to it
        call = Call(found[0], found[1] or "", {}, request.request_id)
        try:
            call = read_call(request, *found)
            if call.operation not in OPERATIONS:
                return await forward(request)
            await self._wire.prepare()
            params = self._wire.read(call)
            if call.operation == "ListMetrics":
                return await self._list_metrics(request, call, params, forward)
            output = await self._answer(call, request.scope, params)
            if output is None:
                return await forward(request)
            return self._wire.answer(call, output)
        except ApiError as error:
            await self._wire.prepare()
            return self._wire.refuse(call, error)
        except AwsCallError:
            raise  # the relay tells of those
        except Exception:
            # The outermost handler: the caller learns the request id, the log the reason.
            log.exception("request %s failed", request.request_id)
            message = "An internal error occurred. Look for the request id in the node's log."
            return self._wire.refuse(call, ServiceException(message))

    async def _answer(
        self, call: Call, scope: Scope, params: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return None if nothing that is asked for is kept here."""
        operation = self._data if call.operation == "GetMetricData" else self._statistics
        if not await operation.is_own(scope, params):
            return None
        return await operation.answer(scope, params)

    async def _list_metrics(
        self,
        request: ServiceRequest,
        call: Call,
        params: Mapping[str, Any],
        forward: Forward,
    ) -> ServiceAnswer:
        if self._queries.is_platform(params.get("Namespace")):
            return self._wire.answer(call, await self._list.answer(request.scope, params))
        if params.get("NextToken"):
            return await forward(request)  # ours were all on the first page
        own = described(await self._list.own(request.scope, params))
        try:
            answer = await forward(request)
        except AwsCallError as exc:
            log.warning("metrics of other services are not listed: %s", exc)
            return self._wire.answer(call, {"Metrics": own})
        if not own or not answer.is_success:
            return answer if answer.is_success else self._wire.answer(call, {"Metrics": own})
        return self._joined(call, own, answer)

    def _joined(
        self, call: Call, own: list[dict[str, Any]], answer: ServiceAnswer
    ) -> ServiceAnswer:
        """Put our metrics before those of another CloudWatch, in its answer's own form."""
        if call.protocol is Protocol.QUERY:
            ours = self._wire.answer(call, {"Metrics": own}).body
            members = ours.partition(b"<Metrics>")[2].partition(b"</Metrics>")[0]
            body = answer.body.replace(b"<Metrics>", b"<Metrics>" + members, 1)
            headers = [pair for pair in answer.headers if pair[0] != b"content-length"]
            length = (b"content-length", str(len(body)).encode())
            return ServiceAnswer(answer.status, [*headers, length], body)
        is_json = call.protocol is Protocol.JSON
        theirs = orjson.loads(answer.body) if is_json else cbor.decode(answer.body)
        token = {"NextToken": theirs["NextToken"]} if theirs.get("NextToken") else {}
        return self._wire.answer(call, {"Metrics": [*own, *theirs.get("Metrics", [])], **token})
