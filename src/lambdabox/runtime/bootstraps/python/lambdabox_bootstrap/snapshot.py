"""The restore point: where a SnapStart function's init ends and each environment begins.

The process stops here after its before-snapshot hooks. Either it goes on itself, or a
fork server has set `fork_point` and forks of it go on, each with a channel of its own.
Whichever it is must not share random numbers with the others, nor their log.
"""

import os
import sys

from . import channel, output

TYPE_CHECKING = False  # typing's own costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = tuple[Callable[..., object], tuple[object, ...], dict[str, object]]

BEFORE_SNAPSHOT_ERROR, BEFORE_SNAPSHOT_STATUS = "Runtime.BeforeSnapshotError", 64
AFTER_RESTORE_ERROR, AFTER_RESTORE_STATUS = "Runtime.AfterRestoreError", 65

HOOKS = "snapshot_restore_py"

fork_point: "Callable[[int], int | None] | None" = None
"""Called with the channel's descriptor, after frame S. Returns in each fork that is made
there, with the descriptor of the fork's own channel, its own output being on descriptors 1
and 2; and in this process, with None, once there is something to read on its channel."""


def run_before_hooks() -> None:
    """Newest first. Raises what a hook raises."""
    hooks = _registered("get_before_snapshot")
    while hooks:
        function, args, kwargs = hooks.pop()
        function(*args, **kwargs)


def run_after_hooks() -> None:
    """In the order of registration. Raises what a hook raises."""
    for function, args, kwargs in _registered("get_after_restore"):
        function(*args, **kwargs)


def wait_at_restore_point(node: channel.Channel, log: output.Log) -> bool:
    """Tell the node that init is done; return True where life goes on, False if it does not."""
    node.send(channel.SNAPSHOT)
    descriptor = None if fork_point is None else fork_point(node.descriptor)
    if descriptor is not None:
        node.move_to(descriptor)
        log.follow(1)
    variables = node.receive_restore()
    if variables is None:
        return False
    os.environ.update(variables)
    return True


def reseed() -> None:
    """Give the generators that modules share a state of this process's own."""
    for module in ("random", "numpy.random"):
        # Not imported for it: what was not loaded has no state yet.
        seed = getattr(sys.modules.get(module), "seed", None)
        if callable(seed):
            seed()


def _registered(getter: str) -> "list[Hook]":
    """Return the hooks of whichever module the function has imported: ours or its own copy."""
    found = getattr(sys.modules.get(HOOKS), getter, None)
    return found() if callable(found) else []
