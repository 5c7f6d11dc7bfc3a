"""Run what is due: schedules, kept durably, each fired once for each time that it is due.

What a schedule causes is durable before its next time is stored, so a crash between the two
fires it again and nothing is lost. A node that was down fires what it missed once, not once
for each time, and not at all when that is longer ago than a day.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf

import anyio
from anyio.abc import TaskStatus

from lambdabox.domain.arn import Scope
from lambdabox.domain.schedules import next_due, parse_expression, zone_of
from lambdabox.events.alarm import Alarm
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords

log = logging.getLogger(__name__)

MISSED_SECONDS = 86_400.0
"""What was due longer ago is not caught up with."""
ON_TIME_SECONDS = 60.0
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Timing:
    """When something is due."""

    expression: str
    zone: str = "UTC"
    begin: float = 0.0
    end: float | None = None
    window_minutes: int = 0
    """How much later than due it may be fired."""


@dataclass(frozen=True, slots=True)
class Timer:
    """Something that is due, by its ARN, and when it is due next."""

    arn: str
    timing: Timing
    due: float

    @property
    def fires_at(self) -> float:
        """Within the window, always at the same place for the same time."""
        if not self.timing.window_minutes:
            return self.due
        digest = hashlib.sha256(f"{self.arn} {self.due}".encode()).digest()
        return self.due + int.from_bytes(digest[:4]) % (self.timing.window_minutes * 60)


@dataclass(frozen=True, slots=True)
class Firing:
    """A time at which something is due. `is_last` if it never is again."""

    arn: str
    scope: Scope
    due: float
    is_last: bool


Fire = Callable[[Firing], Awaitable[None]]
"""Returns once what is due survives a crash."""


class Timers:
    def __init__(self, state: Database, clock: Clock) -> None:
        self._records = AccountRecords(state, "timers", Timer)
        self._clock = clock
        self._timers: dict[str, tuple[Scope, Timer]] = {}
        self._owners: dict[str, Fire] = {}
        self._alarm = Alarm(clock)

    def owned_by(self, service: str, fire: Fire) -> None:
        """Call `fire` for what has an ARN of this service."""
        self._owners[service] = fire

    def has(self, arn: str) -> bool:
        """Whether something is ever due again."""
        return arn in self._timers

    async def set(self, scope: Scope, arn: str, timing: Timing) -> None:
        """Keep when something is due from now on. What is due already stays due.

        Raises BadExpression.
        """
        known = self._timers.get(arn)
        if known is not None and known[1].timing == timing:
            return
        due = _next(timing, self._clock.now())
        if due is None:
            await self.remove(scope, arn)
            return
        await self._store(scope, Timer(arn, timing, due))

    async def remove(self, scope: Scope, arn: str) -> None:
        if self._timers.pop(arn, None) is not None:
            await self._records.change(scope, _id(arn), lambda _before: None)

    async def load(self) -> None:
        """Learn what was kept, for owners to go on from. Nothing is fired before `serve`."""
        for held in await self._records.all():
            self._timers.setdefault(held.record.arn, (held.scope, held.record))

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fire until cancelled. Owners know by then what they keep."""
        await self.load()
        task_status.started()
        while True:
            due = [timer for _, timer in self._timers.values() if timer.fires_at <= self._now()]
            for timer in sorted(due, key=lambda each: each.due):
                await self._fire(timer)
            if not due:
                moments = (timer.fires_at for _, timer in self._timers.values())
                await self._alarm.wait(min(moments, default=inf))

    async def _fire(self, timer: Timer) -> None:
        scope, known = self._timers.get(timer.arn, (None, None))
        if scope is None or known != timer:
            return  # changed meanwhile
        late = self._now() - timer.fires_at
        # On time, nothing is left out, whatever the window; after that, once is enough.
        after = timer.due if late <= ON_TIME_SECONDS else self._now()
        following = _next(timer.timing, after)
        try:
            if late <= MISSED_SECONDS:
                owner = self._owners[timer.arn.split(":")[2]]
                await owner(Firing(timer.arn, scope, timer.due, is_last=following is None))
            else:
                log.warning("%s was due more than a day ago, and is not caught up with", timer.arn)
            if self._timers.get(timer.arn) != (scope, timer):
                return
            if following is None:
                await self.remove(scope, timer.arn)
            else:
                await self._store(scope, replace(timer, due=following))
        except Exception:
            # The store is in trouble, a full disk say; the other timers must go on.
            log.exception("%s was not fired and will be tried again", timer.arn)
            await self._clock.sleep(RETRY_SECONDS)

    async def _store(self, scope: Scope, timer: Timer) -> None:
        await self._records.change(scope, _id(timer.arn), lambda _before: timer)
        self._timers[timer.arn] = (scope, timer)
        self._alarm.ring()

    def _now(self) -> float:
        return self._clock.now()


def check_timing(timing: Timing) -> None:
    """Raise BadExpression if nothing could be due by this."""
    parse_expression(timing.expression)
    zone_of(timing.zone)


def _next(timing: Timing, after: float) -> float | None:
    zone = zone_of(timing.zone)
    due = next_due(parse_expression(timing.expression), after, zone=zone, begin=timing.begin)
    return None if due is None or (timing.end is not None and due > timing.end) else due


def _id(arn: str) -> str:
    """Short enough for a record's id, whatever the ARN's length."""
    return hashlib.sha256(arn.encode()).hexdigest()
