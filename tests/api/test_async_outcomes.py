"""Asynchronous invocations end to end: retried as configured, and told of exactly."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import ACCOUNT, REGION, MakeFunction
from support.mailbox import Mailbox

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
KEEP = """
def handler(event, context):
    post("told", event)
"""
WORK = """
def handler(event, context):
    post("runs", 1)
    if event.get("fails"):
        raise ValueError("no good")
    return {"done": event}
"""


class Stage:
    """A function that works and a function that is told how that went."""

    def __init__(self, client: Any, make_function: MakeFunction, mailbox: Mailbox) -> None:
        self.client = client
        self._mailbox = mailbox
        self.listener = make_function(mailbox.source + KEEP)
        self.function = make_function(mailbox.source + WORK)

    def configure(self, **members: Any) -> None:
        self.client.put_function_event_invoke_config(FunctionName=self.function, **members)

    def send(self, event: Any, **members: Any) -> str:
        response = self.client.invoke(
            FunctionName=self.function,
            InvocationType="Event",
            Payload=json.dumps(event),
            **members,
        )
        assert response["StatusCode"] == 202
        assert response["Payload"].read() == b""
        return str(response["ResponseMetadata"]["RequestId"])

    def record(self) -> Any:
        [record] = self._mailbox.messages("told", 1)
        return record

    def runs(self, count: int) -> int:
        """Return how often the function has run, once that is so often."""
        return len(self._mailbox.messages("runs", count))


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


@pytest.fixture
def stage(lambda_client: Any, make_function: MakeFunction, mailbox: Mailbox) -> Stage:
    return Stage(lambda_client, make_function, mailbox)


def test_a_success_is_told_with_what_the_function_answered(stage: Stage) -> None:
    stage.configure(DestinationConfig={"OnSuccess": {"Destination": f"{ARN}{stage.listener}"}})
    request_id = stage.send({"a": [1, "ä"]})
    record = stage.record()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{ARN}{stage.function}:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"a": [1, "ä"]},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"done": {"a": [1, "ä"]}},
    }


@pytest.mark.parametrize("retries", [0, 2])
def test_a_failure_is_told_after_as_many_retries_as_configured(stage: Stage, retries: int) -> None:
    stage.configure(
        MaximumRetryAttempts=retries,
        DestinationConfig={"OnFailure": {"Destination": f"{ARN}{stage.listener}"}},
    )
    request_id = stage.send({"fails": True})
    record = stage.record()
    assert stage.runs(retries + 1) == retries + 1
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": f"{ARN}{stage.function}:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": retries + 1,
    }
    assert record["requestPayload"] == {"fails": True}
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    answer = record["responsePayload"]
    assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "no good")


def test_the_configuration_of_an_alias_is_that_of_its_events(
    lambda_client: Any, stage: Stage
) -> None:
    lambda_client.publish_version(FunctionName=stage.function)
    lambda_client.create_alias(FunctionName=stage.function, Name="live", FunctionVersion="1")
    stage.configure(
        Qualifier="live",
        DestinationConfig={"OnSuccess": {"Destination": f"{ARN}{stage.listener}"}},
    )
    stage.send({})
    request_id = stage.send({}, Qualifier="live")
    record = stage.record()
    assert record["requestContext"]["requestId"] == request_id
    assert record["requestContext"]["functionArn"] == f"{ARN}{stage.function}:live"
    assert record["responseContext"]["executedVersion"] == "1"


def test_the_old_way_to_send_an_event_works(lambda_client: Any, stage: Stage) -> None:
    stage.configure(DestinationConfig={"OnSuccess": {"Destination": f"{ARN}{stage.listener}"}})
    response = lambda_client.invoke_async(FunctionName=stage.function, InvokeArgs=b'{"old": 1}')
    assert response["Status"] == response["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert stage.record()["requestPayload"] == {"old": 1}


def test_a_change_of_the_configuration_holds_for_the_next_event(stage: Stage) -> None:
    stage.send({})
    stage.runs(1)
    stage.configure(DestinationConfig={"OnSuccess": {"Destination": f"{ARN}{stage.listener}"}})
    request_id = stage.send({})
    assert stage.record()["requestContext"]["requestId"] == request_id
