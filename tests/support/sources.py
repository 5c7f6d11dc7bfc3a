"""Queues and streams of the neighbours, and mappings to them, as tests make and await them."""

from dataclasses import dataclass
from typing import Any

from support.functions import ACCOUNT, REGION, Clients, eventually, without_metadata

KEYS = {"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Queue:
    url: str
    arn: str


def make_queue(clients: Clients, name: str, **attributes: str) -> Queue:
    name = f"{name[:70]}.fifo" if attributes.get("FifoQueue") else name[:80]
    client = clients("sqs")
    url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return Queue(url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")


def make_stream(clients: Clients, name: str, shards: int = 1) -> str:
    """Return the ARN of a Kinesis stream that is ready."""
    client = clients("kinesis")
    client.create_stream(StreamName=name, ShardCount=shards)
    client.get_waiter("stream_exists").wait(
        StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    arn: str = client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"][
        "StreamARN"
    ]
    return arn


def make_table(clients: Clients, name: str) -> str:
    """Return the ARN of the stream of a table."""
    made = clients("dynamodb").create_table(
        TableName=name,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        **KEYS,
    )
    arn: str = made["TableDescription"]["LatestStreamArn"]
    return arn


def await_state(client: Any, id: str, state: str) -> dict[str, Any]:
    """Return the mapping once it is in this state."""

    def look() -> dict[str, Any] | None:
        mapping = without_metadata(client.get_event_source_mapping(UUID=id))
        return mapping if mapping["State"] == state else None

    return eventually(look)


def await_gone(client: Any, id: str) -> None:
    def look() -> bool:
        try:
            client.get_event_source_mapping(UUID=id)
        except client.exceptions.ResourceNotFoundException:
            return True
        return False

    assert eventually(look)
