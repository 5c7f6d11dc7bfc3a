"""Pollers are told of what was written, by its ARN, and of nothing else."""

import json
from urllib.parse import urlencode

import pytest

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends.bus import LocalBus
from lambdabox.domain.arn import Scope
from lambdabox.events.relayed import Reads, ServiceAnswer, ServiceRequest
from lambdabox.events.writes import SOURCE_WRITTEN, WriteNudges

pytestmark = pytest.mark.anyio

QUEUE = "http://localhost:4566/222222222222/orders"
QUEUE_ARN = "arn:aws:sqs:eu-central-1:222222222222:orders"
TABLE = "arn:aws:dynamodb:eu-central-1:111111111111:table/"
STREAM = "arn:aws:kinesis:eu-central-1:111111111111:stream/clicks"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def request(service: str, target: str, body: bytes, **headers: str) -> ServiceRequest:
    named = {"x-amz-target": f"Prefix.{target}"} if target else {}
    return ServiceRequest(
        service=service,
        method="POST",
        path="/222222222222/orders",
        query="",
        headers={**named, **headers},
        scope=Scope("111111111111", "eu-central-1"),
        request_id="r",
        source_ip="127.0.0.1",
        body=body,
    )


async def told(asked: ServiceRequest, status: int = 200) -> list[str]:
    bus = LocalBus()
    found: list[str] = []
    bus.subscribe(SOURCE_WRITTEN, found.append)

    async def forward(_request: ServiceRequest) -> ServiceAnswer:
        assert found == []
        return ServiceAnswer(status, [], b"{}")

    await WriteNudges(bus).handle(asked, forward)
    return sorted(found)


@pytest.mark.parametrize(
    ("service", "target", "parameters", "arns"),
    [
        ("sqs", "SendMessage", {"QueueUrl": QUEUE}, [QUEUE_ARN]),
        ("sqs", "SendMessageBatch", {"QueueUrl": QUEUE}, [QUEUE_ARN]),
        ("dynamodb", "PutItem", {"TableName": "t"}, [f"{TABLE}t"]),
        ("dynamodb", "UpdateItem", {"TableName": f"{TABLE}t"}, [f"{TABLE}t"]),
        (
            "dynamodb", "BatchWriteItem",
            {"RequestItems": {"a": [], "b": []}}, [f"{TABLE}a", f"{TABLE}b"],
        ),
        (
            "dynamodb", "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "a"}}, {"Delete": {"TableName": "a"}}]},
            [f"{TABLE}a"],
        ),
        ("kinesis", "PutRecord", {"StreamName": "clicks"}, [STREAM]),
        ("kinesis", "PutRecords", {"StreamARN": STREAM, "StreamName": "clicks"}, [STREAM]),
    ],
)  # fmt: skip
async def test_a_write_is_told(
    service: str, target: str, parameters: dict[str, object], arns: list[str]
) -> None:
    asked = request(service, target, json.dumps(parameters).encode())
    assert WriteNudges(LocalBus()).reads(asked) is Reads.BODY
    assert await told(asked) == arns


async def test_a_form_of_an_older_sdk_is_told() -> None:
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    named = urlencode({"Action": "SendMessage", "QueueUrl": QUEUE}).encode()
    assert await told(request("sqs", "", named, **form)) == [QUEUE_ARN]
    assert await told(request("sqs", "", b"Action=SendMessageBatch", **form)) == [QUEUE_ARN]
    assert await told(request("sqs", "", b"Action=ReceiveMessage", **form)) == []


@pytest.mark.parametrize(
    ("service", "target"),
    [("sqs", "ReceiveMessage"), ("dynamodb", "GetItem"), ("kinesis", "GetRecords"), ("sqs", "")],
)
def test_what_is_no_write_passes_by(service: str, target: str) -> None:
    assert WriteNudges(LocalBus()).reads(request(service, target, b"{}")) is Reads.NOTHING


async def test_a_write_that_is_refused_is_not_told() -> None:
    body = json.dumps({"QueueUrl": QUEUE}).encode()
    assert await told(request("sqs", "SendMessage", body), status=400) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"no", b'{"QueueUrl": 5}', b'{"QueueUrl": ""}'])
async def test_nonsense_that_a_service_takes_is_passed_on(body: bytes) -> None:
    await told(request("sqs", "SendMessage", body))
    await told(request("dynamodb", "TransactWriteItems", b'{"TransactItems": [5]}'))


async def test_a_long_body_is_read_too() -> None:
    body = json.dumps({"TableName": "t", "Item": "x" * 400_000}).encode()
    assert await told(request("dynamodb", "PutItem", body)) == [f"{TABLE}t"]


def test_errors_that_pass_are_told_from_those_that_stay() -> None:
    assert not AwsCallError("sqs", "SendMessage", "Unreachable", "").is_final
    assert AwsCallError("sqs", "SendMessage", "AccessDenied", "").is_final
