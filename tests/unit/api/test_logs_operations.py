"""Groups, streams, retention and tags on a real SQLite file, against botocore's model."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from logs_client import GROUP, NOW_MS, SCOPE, Logs, migrate_journal, open_logs

from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import (
    ApiError,
    InvalidParameterException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from lambdabox.repositories.log_groups import DAY_MS

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def empty_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrate_journal(tmp_path_factory.mktemp("journal") / "empty.db")


@pytest.fixture
async def logs(tmp_path: Path, empty_journal: Path) -> AsyncIterator[Logs]:
    async with open_logs(Path(shutil.copy(empty_journal, tmp_path / "j.db"))) as opened:
        yield opened


async def test_a_group_is_described_with_the_keys_of_cloudwatch(logs: Logs) -> None:
    logs.log("hello")
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"
    assert await logs.call("DescribeLogGroups", logGroupNamePrefix="/aws/lambda/") == {
        "logGroups": [
            {
                "logGroupName": GROUP,
                "creationTime": NOW_MS,
                "metricFilterCount": 0,
                "arn": f"{arn}:*",
                "storedBytes": 31,
                "logGroupClass": "STANDARD",
                "logGroupArn": arn,
            }
        ]
    }


async def test_groups_are_found_by_prefix_pattern_class_and_identifier(logs: Logs) -> None:
    for name in ("Data/a", "data/b", "x_Data%", "x_Datb"):
        await logs.call("CreateLogGroup", logGroupName=name)
    await logs.call("CreateLogGroup", logGroupName="rare", logGroupClass="INFREQUENT_ACCESS")

    async def found(**params: Any) -> list[str]:
        answer = await logs.call("DescribeLogGroups", **params)
        return [group["logGroupName"] for group in answer["logGroups"]]

    assert await found() == ["Data/a", "data/b", "rare", "x_Data%", "x_Datb"]
    assert await found(logGroupNamePrefix="Data") == ["Data/a"]
    assert await found(logGroupNamePattern="Data") == ["Data/a", "x_Data%"]
    assert await found(logGroupClass="ESSENTIALS") == ["rare"]
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:data/b:*"
    assert await found(logGroupIdentifiers=["rare", arn]) == ["data/b", "rare"]
    with pytest.raises(InvalidParameterException, match="mutually exclusive"):
        await found(logGroupNamePrefix="a", logGroupNamePattern="b")


async def test_a_pattern_shows_only_three_keys(logs: Logs) -> None:
    await logs.call("CreateLogGroup", logGroupName="g")
    (group,) = (await logs.call("DescribeLogGroups", logGroupNamePattern="g"))["logGroups"]
    assert set(group) == {"arn", "creationTime", "logGroupName"}


async def test_another_account_sees_none_of_it(logs: Logs) -> None:
    logs.log("secret")
    other = Scope("999999999999", SCOPE.region)
    assert await logs.call("DescribeLogGroups", scope=other) == {"logGroups": []}
    with pytest.raises(ResourceNotFoundException):
        await logs.call("FilterLogEvents", scope=other, logGroupName=GROUP)
    arn = f"arn:aws:logs:us-east-1:{SCOPE.account}:log-group:{GROUP}"
    with pytest.raises(ResourceNotFoundException):
        await logs.call("FilterLogEvents", scope=other, logGroupIdentifier=arn)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_pages_of_groups_and_streams_hold_each_once(logs: Logs, limit: int) -> None:
    for number in range(7):
        logs.log("x", group=f"g{number}")
        logs.log("x", stream=f"s{number}", at=NOW_MS + number % 3)

    async def walk(operation: str, key: str, name: str, **params: Any) -> list[str]:
        found: list[str] = []
        token: dict[str, Any] = {}
        while True:
            answer = await logs.call(operation, limit=limit, **params, **token)
            found += [item[name] for item in answer[key]]
            if "nextToken" not in answer:
                return found
            token = {"nextToken": answer["nextToken"]}

    groups = await walk("DescribeLogGroups", "logGroups", "logGroupName", logGroupNamePrefix="g")
    assert groups == [f"g{number}" for number in range(7)]
    names = ("DescribeLogStreams", "logStreams", "logStreamName")
    assert await walk(*names, logGroupName=GROUP) == [f"s{n}" for n in range(7)]
    down = await walk(*names, logGroupName=GROUP, descending=True)
    assert down == [f"s{n}" for n in reversed(range(7))]
    timed = await walk(*names, logGroupName=GROUP, orderBy="LastEventTime", descending=True)
    assert timed == ["s5", "s2", "s4", "s1", "s6", "s3", "s0"]


async def test_a_stream_is_described_with_its_times(logs: Logs) -> None:
    logs.log("x", at=NOW_MS - 5)
    logs.log("y", at=NOW_MS - 9)
    await logs.call("CreateLogStream", logGroupName=GROUP, logStreamName="empty")
    answer = await logs.call("DescribeLogStreams", logGroupIdentifier=GROUP)
    empty, written = answer["logStreams"]
    assert set(empty) == {"logStreamName", "creationTime", "arn", "storedBytes"}
    assert len(written.pop("uploadSequenceToken")) == 56
    assert written == {
        "logStreamName": "s",
        "creationTime": NOW_MS,
        "firstEventTimestamp": NOW_MS - 9,
        "lastEventTimestamp": NOW_MS - 5,
        "lastIngestionTime": NOW_MS,
        "arn": f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:log-stream:s",
        "storedBytes": 0,
    }


NO_GROUP = "The specified log group does not exist."
NO_STREAM = "The specified log stream does not exist."
DAYS = "failed to satisfy constraint: Member must satisfy enum value set"


@pytest.mark.parametrize(
    ("operation", "params", "error", "message"),
    [
        ("DeleteLogGroup", {"logGroupName": "no"}, ResourceNotFoundException, NO_GROUP),
        ("DescribeLogStreams", {"logGroupName": "no"}, ResourceNotFoundException, NO_GROUP),
        ("FilterLogEvents", {"logGroupName": "no"}, ResourceNotFoundException, NO_GROUP),
        (
            "GetLogEvents",
            {"logGroupName": GROUP, "logStreamName": "no"},
            ResourceNotFoundException,
            NO_STREAM,
        ),
        (
            "FilterLogEvents",
            {"logGroupName": GROUP, "logStreamNames": ["s", "no"]},
            ResourceNotFoundException,
            NO_STREAM,
        ),
        (
            "DeleteLogStream",
            {"logGroupName": GROUP, "logStreamName": "no"},
            ResourceNotFoundException,
            NO_STREAM,
        ),
        (
            "CreateLogStream",
            {"logGroupName": "no", "logStreamName": "s"},
            ResourceNotFoundException,
            NO_GROUP,
        ),
        (
            "PutLogEvents",
            {
                "logGroupName": GROUP,
                "logStreamName": "no",
                "logEvents": [{"timestamp": NOW_MS, "message": "m"}],
            },
            ResourceNotFoundException,
            NO_STREAM,
        ),
        (
            "CreateLogGroup",
            {"logGroupName": GROUP},
            ResourceAlreadyExistsException,
            "The specified log group already exists",
        ),
        (
            "CreateLogStream",
            {"logGroupName": GROUP, "logStreamName": "s"},
            ResourceAlreadyExistsException,
            "The specified log stream already exists",
        ),
        (
            "PutRetentionPolicy",
            {"logGroupName": GROUP, "retentionInDays": 2},
            InvalidParameterException,
            DAYS,
        ),
        (
            "PutRetentionPolicy",
            {"logGroupName": "no", "retentionInDays": 1},
            ResourceNotFoundException,
            NO_GROUP,
        ),
        (
            "DescribeLogStreams",
            {"logGroupName": GROUP, "orderBy": "LastEventTime", "logStreamNamePrefix": "s"},
            InvalidParameterException,
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ),
        ("DescribeLogStreams", {}, InvalidParameterException, "Exactly one of"),
        (
            "FilterLogEvents",
            {"logGroupName": GROUP, "logStreamNames": ["s"], "logStreamNamePrefix": "s"},
            InvalidParameterException,
            "cannot both be given",
        ),
        (
            "FilterLogEvents",
            {"logGroupName": GROUP, "filterPattern": "{ $.a = }"},
            InvalidParameterException,
            "Invalid filter pattern",
        ),
        (
            "FilterLogEvents",
            {"logGroupIdentifier": "arn:aws:s3:::bucket"},
            InvalidParameterException,
            "is not the ARN of a log group",
        ),
    ],
)
async def test_refusals(
    logs: Logs, operation: str, params: dict[str, Any], error: type[ApiError], message: str
) -> None:
    logs.log("x")
    await logs.journal.flush()
    with pytest.raises(error) as caught:
        await logs.call(operation, **params)
    assert message in caught.value.message


async def test_a_deleted_group_is_gone_and_its_events_are_swept(logs: Logs) -> None:
    for number in range(25):
        logs.log("old", stream=f"s{number % 3}")
    await logs.call("DeleteLogGroup", logGroupName=GROUP)
    assert await logs.call("DescribeLogGroups") == {"logGroups": []}
    logs.log("new")
    assert await logs.texts() == ["new"]
    swept = [await logs.groups.sweep(now_ms=NOW_MS, batch=10) for _ in range(4)]
    assert swept == [10, 10, 5, 0]
    assert await logs.texts() == ["new"]


async def test_a_deleted_stream_is_gone(logs: Logs) -> None:
    logs.log("keep", stream="a")
    logs.log("drop", stream="b")
    await logs.call("DeleteLogStream", logGroupName=GROUP, logStreamName="b")
    assert await logs.texts() == ["keep"]
    assert await logs.groups.sweep(now_ms=NOW_MS) == 1


async def test_retention_is_shown_and_sweeps_what_is_older(logs: Logs) -> None:
    for days in (9, 8, 6, 0):
        logs.log(f"{days} days old", at=NOW_MS - days * DAY_MS)
    logs.log("long ago", at=NOW_MS - 30 * DAY_MS, stream="old")
    logs.clock.seconds -= 20 * 86_400
    await logs.journal.flush()
    logs.clock.seconds += 20 * 86_400
    assert await logs.groups.sweep(now_ms=NOW_MS) == 0
    await logs.call("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=7)
    assert [await logs.groups.sweep(now_ms=NOW_MS, batch=2) for _ in range(3)] == [2, 1, 0]
    assert await logs.texts() == ["6 days old", "0 days old"]
    (group,) = (await logs.call("DescribeLogGroups"))["logGroups"]
    assert (group["retentionInDays"], group["storedBytes"]) == (7, 2 * (10 + 26))
    (stream,) = (await logs.call("DescribeLogStreams", logGroupName=GROUP))["logStreams"]
    assert stream["firstEventTimestamp"] == NOW_MS - 6 * DAY_MS
    await logs.call("DeleteRetentionPolicy", logGroupName=GROUP)
    (group,) = (await logs.call("DescribeLogGroups"))["logGroups"]
    assert "retentionInDays" not in group


async def test_tags_of_a_group(logs: Logs) -> None:
    await logs.call("CreateLogGroup", logGroupName="g", tags={"a": "1", "b": "2"})
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:g"
    await logs.call("TagResource", resourceArn=arn, tags={"b": "3", "c": "4"})
    await logs.call("UntagResource", resourceArn=arn, tagKeys=["a"])
    expected = {"tags": {"b": "3", "c": "4"}}
    assert await logs.call("ListTagsForResource", resourceArn=arn) == expected
    assert await logs.call("ListTagsLogGroup", logGroupName="g") == expected
    with pytest.raises(InvalidParameterException, match="50 tags at most"):
        await logs.call("TagResource", resourceArn=arn, tags={str(n): "" for n in range(49)})
