"""Schedules fire when they are due, once, and go on after a crash."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from support.clock import ManualClock

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import Scope
from lambdabox.events.timers import Firing, Timers, Timing
from lambdabox.repositories import tables

pytestmark = pytest.mark.anyio

SCOPE = Scope("111111111111", "eu-central-1")
ARN = "arn:aws:scheduler:eu-central-1:111111111111:schedule/default/nightly"
OTHER = "arn:aws:scheduler:eu-central-1:111111111111:schedule/default/other"
HOUR = 3_600.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "state.db", "state", (tables.metadata,)) as database:
        yield database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start=1_800_000_000.0)  # a whole hour: 2027-01-15T08:00:00Z


class Fired:
    """What was fired, and whether firing works."""

    def __init__(self) -> None:
        self.firings: list[Firing] = []
        self.is_broken = False
        self._fired = anyio.Event()

    async def fire(self, firing: Firing) -> None:
        if self.is_broken:
            raise OSError("No space left on device")
        self.firings.append(firing)
        self._fired.set()

    def dues(self) -> Sequence[float]:
        return [firing.due for firing in self.firings]


@asynccontextmanager
async def running(state: SqliteDatabase, clock: ManualClock, fired: Fired) -> AsyncIterator[Timers]:
    """Timers for the block; what comes after it is as after a crash."""
    timers = Timers(state, clock)
    timers.owned_by("scheduler", fired.fire)
    async with anyio.create_task_group() as tasks:
        await tasks.start(timers.serve)
        await clock.sleeper()
        yield timers
        tasks.cancel_scope.cancel()


async def pass_time(clock: ManualClock, seconds: float) -> None:
    """Let time pass, and what is due be done."""
    clock.advance(seconds)
    await clock.sleeper()


async def test_what_is_due_is_fired_each_time(state: SqliteDatabase, clock: ManualClock) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("cron(30 * * * ? *)"))
        await pass_time(clock, 1_799)
        assert fired.firings == []
        for _ in range(3):
            await pass_time(clock, HOUR)
    assert fired.firings == [
        Firing(ARN, SCOPE, start + 1_800 + number * HOUR, is_last=False) for number in range(3)
    ]


async def test_a_rate_keeps_its_beat(state: SqliteDatabase, clock: ManualClock) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("rate(5 minutes)", begin=start))
        for _ in range(4):
            await pass_time(clock, 301)
    assert fired.dues() == [start + 300 * number for number in range(1, 5)]


async def test_what_is_due_once_is_gone_afterwards(
    state: SqliteDatabase, clock: ManualClock
) -> None:
    fired = Fired()
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("at(2027-01-15T09:00:00)"))
        await pass_time(clock, HOUR)
        await pass_time(clock, 100 * HOUR)
    assert [firing.is_last for firing in fired.firings] == [True]
    async with running(state, clock, fired):
        await pass_time(clock, HOUR)
    assert len(fired.firings) == 1


async def test_nothing_is_due_after_the_end(state: SqliteDatabase, clock: ManualClock) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        timing = Timing("rate(1 hour)", begin=start + HOUR, end=start + 2.5 * HOUR)
        await timers.set(SCOPE, ARN, timing)
        for _ in range(5):
            await pass_time(clock, HOUR)
    assert [(f.due - start, f.is_last) for f in fired.firings] == [(HOUR, False), (2 * HOUR, True)]


async def test_a_crash_neither_forgets_nor_repeats(
    state: SqliteDatabase, clock: ManualClock
) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("cron(0 * * * ? *)"))
        await pass_time(clock, HOUR)
    async with running(state, clock, fired) as timers:
        # Whoever owns it says again what is kept already.
        await timers.set(SCOPE, ARN, Timing("cron(0 * * * ? *)"))
        await pass_time(clock, 60)
        assert fired.dues() == [start + HOUR]
        await pass_time(clock, HOUR)
    assert fired.dues() == [start + HOUR, start + 2 * HOUR]


async def test_what_was_missed_is_fired_once(state: SqliteDatabase, clock: ManualClock) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("rate(1 minute)", begin=start))
    clock.advance(10 * HOUR + 5)
    async with running(state, clock, fired):
        await pass_time(clock, 60)
    assert fired.dues() == [start + 60, start + 10 * HOUR + 60]


async def test_what_was_missed_long_ago_is_not_fired(
    state: SqliteDatabase, clock: ManualClock
) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("cron(0 9 * * ? *)"))
        await timers.set(SCOPE, OTHER, Timing("at(2027-01-15T09:00:00)"))
    clock.advance(48 * HOUR)
    async with running(state, clock, fired):
        assert fired.firings == []
        await pass_time(clock, HOUR)
    assert fired.dues() == [start + 49 * HOUR]


async def test_a_changed_schedule_is_due_anew(state: SqliteDatabase, clock: ManualClock) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("cron(10 * * * ? *)"))
        await timers.set(SCOPE, ARN, Timing("cron(20 * * * ? *)"))
        await timers.set(SCOPE, OTHER, Timing("cron(15 * * * ? *)"))
        await timers.remove(SCOPE, OTHER)
        await pass_time(clock, 1_205)
    assert fired.dues() == [start + 1_200]


async def test_one_that_cannot_be_fired_is_tried_again(
    state: SqliteDatabase, clock: ManualClock
) -> None:
    fired, start = Fired(), clock.now()
    fired.is_broken = True
    async with running(state, clock, fired) as timers:
        await timers.set(SCOPE, ARN, Timing("at(2027-01-15T09:00:00)"))
        await pass_time(clock, HOUR)
        fired.is_broken = False
        await pass_time(clock, 5)
    assert fired.dues() == [start + HOUR]


async def test_a_window_moves_the_firing_and_not_the_time(
    state: SqliteDatabase, clock: ManualClock
) -> None:
    fired, start = Fired(), clock.now()
    async with running(state, clock, fired) as timers:
        for number in range(20):
            timing = Timing("at(2027-01-15T09:00:00)", window_minutes=10)
            await timers.set(SCOPE, f"{ARN}{number}", timing)
        await pass_time(clock, HOUR + 300)
        assert 0 < len(fired.firings) < 20
        for _ in range(60):  # one by one, as they come
            await pass_time(clock, 5)
    assert fired.dues() == [start + HOUR] * 20
    assert len({firing.arn for firing in fired.firings}) == 20
