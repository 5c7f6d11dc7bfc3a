"""Who waits on a queue is woken by whatever there is to receive, and groups take turns."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from support.clock import ManualClock
from support.records import open_state

from lambdabox.backends.sqlite_queue import LOAN_SECONDS, TableQueue
from lambdabox.queue_ports import Delivery, Message

pytestmark = pytest.mark.anyio

DEADLINE = 20.0
TICK = 0.001


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def queue(tmp_path: Path, clock: ManualClock) -> AsyncIterator[TableQueue]:
    async with open_state(tmp_path) as database:
        yield TableQueue(database, clock)


def message(id: str, group: str = "f") -> Message:
    return Message(id=id, group=group, body=b"", enqueued_at=1_795_000_000.25)


async def receive(queue: TableQueue, limit: int = 9, wait: float = 0) -> list[str]:
    return [delivery.message.id for delivery in await queue.receive(limit, wait)]


@asynccontextmanager
async def waiting(queue: TableQueue, receivers: int = 1) -> AsyncIterator[list[str]]:
    """Receivers of one message each wait during the block; what they got is listed after it."""
    received: list[str] = []

    async def wait() -> None:
        received.extend(await receive(queue, 1, DEADLINE))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            for _ in range(receivers):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            yield received


async def test_a_retry_wakes_who_waits(queue: TableQueue) -> None:
    await queue.put(message("1"))
    [delivery] = await queue.receive(1, 0)
    async with waiting(queue) as received:
        await delivery.retry_later(delivery.message, 0)
    assert received == ["1"]


async def test_a_delay_that_ends_wakes_who_waits(queue: TableQueue, clock: ManualClock) -> None:
    await queue.put(message("1"), delay=60)
    async with waiting(queue) as received:
        clock.advance(60)
        queue.notice()
    assert received == ["1"]


async def test_each_of_two_who_wait_gets_a_message(queue: TableQueue) -> None:
    async with waiting(queue, receivers=2) as received:
        await queue.put(message("1"))
        await queue.put(message("2"))
    assert sorted(received) == ["1", "2"]


async def test_a_receiver_that_is_cancelled_loses_no_message(
    queue: TableQueue, clock: ManualClock
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive, queue, 1, DEADLINE)
        await anyio.wait_all_tasks_blocked()
        await queue.put(message("1"))
        tasks.cancel_scope.cancel()
    await receive(queue)  # after this, what the cancelled receiver had begun has ended
    clock.advance(LOAN_SECONDS)
    assert await receive(queue) == ["1"]


async def test_a_delivery_settled_by_a_retry_cannot_be_acknowledged_away(
    queue: TableQueue, clock: ManualClock
) -> None:
    await queue.put(message("1"))
    [delivery] = await queue.receive(1, 0)
    await delivery.retry_later(delivery.message, 10)
    await delivery.ack()
    clock.advance(10)
    assert await receive(queue) == ["1"]


async def test_groups_take_turns(queue: TableQueue, clock: ManualClock) -> None:
    for group in "ab":
        for number in range(4):
            await queue.put(message(f"{group}{number}", group))
            clock.advance(0.01)
    assert await receive(queue) == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]


async def test_what_is_at_hand_is_taken_without_waiting(queue: TableQueue) -> None:
    await receive(queue)  # it has looked into its table by now
    for name in "123":
        await queue.put(message(name))
    taken = [[d.message.id for d in queue.take(limit)] for limit in (0, 2, 9, 9)]
    assert taken == [[], ["1", "2"], ["3"], []]


async def test_no_more_is_taken_than_there_is_room_for(queue: TableQueue) -> None:
    await receive(queue)
    for name in "123":
        await queue.put(message(name))
    assert [d.message.id for d in queue.take(9, room=lambda _group: 2)] == ["1", "2"]


async def test_taking_has_the_queue_look_for_more(queue: TableQueue, tmp_path: Path) -> None:
    await queue.put(message("1"))
    async with open_state(tmp_path) as database:
        again = TableQueue(database, ManualClock())  # as after a restart: nothing is at hand
        assert again.take(1) == []
        found: Sequence[Delivery] = []
        with anyio.fail_after(DEADLINE):
            while not found:
                await anyio.lowlevel.checkpoint()
                found = again.take(1)
        assert [delivery.message.id for delivery in found] == ["1"]


async def test_a_taken_message_is_on_loan(queue: TableQueue, clock: ManualClock) -> None:
    await queue.put(message("1"))
    [lost] = queue.take(1) or await queue.receive(1, DEADLINE)
    clock.advance(LOAN_SECONDS)
    [again] = queue.take(1)
    await lost.ack()  # too late
    await again.ack()
    clock.advance(LOAN_SECONDS)
    assert await receive(queue) == []


class TickingClock(ManualClock):
    """Time goes on whenever somebody looks at it."""

    def now(self) -> float:
        self.advance(TICK)
        return super().now()


@pytest.mark.parametrize("ticks", range(1, 16))
async def test_a_delay_may_end_at_any_moment(tmp_path: Path, ticks: int) -> None:
    async with open_state(tmp_path) as database:
        queue = TableQueue(database, TickingClock())
        await receive(queue)
        await queue.put(message("1"), delay=ticks * TICK)
        with anyio.fail_after(DEADLINE):
            assert await receive(queue, wait=DEADLINE) == ["1"]
