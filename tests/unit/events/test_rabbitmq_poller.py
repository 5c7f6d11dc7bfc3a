from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from broker_fakes import FakeQueue, FakeSecrets, Reports
from source_fakes import FAILURE, FakeInvoker, Handler, HastyClock, mapping_of
from support.measuring import KeptMeasurements

from lambdabox.broker_ports import BrokerError
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.domain.mappings import SourceAccess
from lambdabox.events.attention import Attention
from lambdabox.events.batches import Batches
from lambdabox.events.broker_access import BrokerPlaces
from lambdabox.events.pollers import Report
from lambdabox.events.rabbitmq import RabbitMqPoller
from lambdabox.telemetry.function_metrics import FunctionMetrics

pytestmark = pytest.mark.anyio

BROKER = "arn:aws:mq:us-east-1:000000000000:broker:orders:b-1"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:login"
THROTTLED = TooManyRequestsException("Rate Exceeded.", reason="r")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    def __init__(self, handler: Handler, **settings: Any) -> None:
        self.clock = HastyClock()
        self.queue = FakeQueue()
        self.invoker = FakeInvoker(handler)
        self.attention = Attention(self.clock)
        self.report = Reports()
        settings = {
            "queues": ("q",),
            "source_access": (SourceAccess("BASIC_AUTH", SECRET),),
            **settings,
        }
        secrets = FakeSecrets(login='{"username": "u", "password": "p"}')
        self.poller = RabbitMqPoller(
            mapping_of(BROKER, **settings),
            BrokerPlaces({"orders": "amqp://127.0.0.1:5672"}, secrets),
            self.queue.open,
            Batches(self.invoker.as_invoker(), FunctionMetrics(KeptMeasurements()), self.clock),
            cast("Report", self.report),
            self.clock,
        )

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.poller.run, self.attention, tasks)
            yield
            self.attention.stop()

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await anyio.lowlevel.checkpoint()

    @property
    def is_empty(self) -> bool:
        return not self.queue.waiting and not self.queue.unsettled

    def batches(self) -> list[int]:
        return [len(event["rmqMessagesByQueue"]["q::/"]) for event in self.invoker.events]


async def test_a_batch_is_acknowledged_at_once_when_it_succeeded() -> None:
    world = World(lambda _event: None, batch_size=3)
    world.queue.put(b"1", b"2", b"3", b"4")
    async with world.polling():
        await world.until(lambda: world.is_empty)
    assert world.batches() == [3, 1]
    assert world.queue.settlements == ["ack 3", "ack 1"]
    assert world.report.results == ["OK"]


async def test_a_poison_message_comes_again_after_pauses_that_grow() -> None:
    failures = [FAILURE] * 5
    world = World(lambda _event: failures.pop() if failures else None)
    start = world.clock.monotonic()
    world.queue.put(b"poison")
    async with world.polling():
        await world.until(lambda: world.is_empty)
    assert world.queue.settlements == ["requeue 1"] * 5 + ["ack 1"]
    assert world.clock.monotonic() - start > 0.2 + 0.4 + 0.8 + 1.6 + 3.2


async def test_what_is_throttled_is_kept_and_not_redelivered() -> None:
    answers: list[object] = [THROTTLED, THROTTLED, None]
    world = World(lambda _event: answers.pop(0))
    world.queue.put(b"1")
    async with world.polling():
        await world.until(lambda: world.is_empty)
    assert world.queue.settlements == ["ack 1"]


async def test_what_stays_throttled_goes_back_before_the_broker_takes_it_back() -> None:
    world = World(lambda _event: THROTTLED)
    world.queue.put(b"1")
    async with world.polling():
        await world.until(lambda: "requeue 1" in world.queue.settlements)
    assert world.queue.waiting


async def test_a_batch_is_split_where_it_is_larger_than_an_event() -> None:
    world = World(lambda _event: None)
    world.queue.put(*(bytes(1_000_000) for _ in range(7)))
    async with world.polling():
        await world.until(lambda: world.is_empty)
    assert sum(world.batches()) == 7
    assert len(world.batches()) > 1


async def test_only_what_follows_a_failure_goes_back() -> None:
    failures = [FAILURE]
    world = World(lambda _event: failures.pop() if len(world.batches()) == 2 and failures else None)
    world.queue.put(*(bytes(1_000_000) for _ in range(5)))
    async with world.polling():
        await world.until(lambda: world.is_empty)
    assert sum(int(each.split()[1]) for each in world.queue.settlements if "ack" in each) == 5
    assert any("requeue" in each for each in world.queue.settlements)


async def test_a_message_that_no_event_can_hold_is_rejected_and_blocks_nobody() -> None:
    world = World(lambda _event: None)
    world.queue.put(b"1", bytes(6_000_000), b"2")
    async with world.polling():
        await world.until(lambda: world.is_empty)
    assert [len(body) for body in world.queue.rejected] == [6_000_000]
    assert sum(world.batches()) == 2


async def test_a_stop_gives_back_what_waits_for_its_window() -> None:
    world = World(lambda _event: FAILURE)
    world.queue.put(b"1")
    async with world.polling():
        await world.until(lambda: bool(world.invoker.events))
    assert world.queue.waiting[0] == (b"1", True)
    assert not world.queue.unsettled


async def test_a_lost_connection_is_told_of_until_there_is_another() -> None:
    world = World(lambda _event: None)
    world.queue.errors = [BrokerError("Connection error. refused")] * 2
    async with world.polling():
        await world.until(lambda: world.queue.opened == 3)
        await world.until(lambda: len(world.report.results) == 2)
        world.queue.put(b"1")
        await world.until(lambda: world.is_empty)
    assert world.report.results == [
        "PROBLEM: Connection error. refused",
        "No records processed",
        "OK",
    ]
