"""DNS messages, and resolvers that behave as a test wants."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

ADDRESS = "192.0.2.80"
Behaviour = Callable[[bytes], Sequence[bytes]]


def query(name: str = "example.com", *, number: int = 7) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def answer(message: bytes, address: str = ADDRESS) -> bytes:
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
    return message[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + message[12:] + record


def refusal(message: bytes, code: int) -> bytes:
    return message[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 0, 0, 0) + message[12:]


def code_of(message: bytes) -> int:
    return message[3] & 0xF


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


class Resolver(asyncio.DatagramProtocol):
    """Answers each question with what `behaviour` makes of it, and remembers the question."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.questions: list[bytes] = []
        self.asked = asyncio.Event()
        self.address: tuple[str, int] = ("", 0)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # asyncio declares the base class of both kinds
        self._transport = transport
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for each in self._replies(data):
            self._transport.sendto(each, addr)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        for each in self._replies(await reader.readexactly(length)):
            writer.write(framed(each))
        writer.close()

    def _replies(self, data: bytes) -> Sequence[bytes]:
        self.questions.append(data)
        self.asked.set()
        return self.behaviour(data)


@asynccontextmanager
async def resolver(behaviour: Behaviour) -> AsyncIterator[Resolver]:
    """Run a resolver on UDP and TCP of one port of the loopback."""
    loop = asyncio.get_running_loop()
    tcp, udp = _on_one_port()
    transport, it = await loop.create_datagram_endpoint(lambda: Resolver(behaviour), sock=udp)
    server = await asyncio.start_server(it.converse, sock=tcp)
    try:
        yield it
    finally:
        server.close()
        await server.wait_closed()
        transport.close()


def _on_one_port() -> tuple[socket.socket, socket.socket]:
    """Return sockets for TCP and UDP. A port that is free for one may be taken for the other."""
    while True:
        tcp = bound(socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return tcp, udp


def bound(kind: socket.SocketKind) -> socket.socket:
    """Return a non-blocking socket of the kind on a free port of the loopback."""
    it = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    it.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        it.listen()
    return it
