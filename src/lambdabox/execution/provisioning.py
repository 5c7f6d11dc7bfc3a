"""Keep a number of environments of one deployment initialised ahead of its events.

Each unit of provisioned concurrency has a place, and each place a task that fills it: start
an environment, lend it to the pool, and when it is over (its process has ended, or the
place is no longer wanted and its event is) close it and start another. A start that fails
is not repeated at once, and while starts fail only one place at a time tries. Nor is an
environment replaced at once that ends before it was of any use.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import field

import anyio

from lambdabox.domain.provisioned import INIT_FAILURE, INTERNAL_FAILURE, Provisioned, retry_delay
from lambdabox.domain.values import dataclass
from lambdabox.execution.environment import Environment
from lambdabox.execution.runtime_process import Spawn
from lambdabox.ports import Clock

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Place:
    is_wanted: bool = True
    environment: Environment | None = None
    was_used: bool = False
    losses: int = 0
    """How many environments in a row ended before their first event had."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its environment has to go, or its task has to look again."""


class Provisioning:
    """The places of one pool."""

    def __init__(
        self,
        clock: Clock,
        spawn: Spawn,
        limiter: anyio.CapacityLimiter,
        *,
        make: Callable[[], Environment],
        make_room: Callable[[], None],
        lend: Callable[[Environment], None],
        take_back: Callable[[Environment], bool],
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._limiter = limiter
        self._make = make
        self._make_room = make_room
        self._lend = lend
        self._take_back = take_back
        """Returns whether the environment was idle; a busy one comes back by `freed`."""
        self._places: list[_Place] = []
        self._lent: dict[Environment, _Place] = {}
        self._failures = 0
        self._failure: str | None = None
        self._trying = asyncio.Lock()

    @property
    def status(self) -> Provisioned:
        wanted = [place for place in self._places if place.is_wanted]
        return Provisioned(
            requested=len(wanted),
            allocated=sum(place.environment is not None for place in wanted),
            available=sum(place.environment in self._lent for place in wanted),
            failure=self._failure if wanted else None,
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept, nor on its way out."""
        return not self._places

    @property
    def starting(self) -> int:
        """How many environments are in their init, which the pool does not know yet."""
        held = sum(place.environment is not None for place in self._places)
        return held - len(self._lent)

    def resize(self, count: int) -> None:
        """Keep `count` environments from now on. Busy ones that are too many end their event."""
        wanted = [place for place in self._places if place.is_wanted]
        for place in wanted[count:]:
            self._dismiss(place)
        for _ in range(count - len(wanted)):
            place = _Place()
            self._places.append(place)
            self._spawn(self._keep, place)

    def freed(self, environment: Environment) -> bool:
        """An environment that was lent has ended its event. Return whether it may have another."""
        place = self._lent.get(environment)
        if place is None:
            return True
        place.was_used = True
        if place.is_wanted and environment.is_running:
            return True
        self._end(place)
        return False

    def lost(self, environment: Environment) -> None:
        """The process of an environment has ended. A busy one learns of it by itself."""
        place = self._lent.get(environment)
        if place is not None and self._take_back(environment):
            self._end(place)

    def failed(self, environment: Environment) -> bool:
        """The platform failed with a lent environment. Return whether it is one of these."""
        place = self._lent.get(environment)
        if place is not None:
            self._end(place)
        return place is not None

    def _dismiss(self, place: _Place) -> None:
        place.is_wanted = False
        environment = place.environment
        if environment not in self._lent or self._take_back(environment):
            self._end(place)

    def _end(self, place: _Place) -> None:
        if place.environment is not None:
            self._lent.pop(place.environment, None)
        place.over.set()

    async def _keep(self, place: _Place) -> None:
        try:
            while place.is_wanted:
                place.over.clear()
                if place.losses:
                    await self._pause(place, retry_delay(place.losses))
                await self._fill(place)
                if place.environment is None:
                    continue
                if place.is_wanted and place.environment.is_running:
                    self._lent[place.environment] = place
                    place.was_used = False
                    self._lend(place.environment)
                    await place.over.wait()
                    place.losses = 0 if place.was_used else place.losses + 1
                await self._empty(place)
        finally:
            self._places.remove(place)

    async def _fill(self, place: _Place) -> None:
        """Start an environment for the place. While starts fail, only one is tried at a time."""
        if not self._failures:
            await self._try(place)
            return
        async with self._trying:
            if not self._failures:
                return  # others are started at once again, and so is this one
            await self._pause(place, retry_delay(self._failures))
            await self._try(place, after_failures=True)

    async def _try(self, place: _Place, *, after_failures: bool = False) -> None:
        async with self._limiter:
            if not place.is_wanted or (self._failures and not after_failures):
                return
            environment = place.environment = self._make()
            self._make_room()
            failure = INTERNAL_FAILURE
            try:
                if await environment.initialize() is None:
                    self._failures, self._failure = 0, None
                    return
                failure = INIT_FAILURE
            except Exception:
                # The platform could not start it (a full disk, say), which may pass.
                log.exception("an environment could not be provisioned")
            except BaseException:
                await environment.close()
                raise
        self._failures += 1
        self._failure = failure
        await self._empty(place)

    async def _empty(self, place: _Place) -> None:
        environment, place.environment = place.environment, None
        if environment is not None:
            await environment.close()

    async def _pause(self, place: _Place, seconds: float) -> None:
        """Wait, but no longer than the place is wanted."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancel_after, seconds, tasks.cancel_scope)
            await place.over.wait()
            tasks.cancel_scope.cancel()

    async def _cancel_after(self, seconds: float, scope: anyio.CancelScope) -> None:
        await self._clock.sleep(seconds)
        scope.cancel()
