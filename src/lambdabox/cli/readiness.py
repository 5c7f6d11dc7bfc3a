"""Wait until a function can be invoked, as every client of Lambda must after a change.

botocore's own waiters look once a second or less often; a node here is ready within
milliseconds, so this one starts fast and slows down.
"""

import time
from typing import Any

from lambdabox.cli.client import Node
from lambdabox.cli.output import CommandError

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
DEADLINE_SECONDS = 300.0


def wait_until_ready(node: Node, name: str) -> dict[str, Any]:
    """Return the configuration once it is Active and its last update Successful.

    Raises CommandError with the node's reason if either failed.
    """
    shown = wait_until_settled(node, name)
    if shown.get("State") == "Failed":
        raise CommandError(f"{name} cannot run: {shown.get('StateReason', 'no reason given')}")
    if shown.get("LastUpdateStatus") == "Failed":
        reason = shown.get("LastUpdateStatusReason", "no reason given")
        raise CommandError(f"the update of {name} failed: {reason}")
    return shown


def wait_until_settled(
    node: Node, name: str, *, deadline_seconds: float = DEADLINE_SECONDS
) -> dict[str, Any]:
    """Return the configuration once nothing about it is in progress, well or not."""
    deadline = time.monotonic() + deadline_seconds
    pause = _FIRST_PAUSE
    while True:
        shown = node.functions("GetFunctionConfiguration", FunctionName=name)
        state, update = shown.get("State"), shown.get("LastUpdateStatus")
        if state != "Pending" and update != "InProgress":
            return shown
        if time.monotonic() > deadline:
            raise CommandError(
                f"{name} is still {state}, its last update {update}, "
                f"after {deadline_seconds:.0f} seconds"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
