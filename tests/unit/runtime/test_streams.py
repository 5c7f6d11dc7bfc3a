"""What a streamed response is held in on its way."""

import anyio
import pytest

from lambdabox.domain import limits
from lambdabox.runtime.streams import HIGH_WATER_BYTES, Collector, ResponseBuffer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Tap:
    """A flow that remembers whether it runs."""

    def __init__(self) -> None:
        self.is_open = True

    def pause(self) -> None:
        self.is_open = False

    def resume(self) -> None:
        self.is_open = True


async def test_pieces_are_read_in_their_order_and_then_the_end() -> None:
    buffer = ResponseBuffer()
    buffer.begin("text/plain", Tap())
    assert await buffer.begun() == "text/plain"
    buffer.feed(b"a")
    buffer.feed(b"")
    buffer.feed(b"b")
    assert await buffer.read() == b"ab"
    buffer.feed(b"c")
    buffer.close()
    assert await buffer.read() == b"c"
    assert await buffer.read() == b""


async def test_a_reader_waits_for_what_comes() -> None:
    buffer = ResponseBuffer()
    seen: list[bytes | str | None] = []

    async def read() -> None:
        seen.append(await buffer.begun())
        seen.append(await buffer.read())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        buffer.begin("a/b", Tap())
        await anyio.wait_all_tasks_blocked()
        assert seen == ["a/b"]
        buffer.feed(b"x")
    assert seen == ["a/b", b"x"]


async def test_a_response_that_never_began_has_no_content_type() -> None:
    buffer = ResponseBuffer()
    buffer.close()
    assert await buffer.begun() is None
    assert await buffer.read() == b""


async def test_the_flow_stops_while_the_reader_is_behind() -> None:
    buffer, tap = ResponseBuffer(), Tap()
    buffer.begin("a/b", tap)
    buffer.feed(bytes(HIGH_WATER_BYTES))
    assert tap.is_open
    buffer.feed(b"x")
    assert not tap.is_open
    assert len(await buffer.read()) == HIGH_WATER_BYTES + 1
    assert tap.is_open


async def test_what_is_no_longer_wanted_flows_and_is_dropped() -> None:
    buffer, tap = ResponseBuffer(), Tap()
    buffer.begin("a/b", tap)
    buffer.feed(bytes(HIGH_WATER_BYTES + 1))
    buffer.close()
    assert tap.is_open
    for _ in range(3):
        assert buffer.feed(bytes(HIGH_WATER_BYTES + 1))
    assert tap.is_open
    assert len(await buffer.read()) == HIGH_WATER_BYTES + 1
    assert await buffer.read() == b""


async def test_a_buffer_takes_its_limit_and_not_a_byte_more() -> None:
    buffer = ResponseBuffer(limit=10)
    buffer.begin("a/b", Tap())
    assert buffer.feed(bytes(9))
    assert buffer.feed(bytes(1))
    assert not buffer.feed(bytes(1))
    assert len(await buffer.read()) == 10


def test_a_collector_takes_its_limit_and_not_a_byte_more() -> None:
    collector = Collector()
    assert collector.feed(bytes(limits.RESPONSE_BYTES - 1))
    assert collector.feed(b"x")
    assert len(collector.payload) == limits.RESPONSE_BYTES
    assert not collector.feed(b"x")
    collector.close()
    assert collector.feed(b"x")
    assert collector.payload == b""
