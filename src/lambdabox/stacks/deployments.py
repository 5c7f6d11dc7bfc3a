"""Run what is being done with stacks, each in a task of its own, for as long as the node runs.

What a stack is to become is stored before anybody is told of it. So what a node leaves when it
ends, whichever way, is found in the store by the next one, and brought to an end.
"""

import logging
from contextlib import nullcontext

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.domain.stacks import Stack
from lambdabox.ports import Clock
from lambdabox.stacks.deployment import Deployment
from lambdabox.stacks.progress import Progress
from lambdabox.stacks.records import StackRecords
from lambdabox.stacks.workshop import Workshop

log = logging.getLogger(__name__)

KEEP_DELETED_SECONDS = 90 * 86_400.0
AT_ONCE = 8


class Deployments:
    def __init__(self, records: StackRecords, workshop: Workshop, clock: Clock) -> None:
        self._records = records
        self._workshop = workshop
        self._clock = clock
        self._tasks: TaskGroup | None = None
        self._running: dict[str, anyio.Event] = {}
        """By the stack's id, with what is set when it is not running any more."""
        self._again: set[str] = set()
        """Those of the running that were asked for again."""
        self._limit = anyio.CapacityLimiter(AT_ONCE)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Go on with what an earlier node has begun, then run what is begun, until cancelled."""
        unfinished = [stack for stack in await self._records.all() if stack.is_busy]
        await self._forget_old()
        async with anyio.create_task_group() as self._tasks:
            for stack in unfinished:
                self._begin(stack, is_resumed=True)
            task_status.started()
            await anyio.sleep_forever()

    def begin(self, stack: Stack) -> None:
        """Do what the status of a stack, which has just been stored, says."""
        self._begin(stack, is_resumed=False)

    async def wait(self, stack: Stack, seconds: float) -> None:
        """Return when nothing is being done with a stack any more, or after `seconds`."""
        running = self._running.get(stack.id)
        if running is not None:
            with anyio.move_on_after(seconds):
                await running.wait()

    def _begin(self, stack: Stack, *, is_resumed: bool) -> None:
        if self._tasks is None:
            raise RuntimeError("deployments do not run yet")
        if stack.id in self._running:
            self._again.add(stack.id)
        else:
            self._running[stack.id] = anyio.Event()
            self._tasks.start_soon(self._run, stack, is_resumed)

    async def _run(self, stack: Stack, is_resumed: bool) -> None:
        latest: Stack | None = stack
        try:
            while latest is not None and latest.is_busy:
                await self._run_once(latest, is_resumed=is_resumed)
                is_resumed = False
                if stack.id not in self._again:
                    break
                self._again.discard(stack.id)
                latest = await self._records.get(stack.scope, stack.id)
        finally:
            self._running.pop(stack.id).set()

    async def _run_once(self, stack: Stack, *, is_resumed: bool) -> None:
        progress = Progress(stack, self._records, self._clock)
        try:
            deployment = Deployment(progress, self._records, self._workshop)
            # The stack that waits for a nested one has a place already: waiting for another
            # could be for ever.
            async with self._limit if stack.parent_id is None else nullcontext():
                await deployment.run(is_resumed=is_resumed)
        except Exception:
            # A supervisor: other stacks must not suffer. This one is left for its owner to
            # delete, or to try again with.
            log.exception("the deployment of %s has failed", stack.id)
            await self._give_up(progress)

    async def _give_up(self, progress: Progress) -> None:
        """Give a stack a status in which something can be done with it."""
        status = progress.stack.status.removesuffix("_IN_PROGRESS")
        failed = (
            status.removesuffix("_CLEANUP") if status.endswith("_CLEANUP") else f"{status}_FAILED"
        )
        try:
            await progress.status(failed, "An internal error occurred. Look in the node's log.")
        except Exception:
            # The store cannot be written: the next node goes on.
            log.exception("%s stays unfinished", progress.stack.id)

    async def _forget_old(self) -> None:
        oldest = self._clock.now() - KEEP_DELETED_SECONDS
        for stack in await self._records.all_deleted():
            if (stack.deleted or stack.created) < oldest:
                await self._records.forget(stack)
