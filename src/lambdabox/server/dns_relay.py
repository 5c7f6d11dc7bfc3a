"""The DNS of sandboxes: what they ask goes to the host's resolvers, and the answer back.

Sandboxes reach no resolver of the host, which may listen on its loopback only. What one of
them can have under way is bounded, so that it cannot keep the others from asking.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.server import dns_messages, dns_resolvers
from lambdabox.server.dns_resolvers import Address, ResolvConf, Resolvers

log = logging.getLogger(__name__)

MOST_AT_ONCE = 1_024
MOST_OF_ONE = 64
MOST_CONNECTIONS_OF_ONE = 8
_MOST_CONNECTIONS = 256
_IDLE_SECONDS = 10.0
_TROUBLE_SECONDS = 0.1


class DnsRelay:
    """Answers on the two sockets that sandboxes reach, until cancelled."""

    def __init__(
        self, udp: socket.socket, tcp: socket.socket, resolvers: Resolvers | None = None
    ) -> None:
        self._udp = udp
        self._tcp = tcp
        self._resolvers = resolvers or ResolvConf()
        self._questions = Share(MOST_AT_ONCE, MOST_OF_ONE)
        self._connections = Share(_MOST_CONNECTIONS, MOST_CONNECTIONS_OF_ONE)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ready once questions are answered. Closes the sockets at the end."""
        loop = asyncio.get_running_loop()
        with self._tcp:
            async with anyio.create_task_group() as tasks:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Questions(self, tasks), sock=self._udp
                )
                try:
                    tasks.start_soon(self._accept, tasks)
                    task_status.started()
                    await anyio.sleep_forever()
                finally:
                    transport.abort()

    async def answer_datagram(
        self, query: bytes, client: Address, transport: asyncio.DatagramTransport
    ) -> None:
        answer = await self._answer(query, client, over_tcp=False)
        with suppress(OSError):  # the client may be gone, and its address with it
            if not transport.is_closing():
                transport.sendto(answer, client)

    async def _answer(self, query: bytes, client: Address, *, over_tcp: bool) -> bytes:
        with self._questions.taken(client[0]) as is_taken:
            if is_taken:
                answer = await dns_resolvers.ask(query, self._resolvers(), over_tcp=over_tcp)
                if answer is not None:
                    return answer
        return dns_messages.server_failure(query)

    async def _accept(self, tasks: TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, client = await loop.sock_accept(self._tcp)
            except OSError as exc:
                # Such as too many open files: that passes, and the relay has to go on.
                log.warning("a DNS connection cannot be accepted: %s", exc)
                await anyio.sleep(_TROUBLE_SECONDS)
                continue
            tasks.start_soon(self._converse, connection, client)

    async def _converse(self, connection: socket.socket, client: Address) -> None:
        with connection, self._connections.taken(client[0]) as is_taken:
            if not is_taken:
                return
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection(sock=connection)
                try:
                    await self._answer_stream(reader, writer, client)
                finally:
                    # Not `close`, which would wait for a client that does not read.
                    writer.transport.abort()

    async def _answer_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: Address
    ) -> None:
        """Answer one question after the other, until a client is silent or sends nonsense."""
        while True:
            with anyio.move_on_after(_IDLE_SECONDS) as idle:
                query = await dns_resolvers.read_message(reader)
            if idle.cancelled_caught or not dns_messages.is_query(query):
                return
            answer = await self._answer(query, client, over_tcp=True)
            with anyio.move_on_after(_IDLE_SECONDS) as idle:
                await dns_resolvers.write_message(writer, answer)
            if idle.cancelled_caught:
                return


class _Questions(asyncio.DatagramProtocol):
    """Starts a task for each question that arrives; what is no question is dropped."""

    def __init__(self, relay: DnsRelay, tasks: TaskGroup) -> None:
        self._relay = relay
        self._tasks = tasks

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # asyncio declares the base class of both kinds
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if dns_messages.is_query(data):
            self._tasks.start_soon(self._relay.answer_datagram, data, addr, self._transport)


class Share:
    """So many at once, and so many of one."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._of: Counter[str] = Counter()
        self._all = 0

    @contextmanager
    def taken(self, who: str) -> Iterator[bool]:
        """Take one for the block, if there is one left; yield whether."""
        if self._all >= self._most or self._of[who] >= self._most_of_one:
            yield False
            return
        self._all += 1
        self._of[who] += 1
        try:
            yield True
        finally:
            self._all -= 1
            self._of[who] -= 1
            if not self._of[who]:
                del self._of[who]
