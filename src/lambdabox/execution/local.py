"""The executor that runs deployments in environments on this node."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.functions import Deployment, LayerUse
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.provisioned import Provisioned
from lambdabox.domain.values import dataclass
from lambdabox.execution.pool import Pool, Starts
from lambdabox.execution.process_owner import Workshop
from lambdabox.execution.snapshots import Snapshot
from lambdabox.execution_ports import ResponseSink
from lambdabox.ports import Clock, IsolationDriver, Journal
from lambdabox.runtime.launch import Launcher
from lambdabox.runtime.staging import Staging
from lambdabox.telemetry.payloads import PayloadStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    max_environments: int
    concurrent_starts: int
    idle_seconds: float
    drain_seconds: float
    freezes: bool = True
    """Whether environments are frozen between events."""


FREEZE_SECONDS = 0.05
"""How long an environment is idle before it is frozen: back-to-back calls never find it so."""


class LocalExecutor:
    """An `execution_ports.Executor`. Runs only while `serve` does."""

    def __init__(
        self,
        driver: IsolationDriver,
        launcher: Launcher,
        staging: Staging,
        journal: Journal,
        clock: Clock,
        *,
        root: Path,
        limits: ExecutionLimits,
        payloads: PayloadStore | None = None,
    ) -> None:
        self._driver = driver
        self._launcher = launcher
        self._staging = staging
        self._journal = journal
        self._clock = clock
        self._root = root
        self._limits = limits
        self.payloads = payloads or PayloadStore(0, since=0.0)
        self._pools: dict[str, Pool] = {}
        self._retired: set[Pool] = set()
        self._snapshots: dict[str, Snapshot] = {}
        self._starts = Starts(
            anyio.CapacityLimiter(limits.concurrent_starts),
            ahead=anyio.CapacityLimiter(max(limits.concurrent_starts // 2, 1)),
            new_id=lambda: uuid.uuid4().hex,
            make_room=self._make_room,
        )
        self._workshop: Workshop | None = None

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold environments until cancelled; then let running events end, and end the rest."""
        stopping = anyio.Event()
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._hold, stopping)
            if self._limits.freezes:
                tasks.start_soon(self._freeze_forever)
            task_status.started()
            try:
                await self._reap_forever()
            finally:
                stopping.set()

    async def _hold(self, stopping: anyio.Event, *, task_status: TaskStatus[None]) -> None:
        # Shielded: while running events end, what is spawned for them must go on too.
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                with self._opened(tasks):
                    task_status.started()
                    await stopping.wait()
                    await self._drain()
                    tasks.cancel_scope.cancel()

    async def run(
        self, deployment: Deployment, invocation: Invocation, sink: ResponseSink | None = None
    ) -> Outcome:
        pool = self._pools.get(deployment.id) or self._add_pool(deployment)
        return await pool.run(invocation, sink)

    def provision(self, deployment: Deployment, count: int) -> None:
        pool = self._pools.get(deployment.id)
        if pool is None and not count:
            return
        (pool or self._add_pool(deployment)).provision(count)

    def provisioned(self, deployment: Deployment) -> Provisioned:
        pool = self._pools.get(deployment.id)
        return pool.provisioned if pool is not None else Provisioned()

    def begin(
        self,
        deployment: Deployment,
        invocation: Invocation,
        done: Callable[[Outcome | Exception], None],
    ) -> bool:
        pool = self._pools.get(deployment.id)
        return pool is not None and pool.begin(invocation, done)

    async def prepare(self, deployment: Deployment) -> None:
        await self._staging.stage(deployment.code.digest)
        for layer in deployment.settings.layers:
            await self._stage(layer)
        await self._launcher.prepare(deployment)

    async def take_snapshot(self, deployment: Deployment) -> None:
        await self._snapshot(deployment).take()

    def rebuild_snapshots(self, deployments: Sequence[Deployment]) -> None:
        if self._driver.can_clone:
            self._open_workshop.spawn(self._rebuild, deployments)

    def drop_snapshot(self, deployment: Deployment) -> None:
        snapshot = self._snapshots.pop(deployment.id, None)
        if snapshot is not None:
            self._open_workshop.spawn(snapshot.close)

    def retire(
        self, key: FunctionKey, *, number: str | None = None, keep: str | None = None
    ) -> None:
        def is_meant(deployment: Deployment) -> bool:
            is_named = deployment.key == key and number in (None, deployment.version)
            return is_named and deployment.id != keep

        for snapshot in list(self._snapshots.values()):
            if is_meant(snapshot.deployment):
                self.drop_snapshot(snapshot.deployment)
        for id, pool in list(self._pools.items()):
            if not is_meant(pool.deployment):
                continue
            del self._pools[id]
            pool.retire()
            self._retired.add(pool)
        self._retired = {pool for pool in self._retired if pool.is_needed}

    async def sweep(self, keep: Collection[str]) -> None:
        running = (*self._pools.values(), *self._retired)
        used = [pool.deployment.digests for pool in running if pool.is_needed]
        snapshots = [snapshot.deployment.digests for snapshot in self._snapshots.values()]
        await self._staging.sweep(set(keep).union(*used, *snapshots))

    async def _stage(self, layer: LayerUse) -> None:
        if not layer.digest:
            return
        try:
            await self._staging.stage(layer.digest)
        except InvalidParameterValueException as exc:
            message = f"Layer version {layer.arn}: {exc.message}"
            raise InvalidParameterValueException(message) from exc

    @property
    def environment_count(self) -> int:
        return sum(pool.size for pool in self._pools.values())

    @property
    def environment_states(self) -> Mapping[str, int]:
        """How many environments are busy, idle, provisioned (and idle), or starting."""
        states: dict[str, int] = {"busy": 0, "idle": 0, "provisioned": 0, "starting": 0}
        for pool in (*self._pools.values(), *self._retired):
            for state, count in pool.states.items():
                states[state] += count
        return states

    def _add_pool(self, deployment: Deployment) -> Pool:
        snapshot = self._snapshot(deployment) if deployment.has_snapshot else None
        pool = Pool(deployment, self._open_workshop, self._starts, snapshot)
        self._pools[deployment.id] = pool
        return pool

    @property
    def _open_workshop(self) -> Workshop:
        if self._workshop is None:
            raise RuntimeError("the executor is not running")
        return self._workshop

    @contextmanager
    def _opened(self, tasks: anyio.abc.TaskGroup) -> Iterator[None]:
        def spawn(function: Callable[..., Awaitable[None]], *arguments: object) -> None:
            tasks.start_soon(_guarded, function, arguments)

        self._workshop = Workshop(
            self._driver,
            self._launcher,
            self._journal,
            self._clock,
            spawn,
            self._root,
            self.payloads,
        )
        try:
            yield
        finally:
            self._workshop = None

    def _snapshot(self, deployment: Deployment) -> Snapshot:
        snapshot = self._snapshots.get(deployment.id)
        if snapshot is None:
            snapshot = Snapshot(deployment, self._open_workshop, self._starts.new_id)
            self._snapshots[deployment.id] = snapshot
        return snapshot

    async def _rebuild(self, deployments: Sequence[Deployment]) -> None:
        """One after another: a node that has just started has invocations to run, too."""
        for deployment in deployments:
            await self._snapshot(deployment).take_again()

    async def _reap_forever(self) -> None:
        while True:
            await self._clock.sleep(self._limits.idle_seconds / 4)
            before = anyio.current_time() - self._limits.idle_seconds
            for id, pool in list(self._pools.items()):
                pool.reap(before=before)
                if not pool.is_needed:
                    del self._pools[id]
            for snapshot in self._snapshots.values():
                snapshot.rest()

    async def _freeze_forever(self) -> None:
        while True:
            await self._clock.sleep(FREEZE_SECONDS)
            before = anyio.current_time() - FREEZE_SECONDS
            for pool in self._pools.values():
                pool.freeze(before=before)

    def _make_room(self) -> None:
        """Let the environment that has been idle for longest go, if the node is full."""
        if self.environment_count <= self._limits.max_environments:
            return
        idle = [(since, pool) for pool in self._pools.values() if (since := pool.idle_since)]
        if idle:
            _since, pool = min(idle, key=lambda entry: entry[0])
            pool.evict()

    async def _drain(self) -> None:
        pools = [*self._pools.values(), *self._retired]
        with anyio.move_on_after(self._limits.drain_seconds) as scope:
            for pool in pools:
                await pool.emptied()
        if scope.cancelled_caught:
            log.warning("stopped while functions were still running")
        async with anyio.create_task_group() as tasks:
            for pool in pools:
                tasks.start_soon(pool.close)
            for snapshot in self._snapshots.values():
                tasks.start_soon(snapshot.close)


async def _guarded(function: Callable[..., Awaitable[None]], arguments: tuple[object, ...]) -> None:
    try:
        await function(*arguments)
    except Exception:
        # One environment's trouble; the task group holds every other one and must go on.
        log.exception("%s failed", getattr(function, "__qualname__", function))
