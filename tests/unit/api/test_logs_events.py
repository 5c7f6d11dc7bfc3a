"""Reading, searching, putting and following events on a real SQLite file."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs_client import GROUP, NOW_MS, Logs, migrate_journal, open_logs

from lambdabox.domain.errors import (
    InvalidParameterException,
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


@pytest.mark.parametrize("token", ["x", "f/", "f/12", "g/1/s", "f/-1/s", "WzFd", "bnVsbA==", "é"])
async def test_a_forged_token_is_refused(logs: Logs, token: str) -> None:
    logs.log("x")
    requests: list[tuple[str, dict[str, Any]]] = [
        ("GetLogEvents", {"logGroupName": GROUP, "logStreamName": "s"}),
        ("FilterLogEvents", {"logGroupName": GROUP}),
        ("DescribeLogGroups", {}),
        ("DescribeLogStreams", {"logGroupName": GROUP, "orderBy": "LastEventTime"}),
    ]
    for operation, params in requests:
        with pytest.raises(InvalidParameterException, match="nextToken is invalid"):
            await logs.call(operation, nextToken=token, **params)


async def test_a_token_of_absurd_size_is_the_end_and_no_error(logs: Logs) -> None:
    logs.log("x")
    token = f"f/{'9' * 72}/s"
    answer = await logs.call("GetLogEvents", logGroupName=GROUP, logStreamName="s", nextToken=token)
    assert (answer["events"], answer["nextForwardToken"]) == ([], token)


async def test_the_two_ends_of_time_ranges(logs: Logs) -> None:
    for at in (10, 20, 30):
        logs.log(str(at), at=at)
    window: dict[str, Any] = {"startTime": 10, "endTime": 20}
    assert await logs.texts(**window) == ["10", "20"]
    assert await logs.texts("GetLogEvents", logStreamName="s", **window) == ["10"]
    assert await logs.texts("GetLogEvents", logStreamName="s", endTime=0) == []


async def test_the_latest_events_come_first_unless_asked_from_the_head(logs: Logs) -> None:
    for number in range(5):
        logs.log(str(number), at=number)
    get: dict[str, Any] = {"operation": "GetLogEvents", "logStreamName": "s", "limit": 2}
    assert await logs.texts(**get) == ["3", "4"]
    assert await logs.texts(**get, startFromHead=True) == ["0", "1"]
    assert await logs.texts(limit=2) == ["0", "1"]
    assert await logs.texts(limit=2, startFromHead=False) == ["4", "3"]


async def test_the_same_token_comes_back_at_the_end_and_turns_back_exactly(logs: Logs) -> None:
    for number in range(3):
        logs.log(str(number), at=7)
    stream: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": "s"}
    page = await logs.call("GetLogEvents", **stream, startFromHead=True)
    end = page["nextForwardToken"]
    assert end.startswith("f/")
    assert end.endswith("/s")
    last = await logs.call("GetLogEvents", **stream, nextToken=end)
    assert (last["events"], last["nextForwardToken"]) == ([], end)
    back = last["nextBackwardToken"]
    assert await logs.texts("GetLogEvents", logStreamName="s", nextToken=back, limit=1) == ["2"]
    logs.log("later", at=7)
    assert await logs.texts("GetLogEvents", logStreamName="s", nextToken=end) == ["later"]
    start = await logs.call("GetLogEvents", **stream, nextToken=page["nextBackwardToken"])
    assert (start["events"], start["nextBackwardToken"]) == ([], page["nextBackwardToken"])
    forth = start["nextForwardToken"]
    assert await logs.texts("GetLogEvents", logStreamName="s", nextToken=forth, limit=1) == ["0"]


async def test_an_empty_stream_can_be_followed(logs: Logs) -> None:
    await logs.call("CreateLogGroup", logGroupName=GROUP)
    await logs.call("CreateLogStream", logGroupName=GROUP, logStreamName="s")
    page = await logs.call("GetLogEvents", logGroupName=GROUP, logStreamName="s")
    assert page["events"] == []
    logs.log("first")
    token = page["nextForwardToken"]
    assert await logs.texts("GetLogEvents", logStreamName="s", nextToken=token) == ["first"]


async def test_a_page_ends_at_a_mebibyte(logs: Logs) -> None:
    for _ in range(5):
        logs.log("x" * 250_000)
    page = await logs.call("FilterLogEvents", logGroupName=GROUP)
    assert len(page["events"]) == 4
    assert len(await logs.texts(nextToken=page["nextToken"])) == 1


async def test_a_search_filters_by_stream_and_pattern(logs: Logs) -> None:
    logs.log('{"level": "ERROR", "n": 5}', stream="a/1", at=1)
    logs.log('{"level": "ERROR", "n": 1}', stream="a/2", at=2)
    logs.log("ERROR plain", stream="b", at=3)
    assert await logs.texts(filterPattern='{ $.level = "ERROR" && $.n > 3 }') == [
        '{"level": "ERROR", "n": 5}'
    ]
    assert await logs.texts(filterPattern="plain") == ["ERROR plain"]
    assert len(await logs.texts(filterPattern="ERROR", logStreamNamePrefix="a/")) == 2
    assert len(await logs.texts(logStreamNames=["a/2", "b"])) == 2
    answer = await logs.call("FilterLogEvents", logGroupName=GROUP, limit=1)
    (event,) = answer["events"]
    assert set(event) == {"logStreamName", "timestamp", "message", "ingestionTime", "eventId"}
    assert answer["searchedLogStreams"] == []


async def test_a_long_search_pauses_with_a_token_and_no_events(logs: Logs) -> None:
    for number in range(50_001):
        logs.log("needle" if number == 50_000 else "hay", at=number)
    page = await logs.call("FilterLogEvents", logGroupName=GROUP, filterPattern="needle")
    assert page["events"] == []
    found = await logs.texts(filterPattern="needle", nextToken=page["nextToken"])
    assert found == ["needle"]


async def test_a_log_is_readable_right_after_it_was_written(logs: Logs) -> None:
    logs.log("now")
    assert await logs.texts() == ["now"]


async def test_put_events_are_stored_and_the_rest_is_told(logs: Logs) -> None:
    await logs.call("CreateLogGroup", logGroupName=GROUP)
    await logs.call("CreateLogStream", logGroupName=GROUP, logStreamName="s")
    times = [NOW_MS - 20 * DAY_MS, NOW_MS - 15 * DAY_MS, NOW_MS, NOW_MS + DAY_MS // 12 + 1]
    answer = await logs.call(
        "PutLogEvents",
        logGroupName=GROUP,
        logStreamName="s",
        logEvents=[{"timestamp": at, "message": f"nul \x00 {at}"} for at in times],
    )
    assert answer["rejectedLogEventsInfo"] == {
        "tooOldLogEventEndIndex": 2,
        "tooNewLogEventStartIndex": 3,
    }
    assert await logs.texts() == [f"nul \ufffd {NOW_MS}"]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        pytest.param([(NOW_MS, "b"), (NOW_MS - 1, "a")], "chronological order", id="order"),
        pytest.param([(NOW_MS - DAY_MS - 1, "a"), (NOW_MS, "b")], "more than 24 hours", id="span"),
        pytest.param(
            [(NOW_MS, "x" * 1_048_551)], "1048577 bytes exceeds limit of 1048576", id="size"
        ),
    ],
)
async def test_a_batch_that_breaks_a_rule_is_refused_whole(
    logs: Logs, events: list[tuple[int, str]], message: str
) -> None:
    logs.log("x")
    await logs.journal.flush()
    with pytest.raises(InvalidParameterException, match=message):
        await logs.call(
            "PutLogEvents",
            logGroupName=GROUP,
            logStreamName="s",
            logEvents=[{"timestamp": at, "message": text} for at, text in events],
        )
    assert await logs.texts() == ["x"]


EVENTS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), max_size=30)
ONCE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@ONCE
@given(EVENTS, st.integers(1, 7), st.booleans(), st.integers(0, 6), st.integers(0, 6))
async def test_all_pages_of_a_search_hold_each_event_once_in_order(
    logs: Logs, events: list[tuple[int, str]], limit: int, head: bool, start: int, end: int
) -> None:
    group = await fresh_group(logs, events)
    params: dict[str, Any] = {"startTime": start, "endTime": end, "startFromHead": head}
    found: list[tuple[int, int]] = []
    while True:
        page = await logs.call("FilterLogEvents", logGroupName=group, limit=limit, **params)
        assert len(page["events"]) <= limit
        found += [(event["timestamp"], int(event["message"])) for event in page["events"]]
        if "nextToken" not in page:
            break
        params["nextToken"] = page["nextToken"]
    expected = sorted((at, n) for n, (at, _) in enumerate(events) if start <= at <= end)
    assert found == (expected if head else expected[::-1])


@ONCE
@given(EVENTS, st.integers(1, 7), st.booleans())
async def test_all_pages_of_a_stream_hold_each_event_once_in_both_directions(
    logs: Logs, events: list[tuple[int, str]], limit: int, head: bool
) -> None:
    group = await fresh_group(logs, [(at, "a") for at, _ in events])
    expected = sorted((at, number) for number, (at, _) in enumerate(events))

    async def walk(way: str, **first: Any) -> tuple[list[tuple[int, int]], str]:
        found: list[tuple[int, int]] = []
        params = first
        while True:
            page = await logs.call(
                "GetLogEvents", logGroupName=group, logStreamName="a", limit=limit, **params
            )
            items = [(event["timestamp"], int(event["message"])) for event in page["events"]]
            assert items == sorted(items)
            found = [*found, *items] if way == "Forward" else [*items, *found]
            token = page[f"next{way}Token"]
            if params.get("nextToken") == token:
                turn = "nextBackwardToken" if way == "Forward" else "nextForwardToken"
                return found, page[turn]
            params = {"nextToken": token}

    way, other = ("Forward", "Backward") if head else ("Backward", "Forward")
    found, turn = await walk(way, startFromHead=head)
    assert found == expected
    assert (await walk(other, nextToken=turn))[0] == expected


_made = iter(range(1_000_000))


async def fresh_group(logs: Logs, events: list[tuple[int, str]]) -> str:
    group = f"group{next(_made)}"
    await logs.call("CreateLogGroup", logGroupName=group)
    await logs.call("CreateLogStream", logGroupName=group, logStreamName="a")
    for number, (at, stream) in enumerate(events):
        logs.log(str(number), at=at, stream=stream, group=group)
    return group
