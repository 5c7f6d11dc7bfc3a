"""CloudFormation, from when it is needed: most nodes have no stacks, and start without.

What it takes is imported and built when somebody first speaks to CloudFormation, or at the
start where there are stacks to go on with.
"""

from importlib import import_module
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from lambdabox.api.request import Request
from lambdabox.api.serialize import WireResponse
from lambdabox.ports import Cipher
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.stacks.answers import AnswerBox

if TYPE_CHECKING:
    from lambdabox.server.cloudformation import CloudFormationParts
    from lambdabox.server.lambda_api import Core


class CloudFormation:
    """A front end. `functions_url` is the node's address as functions reach it."""

    def __init__(self, core: "Core", cipher: Cipher, functions_url: str) -> None:
        self._core = core
        self._cipher = cipher
        self._parts: CloudFormationParts | None = None
        self._wanted = anyio.Event()
        self._ready = anyio.Event()
        self.answers = AnswerBox(functions_url)
        """Where functions that back custom resources put what they have to say."""

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run deployments from when there is something to deploy, until cancelled."""
        if not await AccountRecords(self._core.state, "stack", dict).all():
            task_status.started()
            task_status = anyio.TASK_STATUS_IGNORED
            await self._wanted.wait()
        await anyio.to_thread.run_sync(import_module, "lambdabox.server.cloudformation")
        from lambdabox.server.cloudformation import build_cloudformation

        self._parts = build_cloudformation(self._core, self._cipher, self.answers)
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._parts.deployments.serve)
            self._ready.set()
            task_status.started()

    async def answer(self, request: Request) -> WireResponse:
        self._wanted.set()
        await self._ready.wait()
        if self._parts is None:
            raise RuntimeError("CloudFormation is ready and has not been built")
        return await self._parts.front_end.answer(request)
