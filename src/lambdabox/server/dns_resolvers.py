"""Ask the host's resolvers, on behalf of sandboxes.

Every question goes out under a random number from a socket of its own, connected to the
resolver, so that a forged answer has to guess number and port, and the address is the
kernel's to check.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio

from lambdabox.server import dns_messages

Address = tuple[str, int]
Resolvers = Callable[[], Sequence[Address]]

ATTEMPT_SECONDS = 2.0
ANSWER_SECONDS = 4.5
"""In all: resolver libraries ask again after five seconds."""
_ROUNDS = 2
_MOST_RESOLVERS = 3  # as the C library uses
_LARGEST = 65_535


class ResolvConf:
    """The resolvers that a resolv.conf names, read again when it has changed."""

    def __init__(self, path: Path = Path("/etc/resolv.conf")) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._resolvers: Sequence[Address] = ()

    def __call__(self) -> Sequence[Address]:
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._version:
                self._resolvers = parse(self._path.read_text(errors="replace"))
                self._version = version
        except OSError:
            self._resolvers, self._version = parse(""), None
        return self._resolvers


def parse(text: str) -> Sequence[Address]:
    """Return the name servers of a resolv.conf; without any it is the host itself."""
    lines = (line.split() for line in text.splitlines())
    named = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    usable = [(address, 53) for address in named if _is_address(address)]
    return usable[:_MOST_RESOLVERS] or [("127.0.0.1", 53)]


async def ask(query: bytes, resolvers: Sequence[Address], *, over_tcp: bool) -> bytes | None:
    """Return what the first resolver that helps answers; None if none does in time."""
    number = dns_messages.id_of(query)
    refusal: bytes | None = None
    with anyio.move_on_after(ANSWER_SECONDS):
        for resolver in [*resolvers] * _ROUNDS:
            answer = await _attempt(query, resolver, over_tcp=over_tcp)
            if answer is not None and not dns_messages.is_unhelpful(answer):
                return dns_messages.with_id(answer, number)
            refusal = answer or refusal
    return dns_messages.with_id(refusal, number) if refusal else None


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read one message with its length before it. Raises EOFError or OSError."""
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)


async def write_message(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(2, "big") + message)
    await writer.drain()


async def _attempt(query: bytes, resolver: Address, *, over_tcp: bool) -> bytes | None:
    query = dns_messages.with_id(query, secrets.randbits(16))
    with suppress(OSError, EOFError), anyio.move_on_after(ATTEMPT_SECONDS):
        return await (_over_tcp if over_tcp else _over_udp)(query, resolver)
    return None


async def _over_udp(query: bytes, resolver: Address) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(_family(resolver), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as connection:
        connection.connect(resolver)
        connection.send(query)
        while True:
            answer = await loop.sock_recv(connection, _LARGEST)
            if dns_messages.is_answer(answer, query):
                return answer


async def _over_tcp(query: bytes, resolver: Address) -> bytes:
    reader, writer = await asyncio.open_connection(*resolver)
    try:
        await write_message(writer, query)
        answer = await read_message(reader)
    finally:
        writer.close()
    if not dns_messages.is_answer(answer, query):
        raise OSError(f"{resolver[0]} did not answer the question")
    return answer


def _family(resolver: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in resolver[0] else socket.AF_INET


def _is_address(text: str) -> bool:
    """Whether it is an address of either kind, maybe of an interface (fe80::1%eth0)."""
    try:
        socket.getaddrinfo(text, 53, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return True
