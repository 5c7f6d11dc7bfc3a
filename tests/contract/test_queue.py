"""What every durable queue promises: at least once, durable before acknowledged, fair."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from lambdabox.backends import sqlite_queue
from lambdabox.backends.database import SqliteDatabase
from lambdabox.backends.sqlite_queue import LOAN_SECONDS, TableQueue
from lambdabox.queue_ports import Delivery, Message
from lambdabox.repositories import tables


class SteppedClock:
    """Time that goes on when a test says so."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


Test = Callable[[TableQueue, SteppedClock], Awaitable[None]]


def run(path: Path, test: Test) -> None:
    async def main() -> None:
        clock = SteppedClock()
        metadata = (tables.metadata, sqlite_queue.metadata)
        async with SqliteDatabase(path / "state.db", "state", metadata) as database:
            await test(TableQueue(database, clock), clock)

    anyio.run(main)


def message(id: str, group: str = "a") -> Message:
    return Message(id, group, body=id.encode(), enqueued_at=1_000.0)


def ids(deliveries: "list[Delivery] | tuple[Delivery, ...]") -> list[str]:
    return [delivery.message.id for delivery in deliveries]


async def receive(queue: TableQueue, limit: int = 10) -> list[Delivery]:
    return list(await queue.receive(limit, wait=0))


def test_a_message_comes_back_as_it_was_put(tmp_path: Path) -> None:
    async def test(queue: TableQueue, _clock: SteppedClock) -> None:
        sent = Message("1", "a", b"\x00body\n", 999.5, retries=1, throttles=2)
        await queue.put(sent)
        [delivery] = await receive(queue)
        assert delivery.message == sent

    run(tmp_path, test)


def test_a_message_on_loan_is_not_given_to_another(tmp_path: Path) -> None:
    async def test(queue: TableQueue, _clock: SteppedClock) -> None:
        await queue.put(message("1"))
        assert ids(await receive(queue)) == ["1"]
        assert ids(await receive(queue)) == []

    run(tmp_path, test)


def test_a_message_that_is_not_settled_is_delivered_again(tmp_path: Path) -> None:
    async def test(queue: TableQueue, clock: SteppedClock) -> None:
        await queue.put(message("1"))
        await receive(queue)
        clock.time += LOAN_SECONDS + 1
        assert ids(await receive(queue)) == ["1"]

    run(tmp_path, test)


def test_an_acknowledged_message_is_gone(tmp_path: Path) -> None:
    async def test(queue: TableQueue, clock: SteppedClock) -> None:
        await queue.put(message("1"))
        [delivery] = await receive(queue)
        await delivery.ack()
        clock.time += LOAN_SECONDS + 1
        assert ids(await receive(queue)) == []

    run(tmp_path, test)


def test_an_extended_loan_lasts_longer(tmp_path: Path) -> None:
    async def test(queue: TableQueue, clock: SteppedClock) -> None:
        await queue.put(message("1"))
        [delivery] = await receive(queue)
        clock.time += LOAN_SECONDS - 1
        delivery.extend(LOAN_SECONDS)
        clock.time += LOAN_SECONDS - 1
        assert ids(await receive(queue)) == []
        clock.time += 2
        assert ids(await receive(queue)) == ["1"]

    run(tmp_path, test)


@pytest.mark.parametrize("settle", ["ack", "extend", "retry_later"])
def test_a_loan_that_has_ended_settles_nothing(tmp_path: Path, settle: str) -> None:
    async def test(queue: TableQueue, clock: SteppedClock) -> None:
        await queue.put(message("1"))
        [late] = await receive(queue)
        clock.time += LOAN_SECONDS + 1
        [second] = await receive(queue)
        match settle:
            case "ack":
                await late.ack()
            case "extend":
                late.extend(1_000)
            case _:
                await late.retry_later(message("1"), 1_000)
        clock.time += LOAN_SECONDS + 1
        assert ids(await receive(queue)) == ["1"]
        assert second.message.id == "1"

    run(tmp_path, test)


