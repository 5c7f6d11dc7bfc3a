"""Run functions at several memory sizes for the console, whether anybody looks or not.

One at a time on a node, for two would slow each other down and measure that. A tuning changes
nothing that is stored (`invoke/trials`), so it may end anywhere: with its page, by a button,
or with the node. What it has found is kept in memory, the last one of each function.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

import anyio

from lambdabox.console.background import Background
from lambdabox.console.stack_trace import read_failure
from lambdabox.domain.arn import FunctionKey, FunctionReference
from lambdabox.domain.errors import ApiError, ResourceConflictException
from lambdabox.domain.functions import FunctionSettings
from lambdabox.domain.reports import Report, read_report
from lambdabox.domain.tuning import Plan, Tally
from lambdabox.invoke.trials import TrialRuns

KEPT = 50
MAX_REASON = 500

NO_REPORT = (
    "The function logs no REPORT to measure by: its system log level hides it. Set the level to "
    "INFO, and try again."
)
NODE_FAILED = "The node failed to run the function; its log says why."

log = logging.getLogger(__name__)


class State(StrEnum):
    WAITING = "waiting"
    """For another tuning to end."""
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """It could not go on: `reason` says why. What was measured before counts."""


@dataclass(slots=True, eq=False)
class Tuning:
    """A function that is being measured, or was."""

    key: FunctionKey
    tally: Tally
    event: str
    memory_mib: int
    """The function's own, when it began."""
    state: State = State.WAITING
    reason: str = ""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def is_over(self) -> bool:
        return self.state not in (State.WAITING, State.RUNNING)


class Tunings:
    def __init__(self, trials: TrialRuns, background: Background) -> None:
        self._trials = trials
        self._background = background
        self._tunings: OrderedDict[FunctionKey, Tuning] = OrderedDict()
        self._turn = anyio.Lock()

    def find(self, key: FunctionKey) -> Tuning | None:
        """Return the function's last tuning, if it is remembered."""
        return self._tunings.get(key)

    def start(self, key: FunctionKey, settings: FunctionSettings, plan: Plan, event: str) -> Tuning:
        """Begin, as soon as no other one runs. Raises ResourceConflictException, ServiceException.

        The event is JSON text.
        """
        last = self._tunings.get(key)
        if last is not None and not last.is_over:
            raise ResourceConflictException(
                f"{key.name} is being tuned already. Wait for it to end, or cancel it."
            )
        tally = Tally(
            plan,
            architecture=settings.architecture,
            storage_mib=settings.ephemeral_storage_mib,
        )
        tuning = Tuning(key, tally, event, settings.memory_mib)
        self._background.spawn(self._run, tuning)
        self._tunings.pop(key, None)
        self._tunings[key] = tuning
        self._forget()
        return tuning

    def cancel(self, key: FunctionKey) -> bool:
        """End the function's tuning, with the invocation under way; return whether one ran."""
        tuning = self._tunings.get(key)
        if tuning is None or tuning.is_over:
            return False
        tuning.scope.cancel()
        return True

    def _forget(self) -> None:
        over = [key for key, tuning in self._tunings.items() if tuning.is_over]
        for key in over[: max(0, len(self._tunings) - KEPT)]:
            del self._tunings[key]

    async def _run(self, tuning: Tuning) -> None:
        try:
            with tuning.scope:
                async with self._turn:
                    tuning.state = State.RUNNING
                    await self._measure(tuning)
        except ApiError as exc:
            tuning.state, tuning.reason = State.FAILED, exc.message
        except Exception:
            # The others, and the node, must go on.
            log.exception("tuning %s failed", tuning.key.name)
            tuning.state, tuning.reason = State.FAILED, NODE_FAILED
        finally:
            if not tuning.is_over:
                tuning.state = State.CANCELLED

    async def _measure(self, tuning: Tuning) -> None:
        reference, tally = FunctionReference(tuning.key, None), tuning.tally
        event, last = tuning.event.encode(), tally.size
        try:
            while (size := tally.size) is not None:
                if size != last:
                    await self._trials.let_go(reference)
                last = size
                result = await self._try(reference, event, size)
                if isinstance(result, Report):
                    tally.ran(result)
                else:
                    tally.fail(result[:MAX_REASON])
            tuning.state = State.DONE
        finally:
            with anyio.CancelScope(shield=True):
                await self._trials.let_go(reference)

    async def _try(
        self, reference: FunctionReference, event: bytes, memory_mib: int
    ) -> Report | str:
        """Return what one invocation took, or why that is not known."""
        outcome = await self._trials.run(reference, event, memory_mib)
        if outcome.function_error is not None:
            failure = read_failure(outcome.payload, ())
            if failure is None:
                return outcome.error_type or outcome.function_error
            return f"{failure.type}: {failure.message}" if failure.message else failure.type
        return read_report(outcome.log_tail.decode(errors="replace")) or NO_REPORT
