"""Parts of a node that are imported and built when they are first needed.

Most nodes have no stacks, no schedules and nobody who looks at figures, and each of these is a
part of the start. Such a part is named by its module: what it takes is imported on a thread,
so that requests are served meanwhile, and built on the event loop. `optional` has them, and a
test keeps them out of what a node starts with.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from lambdabox.api.serialize import WireResponse
from lambdabox.api.streaming import WireStream

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Asked = TypeVar("Asked")

Serve = Callable[..., Coroutine[Any, Any, None]]
"""An async `serve(*, task_status)` that runs until cancelled."""


class NodeStopsError(Exception):
    """The part is not there, because the node stops."""


class Deferred(Generic[T]):
    """A part that answers. `build` finds imported, by way of `module`, what it imports."""

    def __init__(self, module: str, build: Callable[[], T]) -> None:
        self._module = module
        self._build = build
        self._part: T | None = None
        self._loading = anyio.Lock()

    async def get(self) -> T:
        if self._part is not None:
            return self._part
        async with self._loading:
            if self._part is None:
                await anyio.to_thread.run_sync(import_module, self._module)
                self._part = self._build()
            return self._part


class DeferredService(Generic[T]):
    """A part that also runs something for as long as the node does.

    `services` says what. `is_needed` says whether the part has something to go on with from
    before: then it starts with the node.
    """

    def __init__(
        self,
        module: str,
        build: Callable[[], T],
        *,
        services: Callable[[T], Collection[Serve]],
        is_needed: Callable[[], Awaitable[bool]],
    ) -> None:
        self._deferred = Deferred(module, build)
        self._services = services
        self._is_needed = is_needed
        self._part: T | None = None
        self._wanted = anyio.Event()
        self._settled = anyio.Event()

    @property
    def started(self) -> T | None:
        """The part, if it has started."""
        return self._part

    def want(self) -> None:
        """Have the part started, without waiting for it."""
        self._wanted.set()

    async def get(self) -> T:
        """Return the part, when what it runs has started. Raises NodeStopsError."""
        if self._part is None:
            self.want()
            await self._settled.wait()
        if self._part is None:
            raise NodeStopsError("The node is stopping.")
        return self._part

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Start the part when it is needed, and run what it runs until cancelled."""
        try:
            if not await self._is_needed():
                task_status.started()
                task_status = anyio.TASK_STATUS_IGNORED
                await self._wanted.wait()
            part = await self._deferred.get()
            async with anyio.create_task_group() as tasks:
                for serve in self._services(part):
                    await tasks.start(serve)
                self._part = part
                self._settled.set()
                task_status.started()
        finally:
            self._settled.set()


class Part(Protocol[T_co]):
    async def get(self) -> T_co: ...


class DeferredFrontEnd(Generic[T, Asked]):
    """Answers by a part that need not be there yet."""

    def __init__(
        self,
        part: Part[T],
        answer: Callable[[T, Asked], Awaitable[WireResponse | WireStream]],
    ) -> None:
        self._part = part
        self._answer = answer

    async def answer(self, asked: Asked, /) -> WireResponse | WireStream:
        try:
            part = await self._part.get()
        except NodeStopsError:
            headers = [(b"content-type", b"application/json")]
            return WireResponse(503, headers, b'{"message":"The node is stopping."}')
        return await self._answer(part, asked)
