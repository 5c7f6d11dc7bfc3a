"""The relay between sandboxes that may be hostile and resolvers that may be wrong or dead."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from support import dns
from support.dns import answer, code_of, framed, query, refusal, resolver

from lambdabox.server import dns_relay, dns_resolvers
from lambdabox.server.dns_relay import DnsRelay

pytestmark = pytest.mark.anyio

PATIENCE = 20
SERVER_FAILURE = 2


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


class Sandbox:
    """A client of the relay."""

    def __init__(self, relay: tuple[str, int], stream: tuple[str, int]) -> None:
        self.socket = dns.bound(socket.SOCK_DGRAM)
        self.socket.connect(relay)
        self.stream = stream

    def send(self, message: bytes) -> None:
        self.socket.send(message)

    async def receive(self) -> bytes:
        with anyio.fail_after(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.socket, 65_535)

    async def ask(self, message: bytes) -> bytes:
        self.send(message)
        return await self.receive()


@asynccontextmanager
async def relaying(*resolvers: tuple[str, int]) -> AsyncIterator[Sandbox]:
    udp, tcp = dns.bound(socket.SOCK_DGRAM), dns.bound(socket.SOCK_STREAM)
    sandbox = Sandbox(udp.getsockname(), tcp.getsockname())
    async with anyio.create_task_group() as tasks:
        with sandbox.socket:
            await tasks.start(DnsRelay(udp, tcp, lambda: resolvers).serve)
            yield sandbox
            tasks.cancel_scope.cancel()


def correct(message: bytes) -> Sequence[bytes]:
    return [answer(message)]


def silent(_: bytes) -> Sequence[bytes]:
    return []


async def test_an_answer_comes_back_under_the_number_of_the_question() -> None:
    async with resolver(correct) as upstream, relaying(upstream.address) as sandbox:
        assert await sandbox.ask(query(number=7)) == answer(query(number=7))


async def test_questions_go_out_under_numbers_that_sandboxes_do_not_choose() -> None:
    async with resolver(correct) as upstream, relaying(upstream.address) as sandbox:
        for _ in range(8):
            await sandbox.ask(query(number=7))
        assert len({message[:2] for message in upstream.questions}) > 1
        assert {message[2:] for message in upstream.questions} == {query()[2:]}


async def test_answers_to_another_question_or_number_are_not_passed_on() -> None:
    def confused(message: bytes) -> Sequence[bytes]:
        wrong_number = bytes([message[0] ^ 1]) + message[1:]
        other = answer(message[:2] + query("evil.example")[2:], "192.0.2.66")
        return [answer(wrong_number, "192.0.2.66"), other, message, b"\0", answer(message)]

    async with resolver(confused) as upstream, relaying(upstream.address) as sandbox:
        assert await sandbox.ask(query()) == answer(query())


async def test_a_resolver_that_is_not_there_is_passed_over() -> None:
    with dns.bound(socket.SOCK_DGRAM) as closed:
        nobody = closed.getsockname()
    async with resolver(correct) as upstream, relaying(nobody, upstream.address) as sandbox:
        assert await sandbox.ask(query()) == answer(query())


async def test_a_resolver_that_is_silent_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_resolvers, "ATTEMPT_SECONDS", 0.05)
    async with (
        resolver(silent) as first,
        resolver(correct) as second,
        relaying(first.address, second.address) as sandbox,
    ):
        assert await sandbox.ask(query()) == answer(query())
        assert first.questions


@pytest.mark.parametrize("code", [2, 4, 5])
async def test_a_resolver_that_cannot_tell_is_passed_over(code: int) -> None:
    async with (
        resolver(lambda message: [refusal(message, code)]) as first,
        resolver(correct) as second,
        relaying(first.address, second.address) as sandbox,
    ):
        assert await sandbox.ask(query()) == answer(query())


async def test_a_name_that_does_not_exist_is_an_answer() -> None:
    async with (
        resolver(lambda message: [refusal(message, 3)]) as first,
        resolver(correct) as second,
        relaying(first.address, second.address) as sandbox,
    ):
        assert await sandbox.ask(query()) == refusal(query(), 3)


async def test_what_all_resolvers_refuse_is_refused() -> None:
    async with (
        resolver(lambda message: [refusal(message, 5)]) as upstream,
        relaying(upstream.address) as sandbox,
    ):
        assert await sandbox.ask(query()) == refusal(query(), 5)


async def test_silence_of_all_is_a_server_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_resolvers, "ATTEMPT_SECONDS", 0.02)
    async with resolver(silent) as upstream, relaying(upstream.address) as sandbox:
        reply = await sandbox.ask(query())
    assert code_of(reply) == SERVER_FAILURE
    assert reply[:2] == query()[:2]
    assert reply[12:] == query()[12:]


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(query()[:11], id="half a head"),
        pytest.param(query()[:-1], id="half a question"),
        pytest.param(answer(query()), id="an answer"),
        pytest.param(struct.pack("!HHHHHH", 7, 0x100, 0, 0, 0, 0), id="no question"),
        pytest.param(query()[:5] + b"\2" + query()[6:], id="two questions"),
        pytest.param(query()[:12] + b"\xc0\x0c\0\1\0\1", id="a compressed name"),
        pytest.param(query()[:12] + b"\x3f" + b"a" * 63 + b"\x01a" * 99, id="an endless name"),
    ],
)
async def test_what_is_no_question_goes_nowhere(nonsense: bytes) -> None:
    async with resolver(correct) as upstream, relaying(upstream.address) as sandbox:
        sandbox.send(nonsense)
        assert await sandbox.ask(query()) == answer(query())
        assert len(upstream.questions) == 1


async def test_one_sandbox_has_only_so_many_questions_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns_resolvers, "ATTEMPT_SECONDS", PATIENCE)
    monkeypatch.setattr(dns_resolvers, "ANSWER_SECONDS", PATIENCE)
    async with resolver(silent) as upstream, relaying(upstream.address) as sandbox:
        for number in range(dns_relay.MOST_OF_ONE + 1):
            sandbox.send(query(number=number))
        reply = await sandbox.receive()
        assert code_of(reply) == SERVER_FAILURE
        assert len(upstream.questions) <= dns_relay.MOST_OF_ONE


async def test_questions_over_a_connection_are_answered_one_after_the_other() -> None:
    async with resolver(correct) as upstream, relaying(upstream.address) as sandbox:
        reader, writer = await asyncio.open_connection(*sandbox.stream)
        with anyio.fail_after(PATIENCE):
            writer.write(framed(query(number=1)) + framed(query("b.example", number=2)))
            for message in (query(number=1), query("b.example", number=2)):
                expected = framed(answer(message))
                assert await reader.readexactly(len(expected)) == expected
        writer.close()
        await writer.wait_closed()


async def test_nonsense_over_a_connection_ends_it() -> None:
    async with resolver(correct) as upstream, relaying(upstream.address) as sandbox:
        reader, writer = await asyncio.open_connection(*sandbox.stream)
        with anyio.fail_after(PATIENCE):
            writer.write(framed(b"GET / HTTP/1.1"))
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert not upstream.questions


async def test_a_silent_connection_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_relay, "_IDLE_SECONDS", 0.02)
    async with resolver(correct) as upstream, relaying(upstream.address) as sandbox:
        reader, writer = await asyncio.open_connection(*sandbox.stream)
        with anyio.fail_after(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_one_sandbox_has_only_so_many_connections() -> None:
    async with resolver(correct) as upstream, relaying(upstream.address) as sandbox:
        streams = []
        for _ in range(dns_relay.MOST_CONNECTIONS_OF_ONE):
            streams.append(await asyncio.open_connection(*sandbox.stream))
            streams[-1][1].write(framed(query()))
            with anyio.fail_after(PATIENCE):
                await streams[-1][0].readexactly(2)
        reader, writer = await asyncio.open_connection(*sandbox.stream)
        with anyio.fail_after(PATIENCE):
            assert await reader.read() == b""
        for _, each in [*streams, (reader, writer)]:
            each.close()
            with suppress(OSError):
                await each.wait_closed()
