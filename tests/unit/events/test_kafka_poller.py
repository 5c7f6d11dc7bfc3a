import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from broker_fakes import FakeSecrets, FakeTopic, Reports
from source_fakes import FAILURE, FakeDestinations, FakeInvoker, Handler, HastyClock, mapping_of
from support.measuring import KeptMeasurements

from lambdabox.broker_ports import BrokerError, Partition
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.events.attention import Attention
from lambdabox.events.batches import Batches
from lambdabox.events.broker_access import BrokerPlaces
from lambdabox.events.failures import Failures
from lambdabox.events.kafka import KafkaPoller
from lambdabox.events.pollers import Report
from lambdabox.telemetry.function_metrics import FunctionMetrics

pytestmark = pytest.mark.anyio

CLUSTER = "arn:aws:kafka:us-east-1:000000000000:cluster/shop/751d2973-a626"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:failed"
THROTTLED = TooManyRequestsException("Rate Exceeded.", reason="r")
FIRST, SECOND = Partition("t", 0), Partition("t", 1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def values(event: dict[str, Any]) -> list[str]:
    records = [record for part in event["records"].values() for record in part]
    return [base64.b64decode(record["value"]).decode() for record in records]


class World:
    def __init__(self, handler: Handler, partitions: int = 1, **settings: Any) -> None:
        self.clock = HastyClock()
        self.topic = FakeTopic(partitions)
        self.invoker = FakeInvoker(handler)
        self.destinations = FakeDestinations()
        self.attention = Attention(self.clock)
        self.report = Reports()
        mapping = mapping_of(
            CLUSTER,
            **{"topics": ("t",), "starting_position": "TRIM_HORIZON", "window_seconds": 0,
               **settings},
        )  # fmt: skip
        self.poller = KafkaPoller(
            mapping,
            BrokerPlaces({"shop": "b1:9092;b2:9092"}, FakeSecrets()),
            self.topic.open,
            Batches(self.invoker.as_invoker(), FunctionMetrics(KeptMeasurements()), self.clock),
            Failures(mapping, self.destinations, self.clock),
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

    async def until_committed(self, *offsets: int) -> None:
        await self.until(lambda: tuple(self.topic.committed.values()) == offsets)

    def batches(self) -> list[list[str]]:
        return [values(event) for event in self.invoker.events]


async def test_a_batch_holds_records_of_several_partitions_each_in_its_order() -> None:
    world = World(lambda _event: None, partitions=2)
    world.topic.put(b"a", b"b")
    world.topic.put(b"x", partition=1)
    async with world.polling():
        await world.until_committed(2, 1)
    [event] = world.invoker.events
    assert event.keys() == {"eventSource", "eventSourceArn", "bootstrapServers", "records"}
    assert event["bootstrapServers"] == "b1:9092,b2:9092"
    assert {name: len(part) for name, part in event["records"].items()} == {"t-0": 2, "t-1": 1}
    assert world.report.results == ["OK"]


async def test_a_batch_that_fails_is_tried_until_it_succeeds_and_nothing_is_skipped() -> None:
    failures = [FAILURE] * 20
    world = World(lambda _event: failures.pop() if failures else None)
    world.topic.put(b"a", b"b")
    async with world.polling():
        await world.until(lambda: len(world.invoker.events) > 3)
        assert world.topic.commits == []
        await world.until_committed(2)
    assert world.batches() == [["a", "b"]] * 21


async def test_with_a_destination_ten_attempts_are_enough() -> None:
    world = World(lambda _event: FAILURE, on_failure=QUEUE)
    world.topic.put(b"a")
    async with world.polling():
        await world.until_committed(1)
    assert len(world.invoker.events) == 10
    [(arn, record)] = world.destinations.delivered
    assert arn == QUEUE
    assert record["requestContext"]["approximateInvokeCount"] == 10
    assert record["KafkaBatchInfo"]["recordsInfo"]["t-0"]["lastRecordOffset"] == 0


async def test_a_bisected_batch_gives_up_the_poison_record_alone() -> None:
    world = World(
        lambda event: FAILURE if "bad" in values(event) else None,
        bisects=True, maximum_retry_attempts=0, on_failure=QUEUE,
    )  # fmt: skip
    world.topic.put(b"a", b"b", b"bad", b"c")
    async with world.polling():
        await world.until_committed(4)
    succeeded = [each for batch in world.batches() if "bad" not in batch for each in batch]
    assert succeeded == ["a", "b", "c"]
    assert len(world.destinations.delivered) == 1


def item(partition: object, offset: object) -> dict[str, Any]:
    return {"itemIdentifier": {"partition": partition, "offset": offset}}


async def test_a_function_says_where_each_partition_goes_on() -> None:
    answers: list[object] = [{"batchItemFailures": [item("t-0", 1), item("t-0", 2)]}]
    world = World(
        lambda _event: answers.pop() if answers else None,
        partitions=2, response_types=("ReportBatchItemFailures",),
    )  # fmt: skip
    world.topic.put(b"a", b"b", b"c")
    world.topic.put(b"x", b"y", partition=1)
    async with world.polling():
        await world.until_committed(3, 2)
    assert world.topic.commits[0] == {FIRST: 1, SECOND: 2}
    assert world.batches() == [["a", "b", "c", "x", "y"], ["b", "c"]]


@pytest.mark.parametrize(
    "failed",
    [item("t-0", 9), item("t-1", 0), item("t-0", "0"), item("t-0", True), item(None, None),
     {"itemIdentifier": "t-0:0"}, {"itemIdentifier": [1]}, {}, "t-0"],
)  # fmt: skip
async def test_an_answer_that_names_no_record_means_all_of_them(failed: object) -> None:
    answers: list[object] = [{"batchItemFailures": [failed]}]
    world = World(
        lambda _event: answers.pop() if answers else None,
        response_types=("ReportBatchItemFailures",),
    )
    world.topic.put(b"a", b"b")
    async with world.polling():
        await world.until_committed(2)
    assert world.batches() == [["a", "b"]] * 2


async def test_records_that_are_too_old_are_told_of_and_not_run() -> None:
    world = World(lambda _event: None, maximum_record_age_seconds=60, on_failure=QUEUE)
    world.topic.put(b"old", age=61)
    world.topic.put(b"new", age=1)
    async with world.polling():
        await world.until_committed(2)
    assert world.batches() == [["new"]]
    [(_, record)] = world.destinations.delivered
    assert record["requestContext"]["condition"] == "RecordAgeExceeded"
    assert "responseContext" not in record


async def test_a_record_that_no_event_can_hold_is_told_of() -> None:
    world = World(lambda _event: None, on_failure=QUEUE)
    world.topic.put(bytes(6_000_000), b"a")
    async with world.polling():
        await world.until_committed(2)
    assert world.batches() == [["a"]]
    [(_, record)] = world.destinations.delivered
    assert record["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"
    assert record["responseContext"] is None


async def test_what_the_filters_hold_back_is_committed_with_the_rest() -> None:
    pattern = json.dumps({"value": {"n": [2]}})
    world = World(lambda _event: None, filters=(pattern,))
    world.topic.put(b'{"n": 1}', b'{"n": 2}', b"text", b'{"n": 3}')
    async with world.polling():
        await world.until_committed(4)
    assert world.batches() == [['{"n": 2}']]


async def test_throttles_use_up_no_retry() -> None:
    answers: list[object] = [THROTTLED] * 5
    world = World(lambda _event: answers.pop() if answers else None, maximum_retry_attempts=0)
    world.topic.put(b"a")
    async with world.polling():
        await world.until_committed(1)
    assert len(world.invoker.events) == 6
    assert world.destinations.delivered == []


async def test_a_batch_whose_partitions_were_taken_away_is_left_to_others() -> None:
    def handler(_event: dict[str, Any]) -> Any:
        if len(world.invoker.events) > 1:
            return None
        world.topic.rebalance()
        world.topic.committed[FIRST] = 2  # another member has done it
        world.topic.rebalance()
        return FAILURE

    world = World(handler)
    world.topic.put(b"a", b"b")
    async with world.polling():
        await world.until(lambda: len(world.report.results) == 1)
        world.topic.put(b"c")
        await world.until_committed(3)
    assert world.batches() == [["a", "b"], ["c"]]


async def test_what_was_not_committed_is_read_again() -> None:
    world = World(lambda _event: None)
    world.topic.errors = [BrokerError("the cluster is gone")]
    world.topic.put(b"a")
    async with world.polling():
        await world.until_committed(1)
    assert world.batches() == [["a"], ["a"]]
    assert "PROBLEM: the cluster is gone" in world.report.results


async def test_nothing_is_committed_while_the_topic_on_failure_takes_nothing() -> None:
    world = World(lambda _event: FAILURE, maximum_retry_attempts=0, on_failure="kafka://failed")
    world.topic.errors = [BrokerError("no such topic")]
    world.topic.put(b"a")
    async with world.polling():
        await world.until_committed(1)
    assert "PROBLEM: The destination kafka://failed takes nothing: no such topic" in (
        world.report.results
    )
    [(topic, key, value)] = world.topic.produced
    assert (topic, key) == ("failed", b"k")
    record = json.loads(value)
    assert record["KafkaBatchInfo"]["recordInfo"].keys() == {"offset", "timestamp"}
    assert values(json.loads(record["payload"])) == ["a"]


async def test_a_stop_leaves_what_fails_to_the_next_start() -> None:
    world = World(lambda _event: FAILURE)
    world.topic.put(b"a")
    async with world.polling():
        await world.until(lambda: len(world.invoker.events) > 2)
    assert world.topic.commits == []
