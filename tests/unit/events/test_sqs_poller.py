from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from broker_fakes import Reports
from source_fakes import FAILURE, QUEUE, FakeInvoker, FakeSqs, Handler, HastyClock, mapping_of
from support.measuring import KeptMeasurements

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.events.attention import Attention
from lambdabox.events.batches import Batches
from lambdabox.events.pollers import Report
from lambdabox.events.sqs import SqsPoller
from lambdabox.telemetry.function_metrics import FunctionMetrics

pytestmark = pytest.mark.anyio

THROTTLED = TooManyRequestsException("Rate Exceeded.", reason="r")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    def __init__(self, handler: Handler, **settings: Any) -> None:
        self.clock = HastyClock()
        self.queue = FakeSqs(self.clock)
        self.invoker = FakeInvoker(handler)
        self.attention = Attention(self.clock)
        self.mapping = mapping_of(QUEUE, **settings)
        self.measurements = KeptMeasurements()
        batches = Batches(self.invoker.as_invoker(), FunctionMetrics(self.measurements), self.clock)
        self.reports = Reports()
        report = cast("Report", self.reports)
        self.poller = SqsPoller(self.mapping, self.queue, batches, report, self.clock)

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Poll during the block, then stop in the orderly way."""
        async with anyio.create_task_group() as background:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.poller.run, self.attention, background)
                yield
                self.attention.stop()
            background.cancel_scope.cancel()

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await anyio.lowlevel.checkpoint()

    def bodies(self) -> list[list[str]]:
        return [[record["body"] for record in event["Records"]] for event in self.invoker.events]


async def test_what_succeeded_is_deleted_and_what_failed_is_left_for_its_timeout() -> None:
    world = World(lambda event: FAILURE if event["Records"][0]["body"] == "bad" else None,
                  batch_size=1)  # fmt: skip
    world.queue.put("good", "bad", "fine")
    async with world.polling():
        await world.until(lambda: len(world.invoker.events) == 3 and world.invoker.running == 0)
        await world.until(lambda: len(world.queue.messages) == 1)
    [left] = world.queue.messages.values()
    assert left.body == "bad"
    assert left.visible_at > world.clock.now() - 1


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (None, 0), ({}, 0), ([], 0), ({"batchItemFailures": []}, 0),
        ({"batchItemFailures": None}, 0), ({"other": 1}, 0),
        ({"batchItemFailures": [{"itemIdentifier": "m1-b"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": "m1-b"}, {"itemIdentifier": "m1-b"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": "m1-b"}, {"itemIdentifier": "m0-a"}]}, 2),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, 3),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, 3),
        ({"batchItemFailures": [{"itemIdentifier": ["m1-b"]}]}, 3),
        ({"batchItemFailures": [{"itemId": "m1-b"}]}, 3),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, 3),
        ({"batchItemFailures": ["m1-b"]}, 3), ({"batchItemFailures": "m1-b"}, 3), ("done", 3),
    ],
)  # fmt: skip
async def test_a_function_says_which_messages_have_failed(answer: object, left: int) -> None:
    world = World(lambda _event: answer, response_types=("ReportBatchItemFailures",))
    world.queue.put("a", "b", "c")
    async with world.polling():
        await world.until(lambda: bool(world.invoker.events) and world.invoker.running == 0)
    assert world.bodies() == [["a", "b", "c"]]
    assert len(world.queue.messages) == left


async def test_without_the_setting_an_answer_means_nothing() -> None:
    world = World(lambda _event: {"batchItemFailures": [{"itemIdentifier": "m0-a"}]})
    world.queue.put("a")
    async with world.polling():
        await world.until(lambda: not world.queue.messages)


async def test_a_throttled_batch_is_tried_again_while_its_messages_are_ours() -> None:
    answers: list[object] = [THROTTLED, THROTTLED, None]
    world = World(lambda _event: answers.pop(0))
    world.queue.put("a")
    async with world.polling():
        await world.until(lambda: not world.queue.messages)
    assert world.bodies() == [["a"]] * 3


async def test_a_batch_that_stays_throttled_goes_back_to_the_queue() -> None:
    world = World(lambda _event: THROTTLED)
    world.queue.put("a")
    message = world.queue.messages["m0-a"]
    async with world.polling():
        await world.until(
            lambda: message.receives == 1 and world.clock.now() > message.visible_at - 10
        )
        world.clock.time = message.visible_at
        world.queue.put()
        await world.until(lambda: message.receives == 2)
    assert len(world.invoker.events) > 2


async def test_no_more_batches_run_at_once_than_the_mapping_allows() -> None:
    world = World(lambda _event: None, batch_size=1, maximum_concurrency=3)
    world.invoker.held = anyio.Event()
    world.queue.put(*map(str, range(20)))
    async with world.polling():
        await world.until(lambda: world.invoker.running == 3)
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
        world.invoker.held.set()
        await world.until(lambda: not world.queue.messages)
    assert world.invoker.most_running == 3
    assert sorted(world.bodies()) == sorted([str(number)] for number in range(20))


async def test_concurrency_starts_low() -> None:
    world = World(lambda _event: None, batch_size=1)
    world.invoker.held = anyio.Event()
    world.queue.put(*map(str, range(20)))
    async with world.polling():
        await world.until(lambda: world.invoker.running == 5)
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
        assert world.invoker.running == 5
        world.invoker.held.set()
        await world.until(lambda: not world.queue.messages)


async def test_a_stop_finishes_what_is_under_way_and_leaves_the_rest() -> None:
    world = World(lambda _event: None, batch_size=1, maximum_concurrency=1)
    world.invoker.held = anyio.Event()
    world.queue.put("a", "b")
    async with world.polling():
        await world.until(lambda: world.invoker.running == 1)
        world.attention.stop()
        world.invoker.held.set()
    assert [each.body for each in world.queue.messages.values()] == ["b"]


async def test_what_a_call_receives_after_the_stop_is_given_back() -> None:
    world = World(lambda _event: None)
    async with anyio.create_task_group() as background:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.poller.run, world.attention, background)
            await world.until(lambda: "ReceiveMessage" in world.queue.calls)
            world.attention.stop()
        world.queue.put("late")
        await world.until(lambda: "ChangeMessageVisibilityBatch" in world.queue.calls)
    assert world.invoker.events == []
    assert world.queue.messages["m0-late"].visible_at == 0.0


async def test_a_deletion_that_fails_is_tried_again() -> None:
    world = World(lambda _event: None)
    world.queue.errors = [AwsCallError("sqs", "DeleteMessageBatch", "Throttling", "slow down")]
    world.queue.put("a")
    async with world.polling():
        await world.until(lambda: not world.queue.messages)
    assert len(world.invoker.events) == 1


async def test_a_batch_is_never_larger_than_an_event_may_be() -> None:
    world = World(lambda _event: None)
    world.queue.put(*(str(number) * 1_000_000 for number in range(9)))
    async with world.polling():
        await world.until(lambda: not world.queue.messages)
    assert [len(event["Records"]) for event in world.invoker.events] == [6, 3]


async def test_a_body_that_is_not_quite_text_arrives_all_the_same() -> None:
    world = World(lambda _event: None)
    world.queue.put("half a pair: \ud800")
    async with world.polling():
        await world.until(lambda: not world.queue.messages)
    assert world.bodies() == [["half a pair: \ud800"]]


async def test_a_queue_that_is_gone_is_told_of_once_and_polled_again_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(lambda _event: None)
    world.queue.is_gone = True
    async with world.polling():
        await world.until(lambda: world.queue.calls.count("GetQueueUrl") > 20)
        [problem] = world.reports.results
        assert problem == (
            f"PROBLEM: It does not exist. There is no {QUEUE}: it was deleted, or its service "
            "keeps its data in memory, as moto does, and has been started again. Make it again, "
            "and the mapping goes on by itself; or delete the mapping."
        )
        world.queue.is_gone = False
        world.queue.put("a")
        await world.until(lambda: world.bodies() == [["a"]])
        world.queue.is_gone = True
        await world.until(lambda: len(world.reports.results) == 3)
    assert world.reports.results == [problem, "No records processed", problem]
    assert len([each for each in caplog.records if "is not polled" in each.message]) == 2
