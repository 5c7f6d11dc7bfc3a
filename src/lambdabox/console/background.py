"""What pages begin and do not wait for, in tasks that end with the node.

Apart from the pages, which are built when somebody first asks: these tasks belong to the
console's `serve`, which runs from the node's start.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.domain.errors import ServiceException


class Background:
    """Takes tasks while `serve` runs."""

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold tasks until cancelled, which ends them."""
        try:
            async with anyio.create_task_group() as self._tasks:
                task_status.started()
                await anyio.sleep_forever()
        finally:
            self._tasks = None

    def spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        """Begin, and return at once. What is begun must not raise. Raises ServiceException."""
        if self._tasks is None:
            raise ServiceException("The node is stopping, and begins nothing new.")
        self._tasks.start_soon(work, *arguments)
