"""The system's clock."""

import time

import anyio


class SystemClock:
    """A `ports.Clock`."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        # Not the loop's time, which uvloop keeps in whole milliseconds.
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
