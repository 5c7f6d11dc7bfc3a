"""The environments of one deployment: reuse, cold starts, and an orderly end.

A request takes an idle environment, the most recently used first, or waits for the first
that becomes free: one that is being started for it, or one that another request gives
back sooner. Starting is bounded for the whole node, so that a burst of cold starts does
not slow down what already runs.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

import anyio

from lambdabox.domain.errors import (
    ServiceException,
    SnapStartException,
    SnapStartTimeoutException,
)
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType, Invocation, Outcome
from lambdabox.domain.provisioned import Provisioned
from lambdabox.domain.values import dataclass
from lambdabox.execution.environment import Environment
from lambdabox.execution.process_owner import Workshop
from lambdabox.execution.provisioning import Provisioning
from lambdabox.execution.snap_start import SnapStartEnvironment
from lambdabox.execution.snapshots import Snapshot
from lambdabox.execution_ports import ResponseSink

STOPPED = "The node was stopped before the function had answered."


@dataclass(frozen=True, slots=True)
class Starts:
    """How environments come to be on this node."""

    limiter: anyio.CapacityLimiter
    ahead: anyio.CapacityLimiter
    """For provisioned ones, whose init may take minutes while a request waits for its own."""
    new_id: Callable[[], str]
    make_room: Callable[[], None]
    """Called before each start: lets an idle environment go if the node is full."""


SETTLE_SECONDS = 0.05


class Pool:
    def __init__(
        self,
        deployment: Deployment,
        workshop: Workshop,
        starts: Starts,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.deployment = deployment
        self._snapshot = snapshot
        self._workshop = workshop
        self._starts = starts
        self._idle: list[Environment] = []
        self._reserve: list[Environment] = []
        """Idle too, but provisioned: used first, and never let go for being idle."""
        self._provisioning: Provisioning | None = None
        self._waiting: deque[asyncio.Future[Environment]] = deque()
        self._busy: set[Environment] = set()
        self._starting = 0
        self._retired = False
        self._closed = False
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def size(self) -> int:
        count = len(self._idle) + len(self._reserve) + len(self._busy) + self._starting
        return count + self._provisioned_starting

    @property
    def _provisioned_starting(self) -> int:
        return self._provisioning.starting if self._provisioning is not None else 0

    @property
    def states(self) -> Mapping[str, int]:
        """How many environments do what."""
        return {
            "busy": len(self._busy),
            "idle": len(self._idle),
            "provisioned": len(self._reserve),
            "starting": self._starting + self._provisioned_starting,
        }

    @property
    def is_needed(self) -> bool:
        """Whether it has environments, or is to have some again."""
        return bool(self.size) or self.provisioned.requested > 0

    @property
    def provisioned(self) -> Provisioned:
        return self._provisioning.status if self._provisioning is not None else Provisioned()

    @property
    def idle_since(self) -> float | None:
        """When the environment idle for longest was last used; None if none is idle."""
        return self._idle[0].last_used if self._idle else None

    async def run(self, invocation: Invocation, sink: ResponseSink | None = None) -> Outcome:
        """Run an event on an environment of its own. Raises only if the platform fails."""
        environment = self._take_idle() or await self._await_environment()
        try:
            outcome = await environment.run(invocation, sink)
        except BaseException:
            # The platform failed half-way, so nothing is known about the environment.
            self._busy.discard(environment)
            is_kept = self._provisioning is not None and self._provisioning.failed(environment)
            if not self._closed and not is_kept:
                self._workshop.spawn(environment.close)
            self._note_size()
            raise
        if self._closed:
            raise ServiceException(STOPPED)
        return outcome

    def begin(self, invocation: Invocation, done: Callable[[Outcome | Exception], None]) -> bool:
        """Run an event if an environment waits for one; return whether it does.

        `done` is told, once, what `run` would have returned or raised.
        """
        idle = self._reserve or self._idle
        if not idle or not idle[-1].begin(invocation, partial(self._finish, done)):
            return False
        self._lend(idle)
        return True

    def _finish(self, done: Callable[[Outcome | Exception], None], outcome: Outcome) -> None:
        done(ServiceException(STOPPED) if self._closed else outcome)

    def provision(self, count: int) -> None:
        """Keep `count` environments initialised ahead of any event."""
        if self._provisioning is None:
            self._provisioning = Provisioning(
                self._workshop.clock,
                self._workshop.spawn,
                self._starts.ahead,
                make=self._make_provisioned,
                make_room=self._starts.make_room,
                lend=self._hand_over,
                take_back=self._take_back,
            )
        self._provisioning.resize(count)

    def retire(self) -> None:
        """Let idle environments go, and busy ones as soon as they are free."""
        self._retired = True
        if self._provisioning is not None:
            self._provisioning.resize(0)
        self.reap(before=float("inf"))
        self._note_size()

    def reap(self, *, before: float) -> None:
        """Let go of environments that have been idle since `before`, by the loop's clock."""
        while self._idle and self._idle[0].last_used < before:
            self._workshop.spawn(self._idle.pop(0).close)
        self._note_size()

    def freeze(self, *, before: float) -> None:
        """Freeze what has been idle since `before`, by the loop's clock.

        Those idle for longest come first, and are frozen already.
        """
        for idle in (self._idle, self._reserve):
            for environment in reversed(idle):
                if environment.is_frozen:
                    break
                if environment.last_used < before:
                    environment.freeze()

    def evict(self) -> None:
        """Let go of the environment that has been idle for longest."""
        if self._idle:
            self._workshop.spawn(self._idle.pop(0).close)
        self._note_size()

    async def emptied(self) -> None:
        """Return once no event runs and none waits."""
        await self._emptied.wait()

    async def close(self) -> None:
        """End every environment. A request that still waits or runs is told that the node stops."""
        self._closed = True
        while self._waiting:
            self._fail_one(ServiceException(STOPPED))
        async with anyio.create_task_group() as tasks:
            for environment in (*self._idle, *self._reserve, *self._busy):
                tasks.start_soon(environment.close)
            if self._provisioning is not None:
                self._provisioning.resize(0)
        self._idle.clear()

    def _take_idle(self) -> Environment | None:
        idle = self._reserve or self._idle
        return self._lend(idle) if idle else None

    def _lend(self, idle: list[Environment]) -> Environment:
        environment = idle.pop()
        if environment.is_frozen:
            environment.thaw()
        self._busy.add(environment)
        self._emptied.clear()
        return environment

    async def _await_environment(self) -> Environment:
        waiter: asyncio.Future[Environment] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._emptied.clear()
        self._starting += 1
        self._workshop.spawn(self._grow)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._free(waiter.result())
            raise

    async def _grow(self) -> None:
        """Start one environment for whoever waits by then."""
        try:
            if any(environment.has_answered for environment in self._busy):
                # About to be free: a custom runtime takes milliseconds to ask for its next
                # event, and a client that sends one after another should find it warm.
                await self._workshop.clock.sleep(SETTLE_SECONDS)
            async with self._starts.limiter:
                if not self._waiting:
                    return
                self._starts.make_room()
                environment = self._make()
                await self._initialize(environment)
        except (SnapStartException, SnapStartTimeoutException) as exc:
            self._fail_one(exc)  # the function's fault, and told in its log
        except Exception as exc:
            # The platform could not start it: a request that waits is told, as the cause of
            # its failure, and whoever else waits has a start of its own.
            self._fail_one(exc)
            raise
        else:
            if self._closed:
                await environment.close()
            else:
                self._hand_over(environment)
        finally:
            self._starting -= 1
            self._note_size()

    def _make(self) -> Environment:
        id = self._starts.new_id()
        if self._snapshot is None:
            return Environment(self.deployment, self._workshop, id=id, on_free=self._free)
        return SnapStartEnvironment(
            self.deployment, self._workshop, id=id, on_free=self._free, snapshot=self._snapshot
        )

    def _make_provisioned(self) -> Environment:
        return Environment(
            self.deployment,
            self._workshop,
            id=self._starts.new_id(),
            on_free=self._free,
            on_lost=self._lost,
            initialization_type=InitializationType.PROVISIONED,
        )

    def _lost(self, environment: Environment) -> None:
        if self._provisioning is not None:
            self._provisioning.lost(environment)

    def _take_back(self, environment: Environment) -> bool:
        """Let go of a provisioned environment if it is idle."""
        if environment not in self._reserve:
            return False
        self._reserve.remove(environment)
        return True

    async def _initialize(self, environment: Environment) -> None:
        try:
            await environment.initialize()
        except BaseException:
            await environment.close()
            raise

    def _free(self, environment: Environment) -> None:
        """An environment can take another event."""
        self._busy.discard(environment)
        if self._provisioning is None or self._provisioning.freed(environment):
            self._hand_over(environment)
        self._note_size()

    def _hand_over(self, environment: Environment) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._busy.add(environment)
                waiter.set_result(environment)
                return
        if self._closed:
            return
        if environment.is_provisioned:
            self._reserve.append(environment)
            return
        if self._retired:
            self._workshop.spawn(environment.close)
            return
        environment.last_used = asyncio.get_running_loop().time()
        self._idle.append(environment)

    def _fail_one(self, exc: Exception) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(exc)
                return

    def _note_size(self) -> None:
        if not self._busy and not self._waiting and not self._starting:
            self._emptied.set()
