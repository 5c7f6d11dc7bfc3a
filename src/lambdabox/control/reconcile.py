"""Bring what was asked for into effect.

Control operations only store their intent: a version that is Pending, or an update in
progress. This loop, and nothing else, makes the code ready and moves such a version on,
at once after the request and again after a crash, because the intent is in the database.
"""

import logging
import uuid
from dataclasses import replace

import anyio
from anyio.abc import TaskStatus

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.errors import ApiError
from lambdabox.domain.functions import (
    READY,
    Deployment,
    State,
    Status,
    UpdateStatus,
    Version,
)
from lambdabox.ports import Bus, Executor
from lambdabox.repositories.functions import FunctionRepository

FUNCTION_CHANGED = "function-changed"
CONCURRENT = 4
RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class Reconciler:
    def __init__(self, repository: FunctionRepository, executor: Executor, bus: Bus) -> None:
        self._repository = repository
        self._executor = executor
        self._bus = bus
        self._wake = anyio.Event()
        self._has_unused_code = False

    def wake(self) -> None:
        """Something was stored that waits to be settled."""
        self._wake.set()

    def retire(self, key: FunctionKey, number: str | None = None) -> None:
        """A function, or one of its versions, is gone: let its environments go."""
        self._executor.retire(key, number=number)
        self._bus.publish(FUNCTION_CHANGED, key.arn)
        self._has_unused_code = True
        self._wake.set()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Settle what waits, now and whenever woken, until cancelled."""
        self._wake.set()
        task_status.started()
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            try:
                await self._settle_all()
                await self._sweep()
            except Exception:
                # The store is in trouble (a full disk, say). What waits is in the database and
                # is settled later; an end of this loop would be the end of the node.
                log.exception("settling what waits failed; trying again")
                with anyio.move_on_after(RETRY_SECONDS):
                    await self._wake.wait()
                self._wake.set()

    async def _sweep(self) -> None:
        """Remove what is prepared and used no more. Only while nothing is being prepared."""
        if not self._has_unused_code:
            return
        self._has_unused_code = False  # first, because more may be deleted meanwhile
        try:
            await self._executor.sweep(await self._repository.digests())
        except BaseException:
            self._has_unused_code = True
            raise

    async def _settle_all(self) -> None:
        limiter = anyio.CapacityLimiter(CONCURRENT)

        async def settle(version: Version) -> None:
            async with limiter:
                await self._settle(version)

        async with anyio.create_task_group() as tasks:
            for version in await self._repository.unsettled():
                tasks.start_soon(settle, version)

    async def _settle(self, version: Version) -> None:
        deployment = Deployment(
            str(uuid.uuid4()), version.key, version.number, version.settings, version.code
        )
        try:
            await self._executor.prepare(deployment)
        except ApiError as exc:
            log.warning("%s: the code cannot be used: %s", deployment.arn, exc.message)
            await self._finish(version, _failed(version, exc), version.deployment)
        except Exception:
            # One version's trouble (a full disk, say) must not stop the others, nor this loop.
            log.exception("%s: preparing the code failed", deployment.arn)
            error = ApiError("The code could not be unpacked on this node; see its log.")
            await self._finish(version, _failed(version, error), version.deployment)
        else:
            await self._finish(version, READY, deployment)
            self._executor.retire(version.key, number=version.number, keep=deployment.id)
            self._has_unused_code |= version.deployment is not None

    async def _finish(
        self, version: Version, status: Status, deployment: Deployment | None
    ) -> None:
        """Store the end of the transition, unless the version was changed or deleted meanwhile."""

        def apply(current: Version) -> Version:
            if current.revision_id != version.revision_id:
                return current
            revision = str(uuid.uuid4())
            return replace(current, status=status, deployment=deployment, revision_id=revision)

        await self._repository.change(version.key, version.number, apply)
        self._bus.publish(FUNCTION_CHANGED, version.key.arn)


def _failed(version: Version, error: ApiError) -> Status:
    code = "InvalidZipFileException"
    if version.status.state is State.PENDING:
        return Status(State.FAILED, error.message, code, UpdateStatus.FAILED, error.message, code)
    return Status(
        State.ACTIVE,
        update=UpdateStatus.FAILED,
        update_reason=error.message,
        update_reason_code=code,
    )