def test_a_retry_is_stored_with_its_count_and_comes_when_due(tmp_path: Path) -> None:
    async def test(queue: TableQueue, clock: SteppedClock) -> None:
        await queue.put(message("1"))
        [delivery] = await receive(queue)
        retried = Message("1", "a", b"1", 1_000.0, retries=1)
        await delivery.retry_later(retried, 60)
        clock.time += 59
        assert ids(await receive(queue)) == []
        clock.time += 2
        [again] = await receive(queue)
        assert again.message == retried

    run(tmp_path, test)


def test_a_delayed_message_comes_when_due(tmp_path: Path) -> None:
    async def test(queue: TableQueue, clock: SteppedClock) -> None:
        await queue.put(message("1"), delay=5)
        assert ids(await receive(queue)) == []
        clock.time += 5
        assert ids(await receive(queue)) == ["1"]

    run(tmp_path, test)


def test_a_backlog_of_one_group_does_not_hold_up_another(tmp_path: Path) -> None:
    async def test(queue: TableQueue, clock: SteppedClock) -> None:
        for number in range(50):
            await queue.put(message(f"busy-{number}", "busy"))
            clock.time += 0.001
        await queue.put(message("rare", "rare"))
        received = ids(await receive(queue, 4))
        assert "rare" in received
        assert "busy-0" in received

    run(tmp_path, test)


def test_no_more_is_received_than_asked_for(tmp_path: Path) -> None:
    async def test(queue: TableQueue, _clock: SteppedClock) -> None:
        for number in range(5):
            await queue.put(message(str(number)))
        first, second = await receive(queue, 2), await receive(queue, 10)
        assert (len(first), len(second)) == (2, 3)
        assert sorted(ids([*first, *second])) == ["0", "1", "2", "3", "4"]

    run(tmp_path, test)


def test_receivers_at_the_same_time_share_what_there_is(tmp_path: Path) -> None:
    async def test(queue: TableQueue, _clock: SteppedClock) -> None:
        for number in range(40):
            await queue.put(message(str(number)))
        found: list[str] = []

        async def take() -> None:
            found.extend(ids(await receive(queue)))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(take)
        assert sorted(found, key=int) == [str(number) for number in range(40)]

    run(tmp_path, test)


def test_a_receiver_that_waits_wakes_when_a_message_is_put(tmp_path: Path) -> None:
    async def test(queue: TableQueue, _clock: SteppedClock) -> None:
        found: list[str] = []

        async def wait() -> None:
            found.extend(ids(list(await queue.receive(1, wait=30))))

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await queue.put(message("1"))
        assert found == ["1"]

    run(tmp_path, test)


def test_a_receiver_waits_no_longer_than_asked(tmp_path: Path) -> None:
    async def test(queue: TableQueue, _clock: SteppedClock) -> None:
        with anyio.fail_after(5):
            assert await queue.receive(1, wait=0.05) == []

    run(tmp_path, test)


def test_messages_survive_the_end_of_the_process(tmp_path: Path) -> None:
    async def put(queue: TableQueue, _clock: SteppedClock) -> None:
        await queue.put(message("1"))

    async def get(queue: TableQueue, _clock: SteppedClock) -> None:
        assert ids(await receive(queue)) == ["1"]

    run(tmp_path, put)
    run(tmp_path, get)


def test_loans_end_with_the_node_and_delays_do_not(tmp_path: Path) -> None:
    async def lend(queue: TableQueue, _clock: SteppedClock) -> None:
        await queue.put(message("lent"))
        await queue.put(message("retried", "b"))
        for delivery in await receive(queue):
            if delivery.message.id == "retried":
                await delivery.retry_later(delivery.message, 30)

    async def start(queue: TableQueue, clock: SteppedClock) -> None:
        assert ids(await receive(queue)) == ["lent"]
        clock.time += 30
        assert ids(await receive(queue)) == ["retried"]

    run(tmp_path, lend)
    run(tmp_path, start)
