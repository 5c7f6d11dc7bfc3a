"""Tell of Kafka's records that are given up: another destination on failure, another shape."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import orjson

from lambdabox.broker_ports import BrokerError, TopicConsumer
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.domain.stream_retry import RETRIES_EXHAUSTED, TOO_LARGE
from lambdabox.events.batches import Ran
from lambdabox.events.failures import Failures, GivenUp
from lambdabox.events.kafka_records import KafkaRecord, payload_of

log = logging.getLogger(__name__)

TOPIC = "kafka://"
_TOPIC_CONDITIONS = {RETRIES_EXHAUSTED: "RetriesExhausted"}


@dataclass(frozen=True, slots=True)
class Undone:
    """Records that will not be tried again, after so many attempts."""

    records: Sequence[KafkaRecord]
    condition: str
    attempts: int
    result: Ran | None = None


class KafkaFailures:
    def __init__(
        self,
        mapping: EventSourceMapping,
        failures: Failures,
        consumer: TopicConsumer,
        servers: str,
    ) -> None:
        self._mapping = mapping
        self._failures = failures
        self._consumer = consumer
        self._servers = servers

    async def tell(self, undone: Undone) -> None:
        """Return once the destination has it, or has refused it for good: the partition goes on.

        Raises BrokerError if the destination is a topic that does not take it: nothing is
        committed then, and the records are tried again.
        """
        arn = self._mapping.settings.on_failure or ""
        if not arn.startswith(TOPIC):
            await self._failures.tell(self._given_up(undone))
            return
        log.warning(
            "%d records of %s were given up: %s",
            len(undone.records),
            self._mapping.arn,
            undone.condition,
        )
        for record in undone.records:
            await self._to_topic(arn.removeprefix(TOPIC), replace(undone, records=[record]))

    async def _to_topic(self, topic: str, undone: Undone) -> None:
        """Send one record, with the key it had."""
        [record] = undone.records
        condition = _TOPIC_CONDITIONS.get(undone.condition, undone.condition)
        given_up = self._given_up(replace(undone, condition=condition))
        message = self._failures.record(given_up)
        info = message["KafkaBatchInfo"]
        del info["recordsInfo"]
        info["recordInfo"] = {"offset": record.offset, "timestamp": record.source.timestamp}
        message["payload"] = given_up.payload.decode()
        try:
            await self._consumer.produce(topic, record.source.key, orjson.dumps(message))
        except BrokerError as exc:
            raise BrokerError(f"The destination {TOPIC}{topic} takes nothing: {exc}") from exc

    def _given_up(self, undone: Undone) -> GivenUp:
        payload = payload_of(self._mapping, self._servers, undone.records)
        result = undone.result
        return GivenUp(
            undone.records[0].partition.topic,
            [each.stream for each in undone.records],
            payload,
            undone.condition,
            undone.attempts,
            result.request_id if result else "",
            result.outcome if result else None,
            result.trace if result else "",
            self._info(undone, len(payload)),
        )

    def _info(self, undone: Undone, payload_bytes: int) -> Mapping[str, Any]:
        info = {
            "batchSize": len(undone.records),
            "eventSourceArn": self._mapping.source_arn,
            "bootstrapServers": self._servers,
            "payloadSize": payload_bytes,
            "recordsInfo": {
                str(partition): _extent(list(group))
                for partition, group in groupby(undone.records, key=lambda each: each.partition)
            },
        }
        without_response = {"responseContext": None} if undone.condition == TOO_LARGE else {}
        return {**without_response, "KafkaBatchInfo": info}


def _extent(records: Sequence[KafkaRecord]) -> dict[str, Any]:
    first, last = records[0], records[-1]
    return {
        "firstRecordOffset": first.offset,
        "lastRecordOffset": last.offset,
        "firstRecordTimestamp": first.source.timestamp,
        "lastRecordTimestamp": last.source.timestamp,
    }
