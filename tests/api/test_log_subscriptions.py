"""Functions hear of what is written to log groups."""

import base64
import gzip
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, invoke, without_metadata
from support.heard import LISTENER, heard, hears, permit

PRINCIPAL = "logs.amazonaws.com"


@pytest.fixture
def logs(clients: Clients) -> Any:
    return clients("logs")


@pytest.fixture
def group(logs: Any, name: str) -> str:
    group = f"/own/{name}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="stream")
    return group


@pytest.fixture
def function(clients: Clients, make_function: MakeFunction, group: str) -> str:
    """The ARN of a function that lets CloudWatch Logs in for the group."""
    source = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"
    return permit(clients("lambda"), make_function(LISTENER), PRINCIPAL, SourceArn=source)


def subscribe(logs: Any, group: str, function: str, pattern: str = "", name: str = "mine") -> None:
    logs.put_subscription_filter(
        logGroupName=group, filterName=name, filterPattern=pattern, destinationArn=function
    )


def write(logs: Any, group: str, *messages: str) -> int:
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": message} for message in messages]
    logs.put_log_events(logGroupName=group, logStreamName="stream", logEvents=events)
    return now


def unpacked(event: Any) -> Any:
    assert event.keys() == {"awslogs"}
    assert event["awslogs"].keys() == {"data"}
    return json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))


def messages_heard(logs: Any, function: str, count: int = 1) -> list[str]:
    events = hears(logs, function.rpartition(":")[2], count)
    return [each["message"] for event in events for each in unpacked(event)["logEvents"]]


def test_the_event_has_the_shape_of_cloudwatch(logs: Any, group: str, function: str) -> None:
    write(logs, group, "ERROR of before")
    subscribe(logs, group, function, "ERROR")
    now = write(logs, group, "fine", "ERROR one ü", "ERROR two")
    [event] = hears(logs, function.rpartition(":")[2])
    document = unpacked(event)
    ids = [each.pop("id") for each in document["logEvents"]]
    assert all(len(id) == 56 and id.isdecimal() for id in ids)
    found = logs.filter_log_events(logGroupName=group, filterPattern="two")["events"]
    assert ids[1] == found[0]["eventId"]
    assert document == {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": group,
        "logStream": "stream",
        "subscriptionFilters": ["mine"],
        "logEvents": [
            {"timestamp": now, "message": "ERROR one ü"},
            {"timestamp": now, "message": "ERROR two"},
        ],
    }


def test_what_a_function_logs_is_heard(
    clients: Clients, make_function: MakeFunction, logs: Any, function: str
) -> None:
    source = make_function("def handler(event, context):\n    print('AUDIT', event)\n")
    client = clients("lambda")
    invoke(client, source, 0)
    permit(client, function.rpartition(":")[2], f"logs.{REGION}.amazonaws.com")
    subscribe(logs, f"/aws/lambda/{source}", function, "AUDIT")
    for number in (1, 2):
        invoke(client, source, number)
    assert "".join(messages_heard(logs, function, 1)).startswith("AUDIT 1")


def test_filters_are_shown_replaced_and_deleted(logs: Any, group: str, function: str) -> None:
    subscribe(logs, group, function, "a", name="one")
    subscribe(logs, group, function, "b", name="two")
    with pytest.raises(ClientError) as caught:
        subscribe(logs, group, function, name="three")
    assert caught.value.response["Error"] == {
        "Code": "LimitExceededException", "Message": "Resource limit exceeded.",
    }  # fmt: skip
    subscribe(logs, group, function, "c", name="two")
    answer = without_metadata(logs.describe_subscription_filters(logGroupName=group, limit=1))
    token = answer.pop("nextToken")
    [shown] = answer["subscriptionFilters"]
    assert isinstance(shown.pop("creationTime"), int)
    assert shown == {
        "filterName": "one",
        "logGroupName": group,
        "filterPattern": "a",
        "destinationArn": function,
        "distribution": "ByLogStream",
    }
    rest = logs.describe_subscription_filters(logGroupName=group, nextToken=token)
    assert [f["filterPattern"] for f in rest["subscriptionFilters"]] == ["c"]
    assert "nextToken" not in rest
    logs.delete_subscription_filter(logGroupName=group, filterName="one")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.delete_subscription_filter(logGroupName=group, filterName="one")
    found = logs.describe_subscription_filters(logGroupName=group, filterNamePrefix="o")
    assert found["subscriptionFilters"] == []


def test_a_filter_that_is_deleted_hears_no_more(logs: Any, group: str, function: str) -> None:
    subscribe(logs, group, function)
    write(logs, group, "first")
    assert messages_heard(logs, function) == ["first"]
    logs.delete_subscription_filter(logGroupName=group, filterName="mine")
    write(logs, group, "second")
    subscribe(logs, group, function)
    write(logs, group, "third")
    assert messages_heard(logs, function, 2) == ["first", "third"]


def test_a_group_takes_its_filters_along(logs: Any, group: str, function: str) -> None:
    subscribe(logs, group, function)
    logs.delete_log_group(logGroupName=group)
    logs.create_log_group(logGroupName=group)
    shown = logs.describe_subscription_filters(logGroupName=group)
    assert shown["subscriptionFilters"] == []


def test_many_events_are_heard_in_parts(logs: Any, group: str, function: str) -> None:
    subscribe(logs, group, function)
    wanted = [f"{number} " + "x" * 100_000 for number in range(10)]
    write(logs, group, *wanted)
    assert sorted(messages_heard(logs, function, 2)) == sorted(wanted)


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (
            {"filterPattern": "{ $.a = }"}, "InvalidParameterException", "Invalid filter pattern: ",
        ),
        (
            {"destinationArn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"},
            "InvalidParameterException", "destinationArn is the ARN of a function",
        ),
        (
            {"destinationArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:not-there"},
            "InvalidParameterException", "Could not execute the lambda function. Make sure",
        ),
        (
            {"logGroupName": "not-there"},
            "ResourceNotFoundException", "The specified log group does not exist.",
        ),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_is_refused(
    logs: Any, group: str, function: str, asked: dict[str, str], code: str, message: str
) -> None:
    wanted = {"logGroupName": group, "filterName": "f", "filterPattern": ""}
    with pytest.raises(ClientError) as caught:
        logs.put_subscription_filter(**{**wanted, "destinationArn": function, **asked})
    error = caught.value.response["Error"]
    assert error["Code"] == code
    assert error["Message"].startswith(message)


def test_a_permission_that_is_taken_back_ends_it(
    clients: Clients, make_function: MakeFunction, logs: Any, group: str, function: str
) -> None:
    other = permit(clients("lambda"), make_function(LISTENER), PRINCIPAL)
    subscribe(logs, group, function, name="1")
    subscribe(logs, group, other, name="2, told after it")
    client, name = clients("lambda"), function.rpartition(":")[2]
    [statement] = json.loads(client.get_policy(FunctionName=name)["Policy"])["Statement"]
    client.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    write(logs, group, "text")
    assert messages_heard(logs, other) == ["text"]
    assert heard(logs, name) == []
