"""Parts that are built when they are first needed, and what they run."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from lambdabox.api.serialize import WireResponse
from lambdabox.server.deferred import (
    Deferred,
    DeferredFrontEnd,
    DeferredService,
    NodeStopsError,
)

MODULE = "json"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Part:
    """Counts how often it is built, and says whether it runs."""

    built = 0

    def __init__(self) -> None:
        type(self).built += 1
        self.is_running = False

    async def serve(self, *, task_status: TaskStatus[None]) -> None:
        await anyio.lowlevel.checkpoint()
        self.is_running = True
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            self.is_running = False


@pytest.fixture
def make() -> Callable[[], Any]:
    return type("CountedPart", (Part,), {"built": 0})


def service(make: Any, *, is_needed: bool = False) -> DeferredService[Any]:
    async def needed() -> bool:
        return is_needed

    return DeferredService(MODULE, make, services=lambda part: (part.serve,), is_needed=needed)


async def test_a_part_is_built_once_for_all_who_ask(make: Any) -> None:
    deferred = Deferred(MODULE, make)
    found: list[Any] = []

    async def ask() -> None:
        found.append(await deferred.get())

    assert make.built == 0
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert make.built == 1
    assert all(part is found[0] for part in found)


async def test_a_part_that_could_not_be_imported_is_tried_again(make: Any) -> None:
    deferred = Deferred("lambdabox.no_such_module", make)
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            await deferred.get()
    assert make.built == 0


async def test_a_part_that_is_not_needed_does_not_hold_up_the_start(make: Any) -> None:
    deferred = service(make)
    async with anyio.create_task_group() as tasks:
        await tasks.start(deferred.serve)
        assert make.built == 0
        assert deferred.started is None
        part = await deferred.get()
        assert part.is_running
        assert deferred.started is part
        assert await deferred.get() is part
        tasks.cancel_scope.cancel()
    assert not part.is_running


async def test_a_part_with_something_to_go_on_with_starts_with_the_node(make: Any) -> None:
    deferred = service(make, is_needed=True)
    async with anyio.create_task_group() as tasks:
        await tasks.start(deferred.serve)
        assert make.built == 1
        assert (await deferred.get()).is_running
        tasks.cancel_scope.cancel()


async def test_a_part_can_be_wanted_before_it_is_served(make: Any) -> None:
    deferred = service(make)
    deferred.want()
    async with anyio.create_task_group() as tasks:
        await tasks.start(deferred.serve)
        assert (await deferred.get()).is_running
        assert make.built == 1
        tasks.cancel_scope.cancel()


async def test_who_waits_while_the_node_stops_is_told(make: Any) -> None:
    deferred = service(make)
    async with anyio.create_task_group() as tasks:
        await tasks.start(deferred.serve)
        tasks.cancel_scope.cancel()
    with pytest.raises(NodeStopsError):
        await deferred.get()

    async def never(_part: Any, _asked: str) -> WireResponse:
        raise AssertionError

    response = await DeferredFrontEnd(deferred, never).answer("anything")
    assert isinstance(response, WireResponse)
    assert response.status == 503
    assert response.body == b'{"message":"The node is stopping."}'


async def test_a_front_end_answers_by_its_part(make: Any) -> None:
    async def answer(part: Any, asked: str) -> WireResponse:
        assert isinstance(part, make)
        return WireResponse(200, [], asked.encode())

    response = await DeferredFrontEnd(Deferred(MODULE, make), answer).answer("hello")
    assert isinstance(response, WireResponse)
    assert (response.status, response.body) == (200, b"hello")
