"""Bring what was asked for into effect.

Control operations only store their intent: a version that is Pending, or an update in
progress. This loop, and nothing else, makes the code ready and moves such a version on,
at once after the request and again after a crash, because the intent is in the database.

A version with SnapStart also needs its snapshot. Its init may take minutes, so that goes on
beside the loop, and other versions do not wait for it.
"""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.errors import (
    ApiError,
    KMSAccessDeniedException,
    KMSException,
    KMSInvalidStateException,
    KMSNotFoundException,
)
from lambdabox.domain.functions import (
    READY,
    Deployment,
    State,
    Status,
    UpdateStatus,
    Version,
)
from lambdabox.execution_ports import Executor, SnapshotFailedError
from lambdabox.ports import Bus
from lambdabox.repositories.functions import FunctionRepository

FUNCTION_CHANGED = "function-changed"
CONCURRENT = 4
RETRY_SECONDS = 5.0
BAD_CODE = "InvalidZipFileException"
KMS_CODES: Mapping[type[KMSException], str] = {
    KMSAccessDeniedException: "KMSKeyAccessDenied",
    KMSInvalidStateException: "InvalidStateKMSKey",
    KMSNotFoundException: "KMSKeyNotFound",
}

log = logging.getLogger(__name__)


class Reconciler:
    def __init__(self, repository: FunctionRepository, executor: Executor, bus: Bus) -> None:
        self._repository = repository
        self._executor = executor
        self._bus = bus
        self._wake = anyio.Event()
        self._has_unused_code = False
        self._background: TaskGroup | None = None
        self._taking_snapshots: set[str] = set()
        self._snapshot_limiter = anyio.CapacityLimiter(CONCURRENT)

    def wake(self) -> None:
        """Something was stored that waits to be settled."""
        self._wake.set()

    def retire(self, key: FunctionKey, number: str | None = None) -> None:
        """A function, or one of its versions, is gone: let its environments go."""
        self._executor.retire(key, number=number)
        self._bus.publish(FUNCTION_CHANGED, key.arn)
        self._has_unused_code = True
        self._wake.set()

    def release(self) -> None:
        """Content may be used no more: sweep it away if so."""
        self._has_unused_code = True
        self._wake.set()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Settle what waits, now and whenever woken, until cancelled."""
        self._wake.set()
        async with anyio.create_task_group() as self._background:
            task_status.started()
            self._background.start_soon(self._rebuild_snapshots)
            await self._settle_forever()

    async def _settle_forever(self) -> None:
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
                if version.has_snapshot:
                    (self._background or tasks).start_soon(self._settle_with_snapshot, version)
                else:
                    tasks.start_soon(settle, version)

    async def _settle_with_snapshot(self, version: Version) -> None:
        """As `_settle`; once at a time, though the loop finds the version again meanwhile."""
        if version.revision_id in self._taking_snapshots:
            return
        self._taking_snapshots.add(version.revision_id)
        try:
            async with self._snapshot_limiter:
                await self._settle(version)
        except Exception:
            # The store is in trouble, as in `serve`: settled later, and the others must go on.
            log.exception("%s: settling failed; trying again", version.key.arn)
            await anyio.sleep(RETRY_SECONDS)
            self._wake.set()
        finally:
            self._taking_snapshots.discard(version.revision_id)

    async def _rebuild_snapshots(self) -> None:
        try:
            self._executor.rebuild_snapshots(await self._repository.with_snapshots())
        except Exception:
            # Each comes back when its first environment is needed.
            log.exception("the snapshots of published versions were not taken again")

    async def _settle(self, version: Version) -> None:
        deployment = Deployment(
            str(uuid.uuid4()), version.key, version.number, version.settings, version.code
        )
        try:
            await self._executor.prepare(deployment)
            if deployment.has_snapshot:
                await self._executor.take_snapshot(deployment)
        except SnapshotFailedError as exc:
            log.info("%s: %s", deployment.arn, exc)
            self._executor.drop_snapshot(deployment)
            await self._finish(version, _failed(str(exc), "FunctionError", version), None)
        except KMSException as exc:
            log.warning("%s: %s", deployment.arn, exc.message)
            code = KMS_CODES[type(exc)]
            await self._finish(version, _failed(exc.message, code, version), version.deployment)
        except ApiError as exc:
            log.warning("%s: the code cannot be used: %s", deployment.arn, exc.message)
            await self._finish(version, _failed(exc.message, BAD_CODE, version), version.deployment)
        except Exception:
            # One version's trouble (a full disk, say) must not stop the others, nor this loop.
            log.exception("%s: preparing the code failed", deployment.arn)
            reason = "The code could not be unpacked on this node; see its log."
            await self._finish(version, _failed(reason, BAD_CODE, version), version.deployment)
        else:
            is_in_effect = await self._finish(version, READY, deployment)
            if deployment.has_snapshot and not is_in_effect:
                self._executor.drop_snapshot(deployment)
            self._executor.retire(version.key, number=version.number, keep=deployment.id)
            self._has_unused_code |= version.deployment is not None

    async def _finish(
        self, version: Version, status: Status, deployment: Deployment | None
    ) -> bool:
        """Store the end of the transition, unless the version was changed or deleted meanwhile.

        Returns whether it was stored.
        """
        revision = str(uuid.uuid4())

        def apply(current: Version) -> Version:
            if current.revision_id != version.revision_id:
                return current
            return replace(current, status=status, deployment=deployment, revision_id=revision)

        stored = await self._repository.change(version.key, version.number, apply)
        self._bus.publish(FUNCTION_CHANGED, version.key.arn)
        return stored is not None and stored.revision_id == revision


def _failed(reason: str, code: str, version: Version) -> Status:
    if version.status.state is State.PENDING:
        return Status(State.FAILED, reason, code, UpdateStatus.FAILED, reason, code)
    return Status(
        State.ACTIVE, update=UpdateStatus.FAILED, update_reason=reason, update_reason_code=code
    )
