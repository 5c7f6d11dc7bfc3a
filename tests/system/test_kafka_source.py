"""Records of a cluster that speaks Kafka's protocol reach functions, and are committed."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.brokers import KafkaCluster, kafka
from support.deploying import create as create_active
from support.functions import ACCOUNT, REGION, eventually, log_messages
from support.node import Node, running
from support.sources import await_gone, await_state, make_queue

pytestmark = pytest.mark.slow

CLUSTER = f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
SAY = """
import json
def handler(event, context):
    print(json.dumps(event))
    records = [each for part in event["records"].values() for each in part]
    if any(each["value"] == "YmFk" for each in records):
        raise ValueError("bad")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with kafka() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, cluster: KafkaCluster) -> Iterator[Node]:
    settings = {"brokers": f"shop={cluster.address},kafka:9092=plaintext://{cluster.address}"}
    with running(tmp_path_factory.mktemp("node") / "data", settings=settings) as node:
        create_active(node.client(), "say", SAY)
        yield node


@pytest.fixture
def mapped(node: Node, cluster: KafkaCluster) -> Iterator[Callable[..., str]]:
    """Map a topic to the function, ready to go; unmapped when the test ends."""
    client, ids = node.client(), []

    def map_topic(topic: str, **parameters: Any) -> str:
        if "EventSourceArn" not in parameters:
            servers = parameters.pop("servers", [cluster.address])
            parameters["SelfManagedEventSource"] = {
                "Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}
            }
        id: str = client.create_event_source_mapping(
            FunctionName="say", Topics=[topic], StartingPosition="TRIM_HORIZON", **parameters
        )["UUID"]
        ids.append(id)
        await_state(client, id, "Enabled")
        return id

    yield map_topic
    for id in ids:
        client.delete_event_source_mapping(UUID=id)
        await_gone(client, id)


def send(cluster: KafkaCluster, topic: str, *values: bytes | None, partition: int = 0) -> None:
    async def work() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=cluster.address)
        await producer.start()
        try:
            for value in values:
                await producer.send_and_wait(
                    topic, value, key=b"k", partition=partition, headers=[("h", b"ab")]
                )
        finally:
            await producer.stop()

    asyncio.run(work())


def read(cluster: KafkaCluster, topic: str) -> Any:
    async def work() -> Any:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=cluster.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            return await asyncio.wait_for(consumer.getone(), 20)
        finally:
            await consumer.stop()

    return asyncio.run(work())


def committed(cluster: KafkaCluster, topic: str, group: str) -> int | None:
    async def work() -> int | None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=cluster.address, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            at: int | None = await consumer.committed(TopicPartition(topic, 0))
            return at
        finally:
            await consumer.stop()

    return asyncio.run(work())


def events(node: Node, topic: str) -> list[dict[str, Any]]:
    messages = log_messages(node.client("logs"), "/aws/lambda/say")
    said = [json.loads(each) for each in messages if each.startswith('{"eventSource"')]
    return [each for each in said if any(key.startswith(f"{topic}-") for key in each["records"])]


def values(node: Node, topic: str) -> list[str]:
    parts = [part for event in events(node, topic) for part in event["records"].values()]
    return [record["value"] for part in parts for record in part]


def result_of(node: Node, id: str) -> str:
    mapping = node.client().get_event_source_mapping(UUID=id)
    result: str = mapping["LastProcessingResult"]
    return result


def test_records_of_all_partitions_arrive_in_the_shape_that_functions_know(
    node: Node, cluster: KafkaCluster, mapped: Callable[..., str]
) -> None:
    cluster.make_topic("shape", 2)
    send(cluster, "shape", b"\x00data", None)
    send(cluster, "shape", b"other", partition=1)
    id = mapped("shape", MaximumBatchingWindowInSeconds=2)
    eventually(lambda: len(values(node, "shape")) == 3)
    records: dict[str, list[dict[str, Any]]] = {}
    for event in events(node, "shape"):
        records = {**records, **event.pop("records")}
        assert event == {"eventSource": "SelfManagedKafka", "bootstrapServers": cluster.address}
    times = [each.pop("timestamp") for part in records.values() for each in part]
    assert {type(each) for each in times} == {int}
    common = {"topic": "shape", "timestampType": "CREATE_TIME", "key": "aw==",
              "headers": [{"h": [97, 98]}]}  # fmt: skip
    assert records == {
        "shape-0": [
            {**common, "partition": 0, "offset": 0, "value": "AGRhdGE="},
            {**common, "partition": 0, "offset": 1, "value": None},
        ],
        "shape-1": [{**common, "partition": 1, "offset": 0, "value": "b3RoZXI="}],
    }
    assert eventually(lambda: result_of(node, id) == "OK")


