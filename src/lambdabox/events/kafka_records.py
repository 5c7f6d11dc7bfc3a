"""Records of Kafka in the shape that functions know.

As records of streams they are, for what both have in common: an offset is a sequence number,
and those of one partition are in order.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson

from lambdabox.broker_ports import Partition, TopicRecord
from lambdabox.domain.mappings import EventSourceMapping, SourceKind
from lambdabox.events.batches import as_json
from lambdabox.events.stream_source import StreamRecord


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    partition: Partition
    offset: int
    source: TopicRecord
    stream: StreamRecord
    """In the shape that functions know."""


def record_of(record: TopicRecord) -> KafkaRecord:
    shape = {
        "topic": record.partition.topic,
        "partition": record.partition.number,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestampType": "LOG_APPEND_TIME" if record.is_log_append_time else "CREATE_TIME",
        "key": _encoded(record.key),
        "value": _encoded(record.value),
        "headers": [{name: list(value or b"")} for name, value in record.headers],
    }
    stream = StreamRecord(
        str(record.offset), str(record.partition), record.timestamp / 1000, shape, as_json(shape)
    )
    return KafkaRecord(record.partition, record.offset, record, stream)


def payload_of(mapping: EventSourceMapping, servers: str, records: Sequence[KafkaRecord]) -> bytes:
    """Return the event of these records, which are sorted by partition."""
    head: dict[str, Any] = {"eventSource": "SelfManagedKafka", "bootstrapServers": servers}
    if mapping.kind is SourceKind.MSK:
        head = {
            "eventSource": "aws:kafka",
            "eventSourceArn": mapping.source_arn,
            "bootstrapServers": servers,
        }
    groups = [
        b"%b:[%b]" % (orjson.dumps(str(partition)), b",".join(each.stream.event for each in group))
        for partition, group in groupby(records, key=lambda each: each.partition)
    ]
    return b'%b,"records":{%b}}' % (orjson.dumps(head)[:-1], b",".join(groups))


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
