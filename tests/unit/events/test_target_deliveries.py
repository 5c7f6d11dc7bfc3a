"""A target that is not reached is tried again as it wants, and its queue hears of failure."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from timed_world import DOWN, FUNCTION, GONE, LETTERS, QUEUE, SCOPE, World

from lambdabox.backends.database import SqliteDatabase
from lambdabox.events.target_deliveries import Errand
from lambdabox.repositories import tables

pytestmark = pytest.mark.anyio

PUT = b'{"Entries": [{"EventId": "e"}]}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "state.db", "state", (tables.metadata,)) as database:
        yield database


async def until(condition: Any) -> None:
    """Databases answer from threads, so that no count of turns of the loop would do."""
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def letters_of(world: World, count: int = 1) -> list[tuple[Any, dict[str, str]]]:
    """The dead letters, as documents and attributes."""
    await until(lambda: len(world.letters.sent) >= count)
    assert {arn for arn, _ in world.letters.sent} == {LETTERS}
    return [
        (
            json.loads(parcel.body),
            {name: each.value for name, each in parcel.attributes.items()},
        )
        for _, parcel in world.letters.sent
    ]


def target(arn: str, **policy: int) -> dict[str, Any]:
    return {
        "Arn": arn,
        "DeadLetterConfig": {"Arn": LETTERS},
        **({"RetryPolicy": policy} if policy else {}),
    }


async def due(world: World, seconds: float = 60) -> None:
    await world.clock.sleeper()
    world.clock.advance(seconds)


async def test_a_service_in_trouble_is_tried_again(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        world.services.errors = [DOWN, DOWN, DOWN]
        await world.deliveries.send(SCOPE, Errand(QUEUE, "{}", {"RULE_ARN": "r"}))
        for left, seconds in ((2, 1), (1, 2), (0, 4)):
            await until(lambda: len(world.services.errors) == left)  # noqa: B023  # at once
            assert not world.services.sent
            await due(world, seconds)
        await world.services.until_sent(1)


async def test_what_waits_outlives_the_node(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        world.services.errors = [DOWN]
        await world.deliveries.send(SCOPE, Errand(QUEUE, '"kept"', {"RULE_ARN": "r"}))
    world = World(state)
    world.clock.advance(1)
    async with world.running():
        await until(lambda: not world.deliveries._waiting)
    assert world.services.sent[0][1]["MessageBody"] == '"kept"'
    world = World(state)
    world.clock.advance(600)
    async with world.running():
        pass
    assert not world.services.sent


async def test_a_schedule_gives_up_when_its_policy_says(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        given = target(QUEUE, MaximumRetryAttempts=1)
        await world.schedule("s", {**given, "Input": '{"attempt": <aws.scheduler.attempt-number>}'})
        world.services.errors = [DOWN] * 5
        await due(world)
        await until(lambda: len(world.services.errors) == 4)
        await due(world, 1)
        [(body, attributes)] = await letters_of(world)
    assert body == {"attempt": 2}
    execution = attributes.pop("EXECUTION_ID")
    assert len(execution) == 36
    assert attributes == {
        "SCHEDULE_ARN": "arn:aws:scheduler:eu-central-1:111111111111:schedule/default/s",
        "SCHEDULED_TIME": "2027-01-15T08:01:00Z",
        "IS_PAYLOAD_TRUNCATED": "false",
        "TARGET_ARN": QUEUE,
        "ERROR_CODE": "Unreachable",
        "ERROR_MESSAGE": "no",
        "RETRY_ATTEMPTS": "1",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
    }
    assert len(world.services.errors) == 3


async def test_a_refusal_is_told_at_once(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        await world.schedule("s", target(QUEUE))
        world.services.errors = [GONE]
        await due(world)
        [(_, attributes)] = await letters_of(world)
    assert attributes["ERROR_CODE"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert attributes["RETRY_ATTEMPTS"] == "0"
    assert "EXHAUSTED_RETRY_CONDITION" not in attributes


@pytest.mark.parametrize(("is_there", "code"), [(True, "NO_PERMISSIONS"), (False, "NO_RESOURCE")])
async def test_a_rules_queue_hears_of_a_function_that_does_not_take_events(
    state: SqliteDatabase, is_there: bool, code: str
) -> None:
    world = World(state)
    world.functions.is_there, world.functions.lets_in = is_there, False
    async with world.running():
        await world.events("PutRule", {"Name": "r", "EventPattern": '{"source": ["s"]}'})
        given = {"Id": "1", **target(FUNCTION), "InputPath": "$.source"}
        await world.events("PutTargets", {"Rule": "r", "Targets": [given]})
        entries = {"Entries": [{"Source": "s", "DetailType": "d", "Detail": '{"a": 1}'}]}
        await world.events("PutEvents", entries, PUT)
        [(body, attributes)] = await letters_of(world)
    assert (body["source"], body["detail"]) == ("s", {"a": 1})  # the event, not what was made of it
    del attributes["ERROR_MESSAGE"]
    assert attributes == {
        "RULE_ARN": "arn:aws:events:eu-central-1:111111111111:rule/r",
        "TARGET_ARN": FUNCTION,
        "ERROR_CODE": code,
        "RETRY_ATTEMPTS": "0",
    }
    assert world.functions.sent == []


async def test_without_a_queue_the_log_says_what_was_dropped(
    state: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(state)
    world.functions.is_there = False
    async with world.running():
        await world.deliveries.send(SCOPE, Errand(FUNCTION, "{}", {"SCHEDULE_ARN": "s"}))
    assert f"could not be delivered to {FUNCTION}" in caplog.text
    assert "Function not found" in caplog.text


async def test_a_letter_is_kept_until_its_queue_takes_it(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        world.letters.errors = [DOWN]
        world.services.errors = [GONE]
        await world.schedule("s", target(QUEUE))
        await due(world)
        await until(lambda: not world.letters.errors)
    world = World(state)
    world.clock.advance(600)
    async with world.running():
        [(_, attributes)] = await letters_of(world)
    assert attributes["TARGET_ARN"] == QUEUE


async def test_a_letter_that_is_refused_is_given_up(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        world.letters.errors = [GONE]
        world.services.errors = [GONE]
        await world.schedule("s", target(QUEUE))
        await due(world)
        await until(lambda: world.letters.lost == 1)
    assert not world.letters.sent


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"Target": target(QUEUE, MaximumRetryAttempts=200)}, "less than or equal to 185"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "Mode OFF"),
        ({"StartDate": 2e9, "EndDate": 1.9e9}, "before the EndDate"),
    ],
)
async def test_what_a_schedule_cannot_be_is_refused(
    state: SqliteDatabase, settings: dict[str, Any], message: str
) -> None:
    world = World(state)
    answer = await world.schedule("s", target(QUEUE), **settings)
    assert answer.status == 400
    assert message in json.loads(answer.body)["message"]
    given = {"Rule": "r", "Targets": [{"Id": "1", **target(QUEUE, MaximumEventAgeInSeconds=1)}]}
    answer = await world.events("PutTargets", given)
    assert answer.status == 400
    assert "targets.1.member.retryPolicy" in json.loads(answer.body)["message"]
