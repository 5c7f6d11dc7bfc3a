"""Forget what is past its retention, in the background and a little at a time.

Each step is a short transaction, so that lines being written wait for one step at most,
however much there is to remove.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskStatus

from lambdabox.ports import Clock
from lambdabox.repositories.log_groups import LogGroups
from lambdabox.repositories.sums import Sums

SWEEP_SECONDS = 600.0
STEP = 5_000
USAGE_DAYS = 400
"""Usage is kept for a year and a month, to compare a month with the same one last year."""
MINUTES_KEPT_SECONDS = 15 * 86_400
"""For how long there are sums by the minute, as on AWS; those by the hour stay with usage."""

_log = logging.getLogger(__name__)


class RetentionSweeper:
    """Applies log groups' retention, and removes what was deleted."""

    def __init__(
        self, groups: LogGroups, sums: Sums, clock: Clock, *, usage_days: int = USAGE_DAYS
    ) -> None:
        self._groups = groups
        self._sums = sums
        self._clock = clock
        self._usage_days = usage_days

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Sweep at once and then every ten minutes, until cancelled."""
        task_status.started()
        while True:
            try:
                await self.sweep()
            except Exception:
                # A database that is busy or away now may not be in ten minutes, and
                # without sweeping the disk fills up.
                _log.exception("Removing expired logs failed; next attempt in ten minutes")
            await self._clock.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Remove all that may go now; return how many events and records that was."""
        now = self._clock.now()
        before_day = int(now // 86_400) - self._usage_days
        logs = await _repeat(lambda: self._groups.sweep(now_ms=int(now * 1000), batch=STEP))
        usage = await _repeat(lambda: self._groups.sweep_usage(before_day=before_day, batch=STEP))
        sums = await _repeat(
            lambda: self._sums.sweep(
                minutes_before=int(now - MINUTES_KEPT_SECONDS),
                hours_before=before_day * 86_400,
                batch=STEP,
            )
        )
        return logs + usage + sums


async def _repeat(step: Callable[[], Awaitable[int]]) -> int:
    total = 0
    while True:
        removed = await step()
        total += removed
        if removed < STEP:
            return total
