"""Messages of a real RabbitMQ reach functions, and leave the queue when they are handled."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from support.brokers import rabbitmq
from support.deploying import create as create_active
from support.functions import ACCOUNT, REGION, eventually, log_messages
from support.node import Node, running
from support.sources import await_gone, await_state

pytestmark = pytest.mark.slow

BROKER = f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:orders:b-9bcfa592-423a-4942-879d-eb284b418fc8"
SAY = """
import json
def handler(event, context):
    print(json.dumps(event))
    messages = [each for queue in event["rmqMessagesByQueue"].values() for each in queue]
    if any(each["data"] == "YmFk" and not each["redelivered"] for each in messages):
        raise ValueError("bad")
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as address:
        yield address


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, broker: str) -> Iterator[Node]:
    settings = {"brokers": f"orders={broker}"}
    with running(tmp_path_factory.mktemp("node") / "data", settings=settings) as node:
        create_active(node.client(), "say", SAY)
        yield node


@pytest.fixture(scope="module")
def secret(node: Node) -> str:
    return make_secret(node, "rabbit", username="guest", password="guest")


@pytest.fixture
def mapped(node: Node) -> Iterator[Callable[..., str]]:
    """Map a queue to the function, ready to go; unmapped when the test ends."""
    client, ids = node.client(), []

    def map_queue(queue: str, secret: str, **parameters: Any) -> str:
        id: str = client.create_event_source_mapping(
            FunctionName="say",
            EventSourceArn=BROKER,
            Queues=[queue],
            SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": secret}],
            **parameters,
        )["UUID"]
        ids.append(id)
        await_state(client, id, "Enabled")
        return id

    yield map_queue
    for id in ids:
        client.delete_event_source_mapping(UUID=id)
        await_gone(client, id)


def make_secret(node: Node, name: str, **members: str) -> str:
    made = node.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(members))
    arn: str = made["ARN"]
    return arn


def on_channel(broker: str, work: Callable[[AbstractChannel], Awaitable[Any]]) -> Any:
    async def connect() -> Any:
        url = broker.replace("amqp://", "amqp://guest:guest@")
        async with await aio_pika.connect(url) as connection:
            return await work(await connection.channel())

    return asyncio.run(connect())


def declare(broker: str, queue: str) -> int:
    """Declare a queue; return how many messages wait in it, unless they are at a consumer."""

    async def work(channel: AbstractChannel) -> int:
        declared = await channel.declare_queue(queue, durable=True)
        return declared.declaration_result.message_count or 0

    count: int = on_channel(broker, work)
    return count


def delete(broker: str, queue: str) -> None:
    async def work(channel: AbstractChannel) -> None:
        await channel.queue_delete(queue)

    on_channel(broker, work)


def publish(broker: str, queue: str, *messages: aio_pika.Message) -> None:
    async def work(channel: AbstractChannel) -> None:
        for message in messages:
            await channel.default_exchange.publish(message, queue)

    on_channel(broker, work)


def events(node: Node, queue: str) -> list[list[dict[str, Any]]]:
    messages = log_messages(node.client("logs"), "/aws/lambda/say")
    said = [json.loads(each) for each in messages if each.startswith('{"eventSource"')]
    key = f"{queue}::/"
    return [each["rmqMessagesByQueue"][key] for each in said if key in each["rmqMessagesByQueue"]]


def result_of(node: Node, id: str) -> str:
    mapping = node.client().get_event_source_mapping(UUID=id)
    result: str = mapping["LastProcessingResult"]
    return result


