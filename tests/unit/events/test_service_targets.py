"""What is due goes to queues and topics, too, and what they refuse holds nobody up."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from support.clock import ManualClock

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import Scope
from lambdabox.events.delivery import FunctionDelivery, Sender
from lambdabox.events.relayed import ServiceAnswer, ServiceRequest
from lambdabox.events.rules import RuleEvents
from lambdabox.events.schedules import ScheduleEvents
from lambdabox.events.service_targets import ServiceTarget, ServiceTargets, is_service_target
from lambdabox.events.timers import Timers
from lambdabox.repositories import tables

pytestmark = pytest.mark.anyio

SCOPE = Scope("111111111111", "eu-central-1")
QUEUE = "arn:aws:sqs:eu-central-1:111111111111:queue"
FIFO = "arn:aws:sqs:eu-central-1:111111111111:queue.fifo"
TOPIC = "arn:aws:sns:eu-central-1:222222222222:topic"
FUNCTION = "arn:aws:lambda:eu-central-1:111111111111:function:f"
GONE = AwsCallError("sqs", "GetQueueUrl", "AWS.SimpleQueueService.NonExistentQueue", "no")
DOWN = AwsCallError("sqs", "SendMessage", "Unreachable", "no")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "state.db", "state", (tables.metadata,)) as database:
        yield database


class Services:
    """An AwsServices with any queue and topic. The first of `errors` meets the next call."""

    def __init__(self) -> None:
        self.sent: list[tuple[Scope, Mapping[str, Any]]] = []
        self.errors: list[AwsCallError] = []
        self._changed = anyio.Event()

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        if operation == "GetQueueUrl":
            return {"QueueUrl": f"http://{parameters['QueueName']}"}
        assert (service, operation) in {("sqs", "SendMessage"), ("sns", "Publish")}
        self.sent.append((scope, parameters))
        self._changed.set()
        self._changed = anyio.Event()
        return {}

    async def until_sent(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.sent) < count:
                await self._changed.wait()


class Delivery:
    """Stands for FunctionDelivery."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(
        self, function_arn: str, sender: Sender | None, payload: bytes, *, trace: str | None = None
    ) -> bool:
        self.sent.append(function_arn)
        return True


class World:
    def __init__(self, state: SqliteDatabase, *, is_ours: bool = True) -> None:
        self.clock = ManualClock(start=1_800_000_000.0)  # 2027-01-15T08:00:00Z
        self.services, self.delivery = Services(), Delivery()
        self.targets = ServiceTargets(self.services, self.clock, is_ours=is_ours)
        self.timers = Timers(state, self.clock)
        delivery = cast("FunctionDelivery", self.delivery)
        self.rules = RuleEvents(state, delivery, self.timers, self.targets, self.clock)
        self.schedules = ScheduleEvents(
            state, delivery, self.timers, self.targets, self.services, self.clock
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            for part in (self.rules, self.schedules, self.targets, self.timers):
                await tasks.start(part.serve)
            await self.clock.sleeper()
            yield
            tasks.cancel_scope.cancel()

    async def events(self, operation: str, document: Any) -> None:
        request = self.request("events", "POST", "/", document)
        request.headers["x-amz-target"] = f"AWSEvents.{operation}"  # type: ignore[index]  # a dict
        await self.rules.handle(request, _accept)

    async def schedule(self, name: str, target: Mapping[str, Any]) -> None:
        document = {
            "ScheduleExpression": "at(2027-01-15T08:01:00)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
        }
        await self.schedules.handle(
            self.request("scheduler", "POST", f"/schedules/{name}", document), _accept
        )

    def request(self, service: str, method: str, path: str, document: Any) -> ServiceRequest:
        return ServiceRequest(
            service, method, path, "", {}, SCOPE, "id", "127.0.0.1", json.dumps(document).encode()
        )

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await anyio.wait_all_tasks_blocked()


async def _accept(_request: ServiceRequest) -> ServiceAnswer:
    return ServiceAnswer(200, [], b"{}")


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
        assert world.delivery.sent == [FUNCTION]
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

        async def answer(_request: ServiceRequest) -> ServiceAnswer:
            return ServiceAnswer(200, [], b'{"Entries": [{"EventId": "e"}]}')

        entries = {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]}
        request = world.request("events", "POST", "/", entries)
        request.headers["x-amz-target"] = "AWSEvents.PutEvents"  # type: ignore[index]  # a dict
        await world.rules.handle(request, answer)
    assert (world.delivery.sent, world.services.sent) == ([FUNCTION], [])


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
    assert world.delivery.sent == [FUNCTION]


async def test_a_service_in_trouble_is_tried_again(state: SqliteDatabase) -> None:
    world = World(state)
    async with world.running():
        world.services.errors = [DOWN, DOWN, DOWN]
        await world.targets.send(ServiceTarget(QUEUE), b"{}")
        assert not world.services.sent
        for seconds in (1, 2):
            await anyio.wait_all_tasks_blocked()
            await world.pass_time(seconds)
        assert not world.services.sent
        await world.pass_time(4)
        assert len(world.services.sent) == 1


@pytest.mark.parametrize("error", [GONE, DOWN], ids=["refused", "down"])
async def test_what_cannot_be_delivered_is_given_up_and_told(
    state: SqliteDatabase, caplog: pytest.LogCaptureFixture, error: AwsCallError
) -> None:
    world = World(state)
    async with world.running():
        world.services.errors = [error] * 20
        await world.targets.send(ServiceTarget(QUEUE), b"{}")
        for _ in range(10):
            await anyio.wait_all_tasks_blocked()
            await world.pass_time(64)
        left = len(world.services.errors)
        await world.pass_time(1_000)
        assert len(world.services.errors) == left
    assert "could not be delivered to " + QUEUE in caplog.text


async def test_schedules_of_another_service_are_its_own(state: SqliteDatabase) -> None:
    world = World(state, is_ours=False)
    assert not world.targets.takes(QUEUE)
    async with world.running():
        await world.schedule("s", {"Arn": QUEUE})
        await world.schedule("t", {"Arn": FUNCTION})
        await world.pass_time(60)
        await world.pass_time(0)
    assert (world.delivery.sent, world.services.sent) == ([FUNCTION], [])


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
