"""One timer for event after event, that never rings for an event that has ended."""

import asyncio

import anyio
import pytest

from lambdabox.execution.deadline import Deadline

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Rung:
    def __init__(self) -> None:
        self.times: list[float] = []
        self._some = anyio.Event()

    def __call__(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self._some.set()

    async def once(self) -> None:
        with anyio.fail_after(10):
            await self._some.wait()


async def test_it_expires_once() -> None:
    rung = Rung()
    deadline = Deadline(rung)
    deadline.set(0.001)
    await rung.once()
    assert len(rung.times) == 1
    assert deadline._timer is None


async def test_the_timer_of_an_event_that_has_ended_serves_the_next() -> None:
    rung = Rung()
    deadline = Deadline(rung)
    deadline.set(0.005)
    timer = deadline._timer
    deadline.clear()
    deadline.set(0.05)
    due = asyncio.get_running_loop().time() + 0.05
    assert deadline._timer is timer
    await rung.once()
    assert len(rung.times) == 1
    assert rung.times[0] >= due - 0.002


async def test_a_sooner_deadline_is_kept() -> None:
    rung = Rung()
    deadline = Deadline(rung)
    deadline.set(3_600)
    deadline.set(0.001)
    await rung.once()
    assert len(rung.times) == 1


@pytest.mark.parametrize("end", ["clear", "close"])
async def test_it_does_not_expire_for_an_event_that_has_ended(end: str) -> None:
    rung, later = Rung(), Rung()
    deadline = Deadline(rung)
    deadline.set(0.001)
    getattr(deadline, end)()
    Deadline(later).set(0.01)
    await later.once()
    assert rung.times == []
    assert deadline._timer is None
