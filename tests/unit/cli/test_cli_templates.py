"""The events that triggers send: their shapes, and how a command changes them."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fake_node import FakeNode
from typer.testing import CliRunner, Result

import lambdabox.event_templates
from lambdabox.cli.main import app
from lambdabox.event_templates import catalog

FOLDER = Path(lambdabox.event_templates.__path__[0])


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with FakeNode() as fake:
        monkeypatch.setenv("LAMBDABOX_ENDPOINT", fake.endpoint)
        fake.add("hello")
        yield fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def refused(result: Result) -> str:
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line.removeprefix("error: ")


def records(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = catalog.event(name)["Records"]
    return found


def test_every_file_has_a_title_and_every_title_a_file() -> None:
    assert list(catalog.TITLES) == sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", catalog.TITLES)
def test_every_template_is_an_object(name: str) -> None:
    assert isinstance(catalog.event(name), dict)


def test_an_s3_record_has_the_keys_of_aws() -> None:
    (put,) = records("s3-put")
    assert list(put) == [
        "eventVersion", "eventSource", "awsRegion", "eventTime", "eventName", "userIdentity",
        "requestParameters", "responseElements", "s3",
    ]  # fmt: skip
    assert list(put["s3"]) == ["s3SchemaVersion", "configurationId", "bucket", "object"]
    assert list(put["s3"]["object"]) == ["key", "size", "eTag", "sequencer"]
    (deleted,) = records("s3-delete")
    assert list(deleted["s3"]["object"]) == ["key", "sequencer"]


@pytest.mark.parametrize("name", ["sqs", "sqs-fifo"])
def test_a_queue_message_has_the_digest_of_its_body(name: str) -> None:
    (message,) = records(name)
    digest = hashlib.md5(message["body"].encode()).hexdigest()  # noqa: S324 - SQS's own
    assert message["md5OfBody"] == digest
    assert all(isinstance(value, str) for value in message["attributes"].values())
    assert ("MessageGroupId" in message["attributes"]) == (name == "sqs-fifo")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("kinesis", ["Records", 0, "kinesis", "data"]),
        ("kafka", ["records", "orders-0", 0, "value"]),
        ("msk", ["records", "orders-0", 0, "value"]),
        ("activemq", ["messages", 0, "data"]),
        ("rabbitmq", ["rmqMessagesByQueue", "orders::/", 0, "data"]),
    ],
)
def test_binary_data_is_base64_of_json(name: str, path: list[str | int]) -> None:
    value = catalog.event(name)
    for part in path:
        value = value[part]
    assert isinstance(json.loads(base64.b64decode(value, validate=True)), dict)


def test_log_events_are_compressed_as_cloudwatch_does() -> None:
    data = catalog.event("cloudwatch-logs")["awslogs"]["data"]
    told = json.loads(gzip.decompress(base64.b64decode(data)))
    assert list(told) == [
        "messageType", "owner", "logGroup", "logStream", "subscriptionFilters", "logEvents",
    ]  # fmt: skip


def test_a_load_balancer_sends_single_or_multiple_values_never_both() -> None:
    single, multiple = set(catalog.event("alb")), set(catalog.event("alb-multi-value"))
    assert single - multiple == {"headers", "queryStringParameters"}
    assert multiple - single == {"multiValueHeaders", "multiValueQueryStringParameters"}


# The commands


def test_templates_are_listed_and_printed() -> None:
    listed = json.loads(run("templates", "--json").stdout)
    assert {each["Name"]: each["Title"] for each in listed} == catalog.TITLES
    assert json.loads(run("templates", "sns").stdout) == catalog.event("sns")


def test_a_function_is_invoked_with_a_template(node: FakeNode) -> None:
    assert run("invoke", "hello", "--template", "s3-put").exit_code == 0
    assert json.loads(node.events[0]) == catalog.event("s3-put")


def test_values_inside_a_template_are_set(node: FakeNode) -> None:
    result = run(
        "invoke", "hello", "--template", "s3-put",
        "--set", "Records.0.s3.object.key=a=b.jpg",
        "--set", "Records.0.s3.object.size=99",
        "--set", "Records.0.s3.object.eTag=123",
        "--set", "Records.0.s3.object.versionId=v1",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    item = json.loads(node.events[0])["Records"][0]["s3"]["object"]
    assert (item["key"], item["size"], item["eTag"]) == ("a=b.jpg", 99, "123")
    assert item["versionId"] == "v1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--template", "s3put"),
            "there is no template 's3put', did you mean s3-put? `lambdabox templates` lists them",
        ),
        (
            ("--template", "qqq"),
            "there is no template 'qqq'; `lambdabox templates` lists them",
        ),
        (
            ("--template", "sqs", "--set", "Records.1.body=x"),
            "--set: the template has nothing at 'Records.1'",
        ),
        (
            ("--template", "sqs", "--set", "Records.1=x"),
            "--set: the template has nothing at 'Records.1'",
        ),
        (
            ("--template", "sqs", "--set", "Records.0.body.deeper=x"),
            "--set: the template has nothing at 'Records.0.body.deeper'",
        ),
        (("--template", "sqs", "--set", "body"), "--set 'body' is not of the form PATH=VALUE"),
        (("--set", "a=b"), "--set changes a template: name one with --template"),
        (("--template", "sqs", "--event", "{}"), "give --event or --template, not both"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(
    node: FakeNode, arguments: tuple[str, ...], said: str
) -> None:
    assert refused(run("invoke", "hello", *arguments)) == said
    assert node.events == []
