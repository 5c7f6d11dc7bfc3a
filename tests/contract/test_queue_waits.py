"""Who waits on a queue is woken by whatever there is to receive, and groups take turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from support.clock import ManualClock
from support.records import open_state

from lambdabox.backends.sqlite_queue import LOAN_SECONDS, TableQueue
from lambdabox.queue_ports import Message

pytestmark = pytest.mark.anyio

DEADLINE = 20.0


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
