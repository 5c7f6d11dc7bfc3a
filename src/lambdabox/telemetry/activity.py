"""How busy functions are: the figures of a list of them, without adding up a month each time.

Totals by the hour are kept for each account and region that somebody looks at. A look adds
what was written since the last one, so that a node with millions of records answers as fast
as one with a few.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil

import anyio

from lambdabox.domain.arn import Scope
from lambdabox.ports import Clock, Database
from lambdabox.repositories.log_groups import DAY_MS
from lambdabox.repositories.usage_activity import (
    HOUR_MS,
    HourTotal,
    read_news,
    recent_durations,
)
from lambdabox.telemetry.billing import price

HOURS = 24
SAMPLE = 500
"""From how many invocations the 95th percentile of durations is taken: the last ones."""
KEPT_DAYS = 32
_MAX_SCOPES = 100


@dataclass(frozen=True, slots=True)
class Activity:
    """What one function did in the last 24 hours, and what this month would cost on AWS."""

    invocations: tuple[int, ...]
    """By the hour, the last one being the current."""
    errors: tuple[int, ...]
    last_started: float | None
    """Seconds since the epoch; None if it did not run for a month."""
    p95_ms: float | None
    cost_usd: Decimal


NONE = Activity((0,) * HOURS, (0,) * HOURS, None, None, Decimal(0))

_Size = tuple[str, int, int]


@dataclass(slots=True)
class _Hour:
    invocations: int = 0
    errors: int = 0
    sizes: dict[_Size, list[int]] = field(default_factory=dict)
    """Requests, billed milliseconds and restores of each."""


@dataclass(slots=True)
class _Board:
    """What is known of one account and region."""

    last_id: int = 0
    hours: dict[str, dict[int, _Hour]] = field(default_factory=dict)
    last_started_ms: dict[str, int] = field(default_factory=dict)
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    def add(self, total: HourTotal) -> None:
        name = total.function_name
        hour = self.hours.setdefault(name, {}).setdefault(total.hour, _Hour())
        hour.invocations += total.invocations
        hour.errors += total.errors
        size = (total.architecture, total.memory_mib, total.ephemeral_storage_mib)
        used = hour.sizes.setdefault(size, [0, 0, 0])
        for at, amount in enumerate((total.invocations, total.billed_ms, total.restores)):
            used[at] += amount
        self.last_started_ms[name] = max(self.last_started_ms.get(name, 0), total.last_started_ms)

    def forget_before(self, hour: int) -> None:
        for name, hours in list(self.hours.items()):
            for old in [each for each in hours if each < hour]:
                del hours[old]
            if not hours:
                del self.hours[name]
                self.last_started_ms.pop(name, None)


class ActivityBoards:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._boards: OrderedDict[Scope, _Board] = OrderedDict()

    async def look(self, scope: Scope, names: Collection[str]) -> Mapping[str, Activity]:
        """Return the activity of each function named, as far as the journal is written."""
        now_ms = int(self._clock.now() * 1000)
        board = await self._refreshed(scope, now_ms)
        current = now_ms // HOUR_MS
        recent = range(current - HOURS + 1, current + 1)
        ran = [name for name in names if any(hour in recent for hour in board.hours.get(name, ()))]
        today = now_ms // DAY_MS
        durations = await recent_durations(
            self._database, scope, ran, days=(today, today - 1), limit=SAMPLE
        )
        month = _month_start_hour(now_ms)
        return {
            name: _activity(board, name, recent, month, durations.get(name, [])) for name in names
        }

    async def _refreshed(self, scope: Scope, now_ms: int) -> _Board:
        board = self._boards.setdefault(scope, _Board())
        self._boards.move_to_end(scope)
        if len(self._boards) > _MAX_SCOPES:
            self._boards.popitem(last=False)
        async with board.lock:
            since_ms = now_ms - KEPT_DAYS * DAY_MS
            news = await read_news(self._database, scope, after_id=board.last_id, since_ms=since_ms)
            for total in news.totals:
                board.add(total)
            board.last_id = news.last_id
            board.forget_before(since_ms // HOUR_MS)
        return board


def percentile(values: Collection[float], share: float) -> float | None:
    """Return the smallest value that `share` of all are not above; None of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def _activity(
    board: _Board, name: str, recent: range, month: int, durations: Collection[float]
) -> Activity:
    hours = board.hours.get(name)
    if not hours:
        return NONE
    none = _Hour()
    cost = Decimal(0)
    for hour, totals in hours.items():
        if hour >= month:
            for (architecture, memory, storage), (
                requests,
                billed,
                restores,
            ) in totals.sizes.items():
                cost += price(architecture, memory, storage, requests, billed, restores=restores)
    return Activity(
        invocations=tuple(hours.get(hour, none).invocations for hour in recent),
        errors=tuple(hours.get(hour, none).errors for hour in recent),
        last_started=board.last_started_ms[name] / 1000,
        p95_ms=percentile(durations, 0.95),
        cost_usd=cost,
    )


def _month_start_hour(now_ms: int) -> int:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(start.timestamp() * 1000) // HOUR_MS
