"""A node that accepts events and runs none of them, to measure accepting by itself.

Takes the command line of `lambdabox`.
"""

from typing import Any

import anyio
from anyio.abc import TaskStatus

from lambdabox.cli.main import run
from lambdabox.invoke.consumer import AsyncConsumer


async def serve(self: Any, *, task_status: TaskStatus[None]) -> None:  # noqa: ARG001  # the method's
    task_status.started()
    await anyio.sleep_forever()


AsyncConsumer.serve = serve  # type: ignore[method-assign, assignment]  # that is the point here

if __name__ == "__main__":
    run()
