"""A clock that moves only when a test moves it, so that hours pass in a millisecond."""

import anyio


class ManualClock:
    """A `ports.Clock`. `sleep` returns once `advance` has gone far enough."""

    def __init__(self, start: float = 1_795_000_000.0) -> None:
        self._time = start
        self._sleepers: list[tuple[float, anyio.Event]] = []
        self._fell_asleep = anyio.Event()

    def now(self) -> float:
        return self._time

    def monotonic(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        woken = anyio.Event()
        entry = (self._time + seconds, woken)
        self._sleepers.append(entry)
        self._fell_asleep.set()
        try:
            await woken.wait()
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    def advance(self, seconds: float) -> None:
        self._time += seconds
        for entry in list(self._sleepers):
            due, woken = entry
            if due <= self._time:
                self._sleepers.remove(entry)
                woken.set()

    async def sleeper(self) -> None:
        """Return once somebody sleeps."""
        while not self._sleepers:
            self._fell_asleep = anyio.Event()
            await self._fell_asleep.wait()
