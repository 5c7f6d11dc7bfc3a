"""How much of a body is read, and what is kept of one that is too long."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lambdabox.api.request import BodyTooLarge, ClientGone
from lambdabox.gateway.body import DISCARD_BYTES, reader

pytestmark = pytest.mark.anyio

MEBIBYTE = 2**20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Client:
    """Sends chunk after chunk, and may hang up after the last."""

    def __init__(self, chunks: Sequence[bytes], *, hangs_up: bool = False) -> None:
        self._chunks = chunks
        self._hangs_up = hangs_up
        self.sent = 0

    async def receive(self) -> Mapping[str, Any]:
        if self.sent == len(self._chunks):
            return {"type": "http.disconnect"}
        chunk = self._chunks[self.sent]
        self.sent += 1
        more = self.sent < len(self._chunks) or self._hangs_up
        return {"type": "http.request", "body": chunk, "more_body": more}


@pytest.mark.parametrize("chunks", [[b""], [b"whole"], [b"in ", b"", b"pieces"], [b"x" * 100] * 10])
async def test_a_body_is_read_whole(chunks: list[bytes]) -> None:
    assert await reader(Client(chunks).receive, {})(1_000) == b"".join(chunks)


async def test_a_body_of_just_the_limit_is_accepted() -> None:
    assert len(await reader(Client([b"x" * 10]).receive, {})(10)) == 10


async def test_a_body_above_the_limit_is_read_to_its_end_and_refused() -> None:
    """A client that is still sending would not see the answer."""
    client = Client([b"x" * 6] * 10)
    with pytest.raises(BodyTooLarge):
        await reader(client.receive, {})(10)
    assert client.sent == 10


async def test_a_body_announced_as_absurdly_long_is_refused_unread() -> None:
    client = Client([b"x"])
    with pytest.raises(BodyTooLarge):
        await reader(client.receive, {"content-length": str(DISCARD_BYTES + 1)})(10)
    assert client.sent == 0


async def test_a_body_without_end_is_not_read_for_ever() -> None:
    client = Client([b"x" * MEBIBYTE] * (DISCARD_BYTES // MEBIBYTE + 100))
    with pytest.raises(BodyTooLarge):
        await reader(client.receive, {})(10)
    assert client.sent == DISCARD_BYTES // MEBIBYTE + 1


async def test_a_length_announced_wrongly_is_not_believed() -> None:
    with pytest.raises(BodyTooLarge):
        await reader(Client([b"x" * 20]).receive, {"content-length": "5"})(10)


@pytest.mark.parametrize("announced", ["", "-1", "many", "1e9"])
async def test_a_length_that_is_no_number_is_passed_over(announced: str) -> None:
    body = await reader(Client([b"body"]).receive, {"content-length": announced})(10)
    assert body == b"body"


@pytest.mark.parametrize("size", [5, 500])
async def test_a_client_that_hangs_up_half_way_is_gone(size: int) -> None:
    client = Client([b"x" * size], hangs_up=True)
    with pytest.raises(ClientGone):
        await reader(client.receive, {})(10)
