"""What a poller waits on beside its source: something was put there, or it is to stop.

A poller that finds nothing pauses for longer and longer, so that it costs little, and is
nudged when something is put through this node, so that it is as quick as if it had not.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio

from lambdabox.ports import Clock

T = TypeVar("T")


class Attention:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stop = anyio.Event()
        self._news = anyio.Event()
        self._waits: set[anyio.CancelScope] = set()

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """Finish what is under way, and begin nothing more."""
        self._stop.set()
        for scope in self._waits:
            scope.cancel()

    def nudge(self) -> None:
        """Something may be there: everybody who pauses looks at once."""
        self._news.set()
        self._news = anyio.Event()

    def news(self) -> anyio.Event:
        """Return what the next nudge sets. Taken before a look, so that none is missed."""
        return self._news

    async def stopped(self) -> None:
        await self._stop.wait()

    async def unless_stopped(self, wait: Callable[[], Awaitable[T]]) -> T | None:
        """Return what `wait` does; None when told to stop, which cancels it."""
        if self.is_stopping:
            return None
        scope = anyio.CancelScope()
        self._waits.add(scope)
        try:
            with scope:
                return await wait()
        finally:
            self._waits.discard(scope)
        return None

    async def pause(self, seconds: float, news: anyio.Event | None = None) -> None:
        """Return after `seconds`; at once when told to stop, or when `news` came."""
        waits: list[Callable[[], Awaitable[None]]] = [
            partial(self._clock.sleep, seconds),
            self._stop.wait,
        ]
        if news is not None:
            waits.append(news.wait)
        async with anyio.create_task_group() as tasks:

            async def end_with(wait: Callable[[], Awaitable[None]]) -> None:
                await wait()
                tasks.cancel_scope.cancel()

            for wait in waits:
                tasks.start_soon(end_with, wait)
