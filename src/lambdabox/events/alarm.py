"""Wait for a moment, or for news that something else may be due earlier.

The time is looked at once a minute at least: a machine's clock may be set.
"""

import anyio

from lambdabox.ports import Clock

LOOK_SECONDS = 60.0


class Alarm:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Wake whoever waits, to look again at what is due."""
        self._rung.set()
        self._rung = anyio.Event()

    async def wait(self, moment: float) -> None:
        """Return when it is `moment`, somebody rings, or a minute has passed.

        There must be no other wait between looking at what is due and calling this.
        """
        rung = self._rung

        async def sleep() -> None:
            seconds = moment - self._clock.now()
            if seconds > 0:
                await self._clock.sleep(min(seconds, LOOK_SECONDS))
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await rung.wait()
            tasks.cancel_scope.cancel()
