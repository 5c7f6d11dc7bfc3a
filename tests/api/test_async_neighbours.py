"""Outcomes and dead letters that end in real queues, topics, buses and buckets."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, await_updated, eventually

FAILS = "def handler(event, context):\n    raise ValueError('no good')\n"


@pytest.fixture
def queue(clients: Clients, name: str) -> str:
    """The URL of a queue of the test's own."""
    return str(clients("sqs").create_queue(QueueName=name[:60])["QueueUrl"])


def arn_of(client: Any, queue: str) -> str:
    attributes = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    return str(attributes["Attributes"]["QueueArn"])


def message(client: Any, queue: str) -> Any:
    def look() -> Any:
        found = client.receive_message(
            QueueUrl=queue, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return found.get("Messages")

    [found] = eventually(look)
    return found


def send(client: Any, function: str, event: Any) -> str:
    accepted = client.invoke(
        FunctionName=function, InvocationType="Event", Payload=json.dumps(event)
    )
    return str(accepted["ResponseMetadata"]["RequestId"])


def test_an_event_that_fails_for_good_is_in_the_dead_letter_queue(
    clients: Clients, make_function: MakeFunction, queue: str
) -> None:
    client, sqs = clients(), clients("sqs")
    arn = arn_of(sqs, queue)
    function = make_function(FAILS, DeadLetterConfig={"TargetArn": arn})
    request_id = send(client, function, {"order": 7})
    letter = message(sqs, queue)
    assert json.loads(letter["Body"]) == {"order": 7}
    attributes = {
        name: (attribute["DataType"], attribute["StringValue"])
        for name, attribute in letter["MessageAttributes"].items()
    }
    assert attributes == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "no good"),
    }


def test_a_function_that_is_switched_off_gives_its_events_away(
    clients: Clients, make_function: MakeFunction, queue: str
) -> None:
    client, sqs = clients(), clients("sqs")
    function = make_function()
    client.put_function_event_invoke_config(
        FunctionName=function,
        DestinationConfig={"OnFailure": {"Destination": arn_of(sqs, queue)}},
    )
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    send(client, function, {})
    told = message(sqs, queue)
    record = json.loads(told["Body"])
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert set(record) == {"version", "timestamp", "requestContext", "requestPayload"}
    client.delete_function_concurrency(FunctionName=function)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=told["ReceiptHandle"])
    client.put_function_event_invoke_config(
        FunctionName=function,
        DestinationConfig={"OnSuccess": {"Destination": arn_of(sqs, queue)}},
    )
    send(client, function, {"on": "again"})
    assert json.loads(message(sqs, queue)["Body"])["responsePayload"] == {"on": "again"}


def test_a_topic_and_its_subscribers_are_told(
    clients: Clients, make_function: MakeFunction, queue: str, name: str
) -> None:
    client, sqs, sns = clients(), clients("sqs"), clients("sns")
    topic = sns.create_topic(Name=name[:60])["TopicArn"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn_of(sqs, queue),
        Attributes={"RawMessageDelivery": "true"},
    )
    function = make_function()
    client.put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnSuccess": {"Destination": topic}}
    )
    send(client, function, [1])
    record = json.loads(message(sqs, queue)["Body"])
    assert record["responsePayload"] == [1]


def test_a_bucket_gets_the_records_of_failures(
    clients: Clients, make_function: MakeFunction, name: str
) -> None:
    client, s3 = clients(), clients("s3")
    bucket = name.lower()[:60]
    s3.create_bucket(Bucket=bucket)
    function = make_function(FAILS)
    client.put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}},
    )
    send(client, function, "it")
    look: Callable[[], Any] = lambda: s3.list_objects_v2(Bucket=bucket).get("Contents")  # noqa: E731  # typed for `eventually`
    [item] = eventually(look)
    assert re.fullmatch(
        rf"aws/lambda/async/{function}/\d{{4}}/\d\d/\d\d/"
        r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d-[0-9a-f-]{36}",
        item["Key"],
    )
    record = json.loads(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
    assert record["requestPayload"] == "it"
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def test_an_event_bus_gets_the_record_as_detail(
    clients: Clients, make_function: MakeFunction, queue: str
) -> None:
    client, sqs, events = clients(), clients("sqs"), clients("events")
    function = make_function()
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:$LATEST"
    events.put_rule(
        Name=function[:60], EventPattern=json.dumps({"source": ["lambda"], "resources": [arn]})
    )
    events.put_targets(Rule=function[:60], Targets=[{"Id": "1", "Arn": arn_of(sqs, queue)}])
    client.put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnSuccess": {"Destination": bus}}
    )
    send(client, function, {"a": 1})
    told = json.loads(message(sqs, queue)["Body"])
    assert (told["source"], told["resources"]) == ("lambda", [bus, arn])
    assert told["detail-type"] == "Lambda Function Invocation Result - Success"
    assert told["detail"]["responsePayload"] == {"a": 1}


def test_a_dead_letter_queue_may_be_changed(
    clients: Clients, make_function: MakeFunction, queue: str
) -> None:
    client, sqs = clients(), clients("sqs")
    function = make_function(FAILS)
    arn = arn_of(sqs, queue)
    client.update_function_configuration(FunctionName=function, DeadLetterConfig={"TargetArn": arn})
    await_updated(client, function)
    send(client, function, "x")
    assert message(sqs, queue)["Body"] == '"x"'
