"""What each kind of destination is sent, and what happens when it cannot be reached."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.clock import ManualClock
from support.records import KEY, SCOPE, open_state

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends.sqlite_queue import TableQueue
from lambdabox.domain.arn import FunctionKey, FunctionReference, Scope
from lambdabox.domain.destinations import (
    Attribute,
    NoDestination,
    Parcel,
    object_key,
    parse_destination,
)
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.domain.functions import Deployment
from lambdabox.events.destinations import PATIENCE_SECONDS, DestinationSender
from lambdabox.invoke.asynchronous import AsyncIntake, decode
from lambdabox.invoke.invoker import Invoker

pytestmark = pytest.mark.anyio

QUEUE = "arn:aws:sqs:eu-west-1:210987654321:outcomes"
TOPIC = "arn:aws:sns:us-east-1:123456789012:outcomes"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/default"
BUCKET = "arn:aws:s3:::outcomes"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:next:live"
RECORD = b'{"version":"1.0"}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeServices:
    """An `aws_ports.AwsServices` that remembers its calls, and fails as often as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any], Scope]] = []
        self.troubles: list[AwsCallError] = []
        self.answers: dict[str, Mapping[str, Any]] = {"GetQueueUrl": {"QueueUrl": "http://q/1"}}

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        self.calls.append((service, operation, dict(parameters), scope))
        if self.troubles:
            raise self.troubles.pop(0)
        return self.answers.get(operation, {})


class KnowsOne(Invoker):
    """Resolves the function `next` alone."""

    def __init__(self) -> None:
        pass

    async def resolve(self, reference: FunctionReference) -> Deployment:
        if reference.key.name != "next":
            raise ResourceNotFoundException(f"Function not found: {reference.arn}")
        return None  # type: ignore[return-value]  # nobody looks at it


class Setting:
    def __init__(self, queue: TableQueue) -> None:
        self.clock = ManualClock()
        self.queue = queue
        self.services = FakeServices()
        intake = AsyncIntake(queue, self.clock)
        self.sender = DestinationSender(self.services, KnowsOne(), intake, self.clock)

    async def sent(self, arn: str, parcel: Parcel) -> tuple[str, str, dict[str, Any], Scope]:
        await self.sender.send(arn, parcel)
        return self.services.calls[-1]


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with open_state(tmp_path) as database:
        yield Setting(TableQueue(database, ManualClock()))


def parcel(**members: Any) -> Parcel:
    return Parcel(**{"body": RECORD, "sender": SCOPE, "function_arn": f"{KEY.arn}:1", **members})


async def test_a_queue_gets_the_record_as_its_message(setting: Setting) -> None:
    owner = Scope("210987654321", "eu-west-1")
    await setting.sender.send(QUEUE, parcel())
    await setting.sender.send(QUEUE, parcel(trace="Root=1-2"))
    assert setting.services.calls == [
        (
            "sqs",
            "GetQueueUrl",
            {"QueueName": "outcomes", "QueueOwnerAWSAccountId": "210987654321"},
            owner,
        ),
        (
            "sqs",
            "SendMessage",
            {"QueueUrl": "http://q/1", "MessageBody": RECORD.decode()},
            owner,
        ),
        (
            "sqs",
            "SendMessage",
            {
                "QueueUrl": "http://q/1",
                "MessageBody": RECORD.decode(),
                "MessageSystemAttributes": {
                    "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2"}
                },
            },
            owner,
        ),
    ]


async def test_a_topic_gets_the_record_and_its_attributes(setting: Setting) -> None:
    attributes = {"RequestID": Attribute("String", "1-2"), "ErrorCode": Attribute("Number", "200")}
    assert await setting.sent(TOPIC, parcel(attributes=attributes)) == (
        "sns",
        "Publish",
        {
            "TopicArn": TOPIC,
            "Message": RECORD.decode(),
            "MessageAttributes": {
                "RequestID": {"DataType": "String", "StringValue": "1-2"},
                "ErrorCode": {"DataType": "Number", "StringValue": "200"},
            },
        },
        SCOPE,
    )


@pytest.mark.parametrize(("is_success", "result"), [(True, "Success"), (False, "Failure")])
async def test_an_event_bus_gets_the_record_as_detail(
    setting: Setting, is_success: bool, result: str
) -> None:
    _, operation, sent, scope = await setting.sent(BUS, parcel(is_success=is_success))
    assert (operation, scope) == ("PutEvents", SCOPE)
    assert sent == {
        "Entries": [
            {
                "EventBusName": BUS,
                "Source": "lambda",
                "DetailType": f"Lambda Function Invocation Result - {result}",
                "Resources": [BUS, f"{KEY.arn}:1"],
                "Detail": RECORD.decode(),
            }
        ]
    }


async def test_an_entry_that_the_bus_refuses_is_a_failure(setting: Setting) -> None:
    refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "not now"}
    setting.services.answers["PutEvents"] = {"FailedEntryCount": 1, "Entries": [refused]}
    with pytest.raises(AwsCallError) as failure:
        await setting.sender.send(BUS, parcel())
    assert failure.value.code == "InternalFailure"
    assert not failure.value.is_final