def test_a_cluster_of_msk_is_found_by_its_name_and_read_by_its_group(
    node: Node, cluster: KafkaCluster, mapped: Callable[..., str]
) -> None:
    cluster.make_topic("managed")
    send(cluster, "managed", b"a", b"b")
    id = mapped(
        "managed",
        EventSourceArn=CLUSTER,
        AmazonManagedKafkaEventSourceConfig={"ConsumerGroupId": "readers"},
    )
    [event] = eventually(lambda: events(node, "managed"))
    assert event["eventSource"] == "aws:kafka"
    assert event["eventSourceArn"] == CLUSTER
    assert eventually(lambda: committed(cluster, "managed", "readers") == 2)
    client = node.client()
    client.update_event_source_mapping(UUID=id, Enabled=False)
    await_state(client, id, "Disabled")
    send(cluster, "managed", b"c")
    client.update_event_source_mapping(UUID=id, Enabled=True)
    assert eventually(lambda: values(node, "managed") == ["YQ==", "Yg==", "Yw=="])


def test_a_poison_record_ends_in_the_queue_on_failure_and_does_not_block_its_partition(
    node: Node, cluster: KafkaCluster, mapped: Callable[..., str]
) -> None:
    cluster.make_topic("poison")
    failed = make_queue(node.client, "failed-records")
    send(cluster, "poison", b"a", b"bad", b"c")
    mapped(
        "poison",
        servers=["kafka:9092"],
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": failed.arn}},
    )
    [message] = eventually(
        lambda: (
            node.client("sqs")
            .receive_message(QueueUrl=failed.url, WaitTimeSeconds=5)
            .get("Messages")
        )
    )
    record = json.loads(message["Body"])
    batch, context = record.pop("KafkaBatchInfo"), record.pop("requestContext")
    assert context["condition"] == "RetryAttemptsExhausted"
    assert set(record) == {"version", "timestamp", "responseContext"}
    [extent] = batch.pop("recordsInfo").items()
    assert extent[0] == "poison-0"
    assert (extent[1]["firstRecordOffset"], extent[1]["lastRecordOffset"]) == (1, 1)
    assert set(extent[1]) == {
        "firstRecordOffset", "lastRecordOffset", "firstRecordTimestamp", "lastRecordTimestamp",
    }  # fmt: skip
    assert isinstance(batch.pop("payloadSize"), int)
    assert batch == {"batchSize": 1, "eventSourceArn": None, "bootstrapServers": "kafka:9092"}
    assert eventually(lambda: values(node, "poison")[-1] == "Yw==")


def test_a_poison_record_may_go_to_a_topic_with_its_key(
    node: Node, cluster: KafkaCluster, mapped: Callable[..., str]
) -> None:
    cluster.make_topic("source")
    cluster.make_topic("failed")
    send(cluster, "source", b"bad")
    mapped(
        "source",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "kafka://failed"}},
    )
    found = read(cluster, "failed")
    assert found.key == b"k"
    record = json.loads(found.value)
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["KafkaBatchInfo"]["recordInfo"]["offset"] == 0
    assert json.loads(record["payload"])["records"]["source-0"][0]["value"] == "YmFk"


def test_a_topic_that_is_not_there_is_told_of_and_read_once_it_is(
    node: Node, cluster: KafkaCluster, mapped: Callable[..., str]
) -> None:
    id = mapped("late")
    assert eventually(lambda: result_of(node, id) == "PROBLEM: The topic 'late' does not exist.")
    cluster.make_topic("late")
    send(cluster, "late", b"x")
    assert eventually(lambda: values(node, "late") == ["eA=="])


def test_a_broker_that_does_not_answer_is_told_of(node: Node, mapped: Callable[..., str]) -> None:
    id = mapped("any", servers=["127.0.0.1:1"])
    assert eventually(lambda: result_of(node, id).startswith("PROBLEM: Connection error."))