def test_a_message_arrives_in_the_shape_that_functions_know(
    node: Node, broker: str, secret: str, mapped: Callable[..., str]
) -> None:
    declare(broker, "shape")
    id = mapped("shape", secret)
    publish(
        broker,
        "shape",
        aio_pika.Message(
            b"\x00data",
            content_type="application/octet-stream",
            headers={"text": "ab", "number": 10, "yes": True, "many": ["a", 1]},
            delivery_mode=2,
            priority=3,
            expiration=60,
            timestamp=1_795_413_600,
            type="kind",
            user_id="guest",
            message_id="m1",
        ),
    )
    [[message]] = eventually(lambda: events(node, "shape"))
    assert message == {
        "basicProperties": {
            "contentType": "application/octet-stream",
            "contentEncoding": None,
            "headers": {
                "text": {"bytes": [97, 98]},
                "number": 10,
                "yes": True,
                "many": [{"bytes": [97]}, 1],
            },
            "deliveryMode": 2,
            "priority": 3,
            "correlationId": None,
            "replyTo": None,
            "expiration": "60000",
            "messageId": "m1",
            "timestamp": "Nov 23, 2026, 6:00:00 AM",
            "type": "kind",
            "userId": "guest",
            "appId": None,
            "clusterId": None,
            "bodySize": 5,
        },
        "redelivered": False,
        "data": "AGRhdGE=",
    }
    assert eventually(lambda: result_of(node, id) == "OK")


def test_a_batch_that_fails_comes_again_and_what_succeeded_is_gone(
    node: Node, broker: str, secret: str, mapped: Callable[..., str]
) -> None:
    declare(broker, "again")
    publish(broker, "again", aio_pika.Message(b"bad"), aio_pika.Message(b"good"))
    id = mapped("again", secret)
    first, second = eventually(lambda: _two(events(node, "again")))
    assert [each["redelivered"] for each in first] == [False, False]
    assert [each["redelivered"] for each in second] == [True, True]
    assert [each["data"] for each in first] == [each["data"] for each in second]
    eventually(lambda: result_of(node, id) == "OK")
    client = node.client()
    client.update_event_source_mapping(UUID=id, Enabled=False)
    await_state(client, id, "Disabled")
    assert declare(broker, "again") == 0
    publish(broker, "again", aio_pika.Message(b"later"))
    assert declare(broker, "again") == 1
    client.update_event_source_mapping(UUID=id, Enabled=True)
    assert eventually(lambda: len(events(node, "again")) == 3)


def _two(found: list[Any]) -> list[Any]:
    return found if len(found) == 2 else []


def test_what_the_filters_hold_back_is_acknowledged(
    node: Node, broker: str, secret: str, mapped: Callable[..., str]
) -> None:
    declare(broker, "filtered")
    publish(broker, "filtered", *(aio_pika.Message(b) for b in (b'{"n": 1}', b"x", b'{"n": 2}')))
    pattern = json.dumps({"data": {"n": [2]}})
    id = mapped("filtered", secret, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    [[message]] = eventually(lambda: events(node, "filtered"))
    assert message["data"] == "eyJuIjogMn0="
    publish(broker, "filtered", aio_pika.Message(b"no"))
    node.client().update_event_source_mapping(UUID=id, Enabled=False)
    await_state(node.client(), id, "Disabled")
    assert len(events(node, "filtered")) == 1


def test_a_queue_that_is_not_there_is_told_of_and_polled_once_it_is(
    node: Node, broker: str, secret: str, mapped: Callable[..., str]
) -> None:
    id = mapped("late", secret)
    assert "no queue 'late'" in eventually(lambda: _problem(node, id))
    declare(broker, "late")
    publish(broker, "late", aio_pika.Message(b"here"))
    assert eventually(lambda: events(node, "late"))
    assert eventually(lambda: result_of(node, id) == "OK")
    delete(broker, "late")
    assert "does not exist any more" in eventually(lambda: _problem(node, id))


def test_who_cannot_get_in_is_told_why(node: Node, broker: str, mapped: Callable[..., str]) -> None:
    declare(broker, "locked")
    wrong = make_secret(node, "wrong", username="guest", password="open sesame")
    id = mapped("locked", wrong)
    assert "ACCESS_REFUSED" in eventually(lambda: _problem(node, id))
    empty = make_secret(node, "empty", username="guest")
    id = mapped("locked-too", empty)
    assert f"PROBLEM: The secret {empty} has no 'password'." == eventually(
        lambda: _problem(node, id)
    )
    assert "sesame" not in node.log


def _problem(node: Node, id: str) -> str:
    result = result_of(node, id)
    return result if result.startswith("PROBLEM") else ""