async def test_a_bucket_gets_an_object_for_each_record(setting: Setting) -> None:
    prefix = "aws/lambda/async/hello"
    _, operation, sent, scope = await setting.sent(BUCKET, parcel(object_prefix=prefix))
    assert (operation, scope) == ("PutObject", SCOPE)
    assert (sent["Bucket"], sent["Body"]) == ("outcomes", RECORD)
    assert re.fullmatch(
        r"aws/lambda/async/hello/2026/11/18/2026-11-18T11\.06\.40-[0-9a-f-]{36}", sent["Key"]
    )


async def test_a_function_gets_the_record_as_an_event(setting: Setting) -> None:
    await setting.sender.send(FUNCTION, parcel(trace="Root=1-2;Parent=3;Sampled=0"))
    [delivery] = await setting.queue.receive(9, wait=0)
    event = decode(delivery.message.body)
    next_one = FunctionKey("123456789012", "us-east-1", "next")
    assert event.reference == FunctionReference(next_one, "live")
    assert (event.invocation.payload, event.invocation.invoked_arn) == (RECORD, FUNCTION)
    assert event.invocation.trace.startswith("Root=1-2;Parent=3;Sampled=0;Lineage=")


async def test_a_function_that_does_not_exist_is_a_final_failure(setting: Setting) -> None:
    gone = "arn:aws:lambda:us-east-1:123456789012:function:gone"
    with pytest.raises(AwsCallError) as failure:
        await setting.sender.send(gone, parcel())
    assert failure.value.is_final


async def test_a_body_that_is_too_long_is_sent_without_payloads(setting: Setting) -> None:
    long = parcel(body=b" " * 300_000, short_body=b"{}")
    assert (await setting.sent(TOPIC, long))[2]["Message"] == "{}"
    assert len((await setting.sent(QUEUE, long))[2]["MessageBody"]) == 300_000


async def test_a_body_that_the_queue_refuses_is_sent_without_payloads(setting: Setting) -> None:
    await setting.sender.send(QUEUE, parcel())
    setting.services.troubles = [AwsCallError("sqs", "SendMessage", "InvalidParameterValue", "")]
    setting.services.calls.clear()
    await setting.sender.send(QUEUE, parcel(body=b" " * 300_000, short_body=b"{}"))
    sent = [call[2]["MessageBody"] for call in setting.services.calls if "MessageBody" in call[2]]
    assert [len(body) for body in sent] == [300_000, 2]


async def test_what_passes_is_tried_again_until_it_works(setting: Setting) -> None:
    setting.services.troubles = [AwsCallError("sns", "Publish", "Throttling", "")] * 3
    done: list[bool] = []

    async def deliver() -> None:
        done.append(await setting.sender.deliver(TOPIC, parcel()))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliver)
            for delay in (0.5, 1, 2):
                await setting.clock.sleeper()
                setting.clock.advance(delay)
                await anyio.wait_all_tasks_blocked()
    assert done == [True]
    assert (setting.sender.delivered, setting.sender.failed) == (1, 0)


async def test_what_is_final_is_given_up_at_once_and_told(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.services.troubles = [AwsCallError("sns", "Publish", "NotFound", "no such topic")]
    assert not await setting.sender.deliver(TOPIC, parcel())
    assert (setting.sender.delivered, setting.sender.failed) == (0, 1)
    assert f"could not be delivered to {TOPIC}" in caplog.text
    assert "no such topic" in caplog.text


async def test_what_does_not_pass_is_given_up_after_a_minute(setting: Setting) -> None:
    setting.services.troubles = [AwsCallError("sns", "Publish", "Unreachable", "")] * 99
    began = setting.clock.monotonic()
    done: list[bool] = []

    async def deliver() -> None:
        done.append(await setting.sender.deliver(TOPIC, parcel()))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliver)
            while not done:
                setting.clock.advance(0.5)
                await anyio.wait_all_tasks_blocked()
    assert done == [False]
    assert PATIENCE_SECONDS - 16 <= setting.clock.monotonic() - began <= PATIENCE_SECONDS + 1


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "arn:aws:iam::123456789012:role/r",
        "arn:aws:sqs:us-east-1:123456789012:orders.fifo",
        "arn:aws:sns:us-east-1:123456789012:orders.fifo",
        "arn:aws:sqs:::orders",
        "arn:aws:events:us-east-1:123456789012:rule/r",
        "arn:aws:sqs:us-east-1:123456789012:",
        "kafka://topic",
    ],
)
async def test_other_arns_are_no_destinations(setting: Setting, arn: str) -> None:
    with pytest.raises(NoDestination):
        parse_destination(arn)
    with pytest.raises(AwsCallError) as failure:
        await setting.sender.send(arn, parcel())
    assert failure.value.is_final


def test_an_objects_key_is_dated_and_unique() -> None:
    one, other = (object_key("aws/lambda/async/f", 1_795_000_000.0) for _ in range(2))
    assert one != other
    assert one[:-36] == other[:-36] == "aws/lambda/async/f/2026/11/18/2026-11-18T11.06.40-"
