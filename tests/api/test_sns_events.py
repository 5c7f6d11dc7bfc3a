"""Functions hear of messages to a topic."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import ACCOUNT, REGION, Clients, MakeFunction
from support.heard import LISTENER, heard, hears, permit
from support.node import Node


@pytest.fixture
def sns(clients: Clients) -> Any:
    return clients("sns")


@pytest.fixture
def topic(sns: Any, name: str) -> str:
    arn: str = sns.create_topic(Name=name)["TopicArn"]
    return arn


@pytest.fixture
def function(clients: Clients, make_function: MakeFunction, topic: str) -> str:
    """The ARN of a function that lets the topic in."""
    return permit(clients("lambda"), make_function(LISTENER), "sns.amazonaws.com", SourceArn=topic)


def subscribed(sns: Any, topic: str, function: str, **attributes: str) -> str:
    arn: str = sns.subscribe(
        TopicArn=topic, Protocol="lambda", Endpoint=function, Attributes=attributes,
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]  # fmt: skip
    return arn


def messages(clients: Clients, function: str, count: int) -> list[str]:
    events = hears(clients("logs"), function.rpartition(":")[2], count)
    return [event["Records"][0]["Sns"]["Message"] for event in events]


def test_the_record_of_a_message_has_the_shape_of_sns(
    clients: Clients, sns: Any, topic: str, function: str, node: Node
) -> None:
    subscription = subscribed(sns, topic, function)
    message_id = sns.publish(
        TopicArn=topic,
        Message="text",
        Subject="About",
        MessageAttributes={
            "s": {"DataType": "String", "StringValue": "v"},
            "n": {"DataType": "Number", "StringValue": "5"},
            "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        },
    )["MessageId"]
    [event] = hears(clients("logs"), function.rpartition(":")[2])
    assert event.keys() == {"Records"}
    [record] = event["Records"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["Sns"].pop("Timestamp"))
    assert record["Sns"].pop("Signature")
    assert record == {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "Sns": {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": topic,
            "Subject": "About",
            "Message": "text",
            "SignatureVersion": "1",
            "SigningCertUrl": f"{node.url}/SimpleNotificationService.pem",
            "UnsubscribeUrl": f"{node.url}/?Action=Unsubscribe&SubscriptionArn={subscription}",
            "MessageAttributes": {
                "s": {"Type": "String", "Value": "v"},
                "n": {"Type": "Number", "Value": "5"},
                "b": {"Type": "Binary", "Value": "AAE="},
            },
        },
    }


def test_a_message_without_a_subject_has_none(
    clients: Clients, sns: Any, topic: str, function: str
) -> None:
    subscribed(sns, topic, function)
    parts = json.dumps({"default": "to all", "lambda": "to functions"})
    sns.publish(TopicArn=topic, Message=parts, MessageStructure="json")
    [event] = hears(clients("logs"), function.rpartition(":")[2])
    found = event["Records"][0]["Sns"]
    assert (found["Subject"], found["Message"]) == (None, "to functions")
    assert found["MessageAttributes"] == {}


def test_a_batch_is_heard_message_by_message(
    clients: Clients, sns: Any, topic: str, function: str
) -> None:
    subscribed(sns, topic, function)
    entries = [{"Id": str(n), "Message": f"message {n} ü&=+"} for n in range(5)]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    events = hears(clients("logs"), function.rpartition(":")[2], 5)
    found = {e["Records"][0]["Sns"]["MessageId"]: e["Records"][0]["Sns"]["Message"] for e in events}
    assert found == {
        each["MessageId"]: f"message {each['Id']} ü&=+" for each in answer["Successful"]
    }


def test_a_queue_beside_the_function_hears_too(
    clients: Clients, sns: Any, topic: str, function: str, name: str
) -> None:
    subscribed(sns, topic, function)
    sqs = clients("sqs")
    url = sqs.create_queue(QueueName=name[:80])["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name[:80]}"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    sns.publish(TopicArn=topic, Message="to both")
    assert messages(clients, function, 1) == ["to both"]
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert json.loads(message["Body"])["Message"] == "to both"
    shown = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert {(each["Protocol"], each["Endpoint"]) for each in shown} == {
        ("lambda", function), ("sqs", queue),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "scope", "unheard", "is_heard"),
    [
        (
            {"kind": ["a"]}, "MessageAttributes",
            {"kind": ("String", "b")}, {"kind": ("String", "a")},
        ),
        (
            {"n": [{"numeric": [">", 5]}]}, "MessageAttributes",
            {"n": ("Number", "5")}, {"n": ("Number", "5.5")},
        ),
        (
            {"all": ["x"]}, "MessageAttributes",
            {"all": ("String.Array", '["y"]')}, {"all": ("String.Array", '["y", "x"]')},
        ),
        ({"kind": [{"exists": False}]}, "MessageAttributes", {"kind": ("String", "a")}, {}),
    ],
)  # fmt: skip
def test_a_filter_policy_holds_messages_back(
    clients: Clients, sns: Any, topic: str, function: str,
    policy: Any, scope: str, unheard: Any, is_heard: Any,
) -> None:  # fmt: skip
    subscribed(sns, topic, function, FilterPolicy=json.dumps(policy), FilterPolicyScope=scope)
    for text, attributes in (("unheard", unheard), ("heard", is_heard)):
        sns.publish(
            TopicArn=topic,
            Message=text,
            MessageAttributes={
                name: {"DataType": kind, "StringValue": value}
                for name, (kind, value) in attributes.items()
            },
        )
    assert messages(clients, function, 1) == ["heard"]


def test_a_filter_policy_may_be_about_the_message_and_change(
    clients: Clients, sns: Any, topic: str, function: str
) -> None:
    subscription = subscribed(
        sns, topic, function,
        FilterPolicy='{"order": {"size": [{"numeric": [">", 5]}]}}',
        FilterPolicyScope="MessageBody",
    )  # fmt: skip
    for size in (1, 10):
        sns.publish(TopicArn=topic, Message=json.dumps({"order": {"size": size}}))
    sns.publish(TopicArn=topic, Message="no JSON")
    sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="FilterPolicy", AttributeValue="{}"
    )
    sns.publish(TopicArn=topic, Message="anything")
    found = messages(clients, function, 2)
    assert sorted(found) == ["anything", '{"order": {"size": 10}}']


def test_whoever_unsubscribes_hears_no_more(
    clients: Clients, sns: Any, topic: str, function: str
) -> None:
    subscription = subscribed(sns, topic, function)
    assert subscribed(sns, topic, function) == subscription
    sns.publish(TopicArn=topic, Message="first")
    assert messages(clients, function, 1) == ["first"]
    sns.unsubscribe(SubscriptionArn=subscription)
    sns.publish(TopicArn=topic, Message="second")
    subscribed(sns, topic, function)
    sns.publish(TopicArn=topic, Message="third")
    assert messages(clients, function, 2) == ["first", "third"]


def test_a_topic_that_is_not_let_in_is_not_heard(
    clients: Clients, make_function: MakeFunction, sns: Any, topic: str, function: str
) -> None:
    closed = make_function(LISTENER)
    permit(clients("lambda"), closed, "sns.amazonaws.com", SourceArn=f"{topic}-another")
    for arn in (function.rpartition(":")[0] + f":{closed}", function):
        subscribed(sns, topic, arn)
    sns.publish(TopicArn=topic, Message="hello")
    assert messages(clients, function, 1) == ["hello"]
    assert heard(clients("logs"), closed) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"Endpoint": "arn:aws:sqs:us-east-1:000000000000:q"}, "Lambda endpoint ARN"),
        ({"Attributes": {"FilterPolicy": "{"}}, "FilterPolicy: "),
        ({"Attributes": {"FilterPolicy": '{"a": 5}'}}, "FilterPolicy: "),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(
    sns: Any, topic: str, asked: dict[str, Any], message: str
) -> None:
    endpoint = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    with pytest.raises(ClientError) as caught:
        sns.subscribe(**{"TopicArn": topic, "Protocol": "lambda", "Endpoint": endpoint, **asked})
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameter"
    assert error["Message"].startswith(f"Invalid parameter: {message}")
