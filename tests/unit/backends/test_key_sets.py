"""Keys of issuers are fetched where OpenID Connect says, remembered, and never too much."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from support.clock import ManualClock

from lambdabox.backends import key_sets
from lambdabox.backends.key_sets import AGAIN_SECONDS, REMEMBERED_SECONDS, KeySetError, KeySets

pytestmark = pytest.mark.anyio
CONFIGURATION = "/tenant/.well-known/openid-configuration"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Issuer:
    """A web server with an issuer's two pages."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/tenant"
        self.asked: list[str] = []
        self.pages: dict[str, tuple[int, Any]] = {
            CONFIGURATION: (200, {"jwks_uri": f"{url}/keys?v=1"}),
        }
        self.publish("k1")

    def publish(self, *ids: str) -> None:
        keys: list[Any] = [{"kid": id, "kty": "RSA"} for id in ids]
        self.pages["/keys?v=1"] = (200, {"keys": [*keys, {"kty": "RSA"}, "no key"]})

    async def answer(self, stream: SocketStream) -> None:
        async with stream:
            head = await stream.receive()
            target = head.split(b" ")[1].decode()
            self.asked.append(target)
            status, page = self.pages.get(target, (404, {}))
            body = page if isinstance(page, bytes) else json.dumps(page).encode()
            line = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
            await stream.send(line + body)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with running() as made:
        yield made


@asynccontextmanager
async def running() -> AsyncIterator[Issuer]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  # no database
    made = Issuer(f"http://127.0.0.1:{port}")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, made.answer)
        yield made
        tasks.cancel_scope.cancel()
    await listener.aclose()


async def test_a_key_is_found_by_its_id_and_remembered(issuer: Issuer) -> None:
    clock = ManualClock()
    keys = KeySets(clock)
    for _ in range(2):
        assert await keys.key(issuer.url, "k1") == {"kid": "k1", "kty": "RSA"}
    assert issuer.asked == [CONFIGURATION, "/keys?v=1"]
    clock.advance(REMEMBERED_SECONDS)
    await keys.key(issuer.url, "k1")
    assert len(issuer.asked) == 4


async def test_a_new_key_is_looked_for_once_a_minute(issuer: Issuer) -> None:
    clock = ManualClock()
    keys = KeySets(clock)
    assert await keys.key(issuer.url, "k2") is None
    issuer.publish("k1", "k2")
    assert await keys.key(issuer.url, "k2") is None
    assert len(issuer.asked) == 2
    clock.advance(AGAIN_SECONDS)
    assert await keys.key(issuer.url, "k2") is not None


async def test_an_issuer_that_fails_is_left_alone_for_a_moment(issuer: Issuer) -> None:
    clock = ManualClock()
    keys = KeySets(clock)
    page = issuer.pages[CONFIGURATION]
    issuer.pages[CONFIGURATION] = (500, {})
    for _ in range(3):
        with pytest.raises(KeySetError, match="status 500"):
            await keys.key(issuer.url, "k1")
    assert len(issuer.asked) == 1
    issuer.pages[CONFIGURATION] = page
    clock.advance(key_sets.FAILED_SECONDS)
    assert await keys.key(issuer.url, "k1") is not None


@pytest.mark.parametrize(
    "page",
    [
        (200, b"no JSON"),
        (200, b"[]"),
        (200, {}),
        (200, {"jwks_uri": "file:///etc/passwd"}),
        (200, {"jwks_uri": 5}),
        (200, {"jwks_uri": "http://127.0.0.1:99999/"}),
        (200, b"x" * (key_sets.MAX_BYTES + 1)),
        (302, b""),
    ],
)
async def test_what_is_no_configuration_is_refused(issuer: Issuer, page: tuple[int, Any]) -> None:
    issuer.pages[CONFIGURATION] = page
    with pytest.raises(KeySetError):
        await KeySets(ManualClock()).key(issuer.url, "k1")


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://[", "nothing", "http://\x00"])
async def test_an_issuer_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(KeySetError):
        await KeySets(ManualClock()).key(url, "k1")


async def test_nobody_listening_is_told() -> None:
    async with running() as issuer:
        url = issuer.url
    with pytest.raises(KeySetError, match="cannot be reached"):
        await KeySets(ManualClock()).key(url, "k1")
