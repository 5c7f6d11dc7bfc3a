"""The seams between whoever asks for invocations and what runs them.

Apart from `ports.py`, which they do not need: that is where technology is chosen, and this
is where one part of the platform ends and another begins. Docstrings are the contracts.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lambdabox.domain.arn import FunctionKey
    from lambdabox.domain.concurrency import Share
    from lambdabox.domain.functions import Deployment
    from lambdabox.domain.invocations import Invocation, Outcome
    from lambdabox.domain.provisioned import Provisioned


class SnapshotFailedError(Exception):
    """The function's init failed where a snapshot was to be taken. The message says how."""


class ConsumerGoneError(Exception):
    """Whoever a response was streamed to has gone."""


class ResponseSink(Protocol):
    """Where a response goes as the function makes it.

    The next call follows when the last has returned, and while it has not, the function
    cannot send more: a slow consumer slows the function down. Both methods may raise
    ConsumerGoneError; nothing is sent from then on, but the function runs to its end.
    """

    async def begin(self, content_type: str) -> None:
        """The response begins. Not called for a function that fails before."""

    async def write(self, data: bytes) -> None:
        """Take more of the response; return when there is room for what follows."""


class Executor(Protocol):
    """Runs deployments in execution environments."""

    async def run(
        self, deployment: "Deployment", invocation: "Invocation", sink: ResponseSink | None = None
    ) -> "Outcome":
        """Run to an outcome. Raise only if the platform failed, never for the function.

        With a sink, what a function answers goes there, streamed or not; the outcome, whose
        payload is then empty, says that it was all. An error is in the outcome alone, even
        if the response had begun.
        """

    def begin(
        self,
        deployment: "Deployment",
        invocation: "Invocation",
        done: Callable[["Outcome | Exception"], None],
    ) -> bool:
        """Run if that needs no waiting for an environment; return whether it does.

        `done` is told, once and later, what `run` would have returned or raised. It must not
        raise. If False is returned nothing has happened.
        """

    def provision(self, deployment: "Deployment", count: int) -> None:
        """Keep `count` environments of `deployment` initialised ahead; 0 lets them go.

        Returns at once. They are replaced when they end, and used before any other; what
        they cannot take runs on demand. `retire` lets them go too.
        """

    def provisioned(self, deployment: "Deployment") -> "Provisioned":
        """Return where that stands."""

    async def prepare(self, deployment: "Deployment") -> None:
        """Make what `deployment` needs ready: its code and layers unpacked.

        Raises InvalidParameterValueException if its code cannot be used.
        """

    async def take_snapshot(self, deployment: "Deployment") -> None:
        """Run the init of a SnapStart deployment once, for all its environments.

        Raises SnapshotFailedError if the function's init fails.
        """

    def rebuild_snapshots(self, deployments: Sequence["Deployment"]) -> None:
        """Take their snapshots again in the background: a node that restarted has none."""

    def drop_snapshot(self, deployment: "Deployment") -> None:
        """Give up what `take_snapshot` made, for a deployment that never came into effect."""

    def retire(
        self, key: "FunctionKey", *, number: str | None = None, keep: str | None = None
    ) -> None:
        """Let go of the function's deployments (of one version, if given) once their requests end.

        The deployment whose id is `keep` stays.
        """

    async def sweep(self, keep: Collection[str]) -> None:
        """Remove what `prepare` made for code and layers not in `keep`, and that nothing runs."""


class ConcurrencyLedger(Protocol):
    """Counts running invocations against the account's and the functions' limits."""

    def lease(self, deployment: "Deployment") -> AbstractContextManager[None]:
        """Hold one unit for the block, or raise TooManyRequestsException at once."""

    def acquire(self, deployment: "Deployment") -> bool:
        """Take one unit without a block, if there is one. Exactly one `release` gives it back.

        A refusal is not counted as a throttle: `lease` says why, and counts.
        """

    def release(self, deployment: "Deployment", *, is_unused: bool = False) -> None:
        """Give back what `acquire` took; unused, as if nobody had asked."""

    def allot(self, key: "FunctionKey", share: "Share") -> None:
        """Let a function have this share, by version, from now on; what runs goes on."""

    def running_of(self, key: "FunctionKey") -> int:
        """Return how many invocations of a function run."""

    def is_switched_off(self, key: "FunctionKey") -> bool:
        """Whether a function's reserved concurrency is 0, so that none of its events can run."""
