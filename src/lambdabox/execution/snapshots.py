"""Snapshots of SnapStart deployments: one initialised process that others are forked from.

A deployment's init runs once, in a template: an environment that stays at its restore
point. Where a process cannot be forked (the driver has no means, its runtime speaks HTTP,
init left threads running) there is no template, each environment runs an init of its own
through the same restore point, and the function's log says so once.

A template that is missing is made again in the background, and whoever needs an
environment meanwhile runs an init of its own: waiting would take as long and may be in vain.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import anyio
import orjson

from lambdabox.domain import limits
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType
from lambdabox.execution import faults
from lambdabox.execution.process_owner import ProcessOwner, Workshop
from lambdabox.execution.runtime_process import RuntimeProcess, Surroundings
from lambdabox.execution.verdicts import InitFailure
from lambdabox.execution_ports import SnapshotFailedError
from lambdabox.ports import CannotCloneError, Exit, SandboxSpec
from lambdabox.runtime.extensions import ExtensionFailure
from lambdabox.runtime.launch import LaunchError
from lambdabox.runtime.session import Error, Expired, State

STEADY_SECONDS = 60.0
"""A template that ends sooner is made again only when an environment is needed."""
IDLE_SECONDS = 24 * 3600.0
"""For how long a template is kept that nothing starts from."""
REFUSALS = 2
"""Templates in a row that cannot be forked until their deployment is taken for unfit: one
may have been about to end."""
REASON_CHARS = 1_000

log = logging.getLogger(__name__)


def init_seconds(deployment: Deployment) -> float:
    """How long a SnapStart deployment's init may take, its before-snapshot hooks included."""
    return max(limits.SNAPSHOT_INIT_SECONDS, float(deployment.settings.timeout_seconds))


class Template(ProcessOwner):
    """A process that stays at its restore point, for environments to begin there."""

    def __init__(self, deployment: Deployment, workshop: Workshop, *, id: str) -> None:
        super().__init__(
            deployment,
            workshop,
            id=id,
            initialization_type=InitializationType.SNAP_START,
        )

    async def initialize(self) -> None:
        """Run init and the before-snapshot hooks. Raises SnapshotFailedError."""
        self._open_telemetry()
        self._books.init_started("snap-start")
        started = self._clock.monotonic()
        failure = await self._boot(init_seconds(self.deployment))
        duration_ms = (self._clock.monotonic() - started) * 1000
        if failure is not None:
            self._books.init_failed("snap-start", failure, duration_ms)
            raise SnapshotFailedError(reason_of(failure, self.deployment))
        self._running.drain()
        self._running.limit_cpu()
        self._books.init_succeeded(duration_ms, "snap-start")

    def obstacle(self) -> str | None:
        """Return why no environment can begin here, None if one can."""
        session = self._running.session
        if session.state is not State.SNAPSHOT:
            return "its runtime did not stop at a restore point"
        if not session.can_be_forked:
            return "its runtime waits at the HTTP Runtime API"
        if self._running.extensions:
            return "it has extensions, which run beside the process that would be copied"
        return None

    def say_unusable(self, reason: str) -> None:
        self._books.snapshot_unusable(reason)

    async def clone(self, spec: SandboxSpec, surroundings: Surroundings) -> RuntimeProcess:
        """Raises CannotCloneError."""
        if self._process is None:
            raise CannotCloneError("its template has ended")
        return await self._process.clone(spec, surroundings)

    async def ended(self) -> None:
        """Return once the process is there no more. It is never restored itself."""
        if self._process is not None:
            await self._process.session.restored()


