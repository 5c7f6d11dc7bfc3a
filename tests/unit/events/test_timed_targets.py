"""What is due goes to queues and topics, too."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from timed_world import FIFO, FUNCTION, QUEUE, SCOPE, TOPIC, World

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import Scope
from lambdabox.events.service_targets import is_service_target
from lambdabox.repositories import tables

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "state.db", "state", (tables.metadata,)) as database:
        yield database


async def test_a_rule_that_is_due_sends_to_all_its_targets(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        await world.events("PutRule", {"Name": "r", "ScheduleExpression": "rate(1 minute)"})
        targets = [
            {"Id": "1", "Arn": QUEUE, "InputPath": "$.source"},
            {"Id": "2", "Arn": FIFO, "Input": "{}", "SqsParameters": {"MessageGroupId": "g"}},
            {"Id": "3", "Arn": TOPIC},
            {"Id": "4", "Arn": FUNCTION},
            {"Id": "5", "Arn": "arn:aws:states:eu-central-1:111111111111:stateMachine:m"},
        ]
        await world.events("PutTargets", {"Rule": "r", "Targets": targets})
        world.clock.advance(60)
        await world.services.until_sent(3)
        await world.clock.sleeper()
        queued, grouped, published = world.services.sent
        assert queued == (SCOPE, {"QueueUrl": "http://queue", "MessageBody": '"aws.events"'})
        assert grouped[1] == {
            "QueueUrl": "http://queue.fifo", "MessageBody": "{}", "MessageGroupId": "g",
        }  # fmt: skip
        assert published[0] == Scope("222222222222", "eu-central-1")
        assert json.loads(published[1]["Message"])["detail-type"] == "Scheduled Event"
        assert world.functions.sent == [FUNCTION]
        await world.events("RemoveTargets", {"Rule": "r", "Ids": ["1", "2", "3"]})
        world.clock.advance(60)
        await world.clock.sleeper()
        assert len(world.services.sent) == 3


async def test_a_rule_sends_after_a_restart(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        await world.events("PutRule", {"Name": "r", "ScheduleExpression": "rate(1 minute)"})
        await world.events("PutTargets", {"Rule": "r", "Targets": [{"Id": "1", "Arn": QUEUE}]})
    world = World(state)
    async with world.running():
        world.clock.advance(60)
        await world.services.until_sent(1)


async def test_an_event_goes_to_other_targets_by_the_service_alone(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        await world.events("PutRule", {"Name": "r", "EventPattern": '{"source": ["s"]}'})
        targets = [{"Id": "1", "Arn": QUEUE}, {"Id": "2", "Arn": FUNCTION}]
        await world.events("PutTargets", {"Rule": "r", "Targets": targets})

        entries = {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]}
        await world.events("PutEvents", entries, b'{"Entries": [{"EventId": "e"}]}')
    assert (world.functions.sent, world.services.sent) == ([FUNCTION], [])


async def test_a_schedule_sends_to_a_queue(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        await world.schedule("s", {"Arn": QUEUE, "Input": '"<aws.scheduler.scheduled-time>"'})
        world.clock.advance(60)
        await world.services.until_sent(1)
    [(_, message)] = world.services.sent
    assert message["MessageBody"] == '"2027-01-15T08:01:00Z"'


async def test_a_schedule_that_changes_its_target_sends_there(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        await world.schedule("s", {"Arn": QUEUE})
        await world.schedule("s", {"Arn": FUNCTION})
        await world.schedule("t", {"Arn": FUNCTION})
        await world.schedule("t", {"Arn": TOPIC})
        world.clock.advance(60)
        await world.services.until_sent(1)
        await anyio.wait_all_tasks_blocked()
    assert [message.get("TopicArn") for _, message in world.services.sent] == [TOPIC]
    assert world.functions.sent == [FUNCTION]


async def test_schedules_of_another_service_are_its_own(state: SqliteDatabase) -> None:
    world = World(state, fires_all=False)
    async with world.running():
        await world.schedule("s", {"Arn": QUEUE})
        await world.schedule("t", {"Arn": FUNCTION})
        await world.pass_time(60)
        await world.pass_time(0)
    assert (world.functions.sent, world.services.sent) == ([FUNCTION], [])


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (QUEUE, True), (FIFO, True), (TOPIC, True), (FUNCTION, False), ("", False),
        ("queue", False),
        ("arn:aws:sqs:::queue", False), ("arn:aws:sqs:r:a:", False),
    ],
)  # fmt: skip
def test_queues_and_topics_are_known_by_their_arns(arn: str, expected: bool) -> None:
    assert is_service_target(arn) is expected
