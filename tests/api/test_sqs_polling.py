"""Messages of a queue reach a function in batches, and leave the queue when it succeeded."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, eventually, log_messages
from support.sources import Queue, await_gone, await_state, make_queue

SAY = """
import json
def handler(event, context):
    print(json.dumps(event))
"""


@pytest.fixture
def mapped(lambda_client: Any) -> Iterator[Any]:
    """Map a source to a function, ready to go; unmapped when the test ends."""
    ids: list[str] = []

    def map_source(**parameters: Any) -> str:
        id: str = lambda_client.create_event_source_mapping(**parameters)["UUID"]
        ids.append(id)
        await_state(lambda_client, id, "Enabled")
        return id

    yield map_source
    for id in ids:
        lambda_client.delete_event_source_mapping(UUID=id)
        await_gone(lambda_client, id)


def events_of(logs_client: Any, function: str) -> list[dict[str, Any]]:
    """Return the events that a function which prints them has had."""
    messages = log_messages(logs_client, f"/aws/lambda/{function}")
    return [json.loads(message) for message in messages if message.startswith('{"Records"')]


def bodies_of(logs_client: Any, function: str) -> list[str]:
    events = events_of(logs_client, function)
    return [record["body"] for event in events for record in event["Records"]]


def left_in(clients: Clients, queue: Queue) -> int:
    """Return how many messages a queue has, those that are out included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = clients("sqs").get_queue_attributes(QueueUrl=queue.url, AttributeNames=names)
    return sum(int(value) for value in answer["Attributes"].values())


