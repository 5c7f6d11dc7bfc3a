"""Tell of records that are given up: the destination on failure of streams and topics."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from lambdabox.aws_ports import Destinations
from lambdabox.domain.destinations import Parcel
from lambdabox.domain.invocations import Outcome, new_request_id
from lambdabox.domain.mappings import EventSourceMapping, SourceKind
from lambdabox.events.stream_source import StreamRecord
from lambdabox.ports import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Records that will not be tried again, and how the last attempt at them went."""

    shard: str
    """Or a topic."""
    records: Sequence[StreamRecord]
    payload: bytes
    condition: str
    attempts: int
    request_id: str = ""
    outcome: Outcome | None = None
    trace: str = ""
    """Of the last attempt, so that a loop through the destination is noticed."""
    batch_info: Mapping[str, Any] | None = None
    """What is told of the batch, if it is not one of a shard."""


class Failures:
    def __init__(
        self, mapping: EventSourceMapping, destinations: Destinations, clock: Clock
    ) -> None:
        self._mapping = mapping
        self._destinations = destinations
        self._clock = clock

    async def tell(self, given_up: GivenUp) -> None:
        """Return once the destination has it, or has refused it for good: the shard goes on."""
        mapping = self._mapping
        log.warning(
            "%d records of %s were given up: %s",
            len(given_up.records),
            mapping.arn,
            given_up.condition,
        )
        arn = mapping.settings.on_failure
        if arn is None:
            return
        record = self.record(given_up)
        if arn.split(":")[2] == "s3":
            record["payload"] = given_up.payload.decode()
        await self._destinations.deliver(
            arn,
            Parcel(
                orjson.dumps(record),
                mapping.scope,
                mapping.function_arn,
                object_prefix=f"aws/lambda/{mapping.id}/{given_up.shard}",
                trace=given_up.trace,
            ),
        )

    def record(self, given_up: GivenUp) -> dict[str, Any]:
        """Return what a destination is told."""
        record: dict[str, Any] = {
            "requestContext": {
                "requestId": given_up.request_id or new_request_id(),
                "functionArn": self._mapping.function_arn,
                "condition": given_up.condition,
                "approximateInvokeCount": given_up.attempts,
            }
        }
        if given_up.outcome is not None:
            record["responseContext"] = {
                "statusCode": 200,
                "executedVersion": given_up.outcome.executed_version,
                "functionError": given_up.outcome.function_error,
            }
        return {
            **record,
            "version": "1.0",
            "timestamp": _time(self._clock.now(), "milliseconds"),
            **(given_up.batch_info or self._shard_info(given_up)),
        }

    def _shard_info(self, given_up: GivenUp) -> dict[str, Any]:
        is_kinesis = self._mapping.kind is SourceKind.KINESIS
        name = "KinesisBatchInfo" if is_kinesis else "DDBStreamBatchInfo"
        first, last = given_up.records[0], given_up.records[-1]
        return {
            name: {
                "shardId": given_up.shard,
                "startSequenceNumber": first.sequence,
                "endSequenceNumber": last.sequence,
                "approximateArrivalOfFirstRecord": self._arrival(first),
                "approximateArrivalOfLastRecord": self._arrival(last),
                "batchSize": len(given_up.records),
                "streamArn": self._mapping.source_arn,
            },
        }

    def _arrival(self, record: StreamRecord) -> str:
        is_kinesis = self._mapping.kind is SourceKind.KINESIS
        return _time(record.arrival, "milliseconds" if is_kinesis else "seconds")


def _time(seconds: float, precision: str) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec=precision)}Z"