class Snapshot:
    """One deployment's, for as long as the deployment is in effect. `close` ends it."""

    def __init__(
        self, deployment: Deployment, workshop: Workshop, new_id: Callable[[], str]
    ) -> None:
        self.deployment = deployment
        self._workshop = workshop
        self._clock = workshop.clock
        self._new_id = new_id
        self._template: Template | None = None
        self._making: Template | None = None
        self._taking = asyncio.Lock()
        self._is_rebuilding = False
        self._is_closed = False
        self._refusals = 0
        driver = workshop.driver
        self._obstacle = (
            None if driver.can_clone else f"the isolation driver '{driver.name}' copies no process"
        )
        self._obstacle_is_told = False
        self._taken_at = self._last_used = self._clock.monotonic()

    @property
    def has_template(self) -> bool:
        return self._template is not None

    async def take(self) -> None:
        """Run init once, and keep the result if it can be forked. Raises SnapshotFailedError."""
        async with self._taking:
            if self._template is not None:
                return
            template = self._making = Template(
                self.deployment, self._workshop, id=f"template-{self._new_id()}"
            )
            try:
                await template.initialize()
                if self._is_closed:
                    raise SnapshotFailedError("The version was deleted meanwhile.")
                self._obstacle = self._obstacle or template.obstacle()
                if self._obstacle is None:
                    self._keep(template)
                elif (reason := self.obstacle_to_tell()) is not None:
                    template.say_unusable(reason)
            finally:
                self._making = None
                if self._template is not template:
                    with anyio.CancelScope(shield=True):
                        await template.close()

    async def clone(
        self, make_spec: Callable[[], Awaitable[SandboxSpec]], surroundings: Surroundings
    ) -> RuntimeProcess:
        """Return a process at its restore point, in a sandbox of its own.

        Raises CannotCloneError where the environment is to run an init of its own.
        """
        template = self._template
        self._last_used = self._clock.monotonic()
        if template is None:
            self.rebuild()
            raise CannotCloneError(self._obstacle or "its template is being made")
        try:
            process = await template.clone(await make_spec(), surroundings)
        except CannotCloneError as exc:
            if self._template is template:
                self._refuse(str(exc), is_final=exc.is_final)
            raise
        self._refusals = 0
        return process

    def obstacle_to_tell(self) -> str | None:
        """Return why each environment runs an init of its own; once, for the function's log."""
        if self._obstacle is None or self._obstacle_is_told:
            return None
        self._obstacle_is_told = True
        return self._obstacle

    def rebuild(self) -> None:
        """Make the template in the background, unless it cannot be had."""
        if self._obstacle is None and not self._is_rebuilding:
            self._is_rebuilding = True
            self._workshop.spawn(self.take_again)

    async def take_again(self) -> None:
        """As `take`, where nobody waits for the result."""
        try:
            if self._obstacle is None and not self._is_closed:
                await self.take()
        except SnapshotFailedError as exc:
            log.warning("%s: its template was not made again: %s", self.deployment.arn, exc)
        finally:
            self._is_rebuilding = False

    def rest(self) -> None:
        """Let the template go if nothing has begun from it for a day."""
        if self._clock.monotonic() - self._last_used > IDLE_SECONDS:
            self._let_go()

    async def close(self) -> None:
        """Give everything up. May be called twice."""
        self._is_closed = True
        template, self._template = self._template or self._making, None
        if template is not None:
            await template.close()

    def _keep(self, template: Template) -> None:
        self._template = template
        self._taken_at = self._last_used = self._clock.monotonic()
        self._workshop.spawn(self._watch, template)

    async def _watch(self, template: Template) -> None:
        await template.ended()
        if self._template is not template:
            return  # let go on purpose
        log.warning("%s: its template ended", self.deployment.arn)
        self._let_go()
        if self._clock.monotonic() - self._taken_at > STEADY_SECONDS:
            self.rebuild()

    def _refuse(self, reason: str, *, is_final: bool) -> None:
        self._let_go()
        self._refusals += 1
        if self._refusals < REFUSALS and not is_final:
            self.rebuild()
        else:
            self._obstacle = reason

    def _let_go(self) -> None:
        template, self._template = self._template, None
        if template is not None:
            self._workshop.spawn(template.close)


def reason_of(failure: InitFailure, deployment: Deployment) -> str:
    """Say in a sentence why init failed. What the function says of it is bounded."""
    match failure:
        case Error(payload, category):
            text = _error_text(payload, category)
        case LaunchError() | ExtensionFailure():
            text = failure.message
        case Exit():
            text = faults.exit_reason(failure)
        case Expired():
            text = f"it took longer than {init_seconds(deployment):.0f} seconds"
    return f"The function's initialization failed: {text}"[:REASON_CHARS]


def _error_text(payload: bytes, category: str) -> str:
    try:
        error = orjson.loads(payload)
        kind, message = str(error["errorType"]), str(error["errorMessage"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return category
    prefix = "" if category in (kind, "Runtime.Unknown") else f"{category}: "
    return f"{prefix}{kind}: {message}"