def test_a_message_arrives_in_the_shape_that_functions_know(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    function, queue = make_function(SAY), make_queue(clients, name)
    mapped(FunctionName=function, EventSourceArn=queue.arn)
    attributes = {
        "text": {"DataType": "String", "StringValue": "v"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    sent = clients("sqs").send_message(
        QueueUrl=queue.url, MessageBody='{"a": 1}', MessageAttributes=attributes
    )
    [event] = eventually(lambda: events_of(logs_client, function))
    [record] = event.pop("Records")
    assert event == {}
    assert set(record.pop("attributes")) >= {
        "ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp",
    }  # fmt: skip
    assert record.pop("receiptHandle")
    assert record == {
        "messageId": sent["MessageId"],
        "body": '{"a": 1}',
        "messageAttributes": {
            "text": {
                "stringValue": "v", "stringListValues": [], "binaryListValues": [],
                "dataType": "String",
            },
            "bytes": {
                "binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [],
                "dataType": "Binary",
            },
        },
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "md5OfBody": sent["MD5OfMessageBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.arn.rpartition(':')[2]}",
        "awsRegion": REGION,
    }  # fmt: skip
    assert eventually(lambda: left_in(clients, queue) == 0)


def test_only_what_failed_comes_back_and_ends_in_the_dead_letter_queue(
    clients: Clients, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    dead = make_queue(clients, f"dead-{name}")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    queue = make_queue(clients, name, VisibilityTimeout="1", RedrivePolicy=redrive)
    function = make_function(
        """
def handler(event, context):
    failed = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}
""",
        Timeout=1,
    )
    client = clients("sqs")
    for body in ("good", "bad", "good"):
        client.send_message(QueueUrl=queue.url, MessageBody=body)
    mapped(
        FunctionName=function,
        EventSourceArn=queue.arn,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    [message] = eventually(
        lambda: client.receive_message(QueueUrl=dead.url, WaitTimeSeconds=1).get("Messages")
    )
    assert message["Body"] == "bad"
    assert eventually(lambda: left_in(clients, queue) == 0)


def test_what_the_filters_leave_out_is_deleted(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    function, queue = make_function(SAY), make_queue(clients, name)
    pattern = json.dumps({"body": {"n": [{"numeric": [">", 1]}]}})
    for body in ('{"n": 1}', "plain", '{"n": 2}', "[]", '{"n": "2"}'):
        clients("sqs").send_message(QueueUrl=queue.url, MessageBody=body)
    mapped(
        FunctionName=function,
        EventSourceArn=queue.arn,
        FilterCriteria={"Filters": [{"Pattern": pattern}]},
    )
    assert eventually(lambda: left_in(clients, queue) == 0)
    assert eventually(lambda: bodies_of(logs_client, function)) == ['{"n": 2}']


def test_a_fifo_queue_keeps_the_order_of_its_groups(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    function, queue = make_function(SAY), make_queue(clients, name, FifoQueue="true")
    sent = [f"{group}{number}" for number in range(12) for group in "ab"]
    for body in sent:
        clients("sqs").send_message(
            QueueUrl=queue.url,
            MessageBody=body,
            MessageGroupId=body[0],
            MessageDeduplicationId=body,
        )
    mapped(FunctionName=function, EventSourceArn=queue.arn, BatchSize=3)
    eventually(lambda: len(bodies_of(logs_client, function)) >= len(sent))
    bodies = bodies_of(logs_client, function)
    assert sorted(bodies) == sorted(sent)
    for group in "ab":
        mine = [body for body in bodies if body[0] == group]
        assert mine == [body for body in sent if body[0] == group]
    [record, *_] = events_of(logs_client, function)[0]["Records"]
    assert {"SequenceNumber", "MessageGroupId", "MessageDeduplicationId"} <= set(
        record["attributes"]
    )


def test_a_window_gathers_more_messages_than_one_receive_gives(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    function, queue = make_function(SAY), make_queue(clients, name)
    for start in range(0, 30, 10):
        clients("sqs").send_message_batch(
            QueueUrl=queue.url,
            Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(start, start + 10)],
        )
    mapped(
        FunctionName=function,
        EventSourceArn=queue.arn,
        BatchSize=30,
        MaximumBatchingWindowInSeconds=300,
    )
    [event] = eventually(lambda: events_of(logs_client, function))
    assert sorted(int(record["body"]) for record in event["Records"]) == list(range(30))


def test_a_disabled_mapping_leaves_the_queue_alone_and_an_update_takes_effect(
    clients: Clients, lambda_client: Any, logs_client: Any, make_function: MakeFunction,
    mapped: Any, name: str,
) -> None:  # fmt: skip
    first, second = make_function(SAY), make_function(SAY)
    queue, client = make_queue(clients, name), clients("sqs")
    id = mapped(FunctionName=first, EventSourceArn=queue.arn)
    client.send_message(QueueUrl=queue.url, MessageBody="one")
    eventually(lambda: bodies_of(logs_client, first) == ["one"])
    lambda_client.update_event_source_mapping(UUID=id, Enabled=False)
    await_state(lambda_client, id, "Disabled")
    client.send_message(QueueUrl=queue.url, MessageBody="two")
    lambda_client.update_event_source_mapping(UUID=id, FunctionName=second)
    await_state(lambda_client, id, "Disabled")
    assert left_in(clients, queue) == 1
    lambda_client.update_event_source_mapping(UUID=id, Enabled=True)
    await_state(lambda_client, id, "Enabled")
    assert eventually(lambda: bodies_of(logs_client, second)) == ["two"]
    assert bodies_of(logs_client, first) == ["one"]


def test_a_loop_through_a_queue_ends_in_its_dead_letter_queue(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    dead = make_queue(clients, f"dead-{name}")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    queue = make_queue(clients, name, VisibilityTimeout="3", RedrivePolicy=redrive)
    function = make_function(
        f"""
import boto3, json
queue = boto3.client("sqs")
def handler(event, context):
    print(json.dumps(event))
    queue.send_message(QueueUrl={queue.url!r}, MessageBody="again")
""",
        Timeout=3,
    )
    mapped(FunctionName=function, EventSourceArn=queue.arn)
    clients("sqs").send_message(QueueUrl=queue.url, MessageBody="once")
    # The function's SDK carries its trace on, and the queue keeps it with the message.
    assert eventually(lambda: left_in(clients, dead) == 1)
    assert len(bodies_of(logs_client, function)) == 16


def test_a_queue_that_vanishes_is_told_of_until_it_is_back(
    clients: Clients, make_function: MakeFunction, name: str
) -> None:
    """As when moto, which keeps queues in memory, has been started again."""
    sqs, client = clients("sqs"), clients("lambda")
    function, queue = make_function(), name[:60]
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    id = client.create_event_source_mapping(
        FunctionName=function, EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    )["UUID"]

    def shown() -> str | None:
        result: str | None = client.get_event_source_mapping(UUID=id).get("LastProcessingResult")
        return result

    eventually(lambda: client.get_event_source_mapping(UUID=id)["State"] == "Enabled")
    assert shown() is None
    sqs.delete_queue(QueueUrl=url)
    problem = eventually(shown)
    assert problem.startswith("PROBLEM: ")
    assert "Make it again, and the mapping goes on by itself" in problem
    sqs.create_queue(QueueName=queue)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    eventually(lambda: shown() is None)
    client.delete_event_source_mapping(UUID=id)
