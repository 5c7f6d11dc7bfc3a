"""What a sandbox in nat mode reaches, and what must stay closed to it."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from support import dns, networks
from support.dns import framed
from support.networks import PORT, QUICKLY, Outside, connects, datagram_socket, host_addresses

from lambdabox.isolation.warden import conntrack
from lambdabox.isolation.warden.namespaces import Namespace
from lambdabox.isolation.warden.nat import NatSlots
from lambdabox.isolation.warden.nat_rules import FLOWS_OF_ONE
from lambdabox.isolation.warden.network import NetworkSlot
from lambdabox.server.dns_relay import DnsRelay

METADATA = ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192")


@pytest.fixture
def outer() -> Iterator[Outside]:
    networks.require_root()
    with networks.outside() as there:
        yield there


@pytest.fixture
def nat(tmp_path: Path) -> Iterator[NatSlots]:
    with networks.network(tmp_path) as source:
        yield source


@pytest.fixture
def slot(nat: NatSlots) -> Iterator[NetworkSlot]:
    with networks.slot_of(nat) as it:
        yield it


@pytest.fixture
def other(nat: NatSlots) -> Iterator[NetworkSlot]:
    with networks.slot_of(nat) as it:
        yield it


def inside(slot: NetworkSlot) -> Namespace:
    assert slot.namespace is not None
    return slot.namespace


def address_of(slot: NetworkSlot) -> str:
    assert slot.address is not None
    return slot.address


def test_the_outside_sees_the_host_and_not_the_sandbox(slot: NetworkSlot, outer: Outside) -> None:
    with outer.listen() as server, inside(slot).entered():
        client = socket.create_connection(server.getsockname(), QUICKLY)
        with client, server.accept()[0] as connection:
            assert connection.getpeername()[0] == outer.host
            connection.sendall(b"x" * 100_000)
            connection.shutdown(socket.SHUT_WR)
            assert sum(len(part) for part in iter(lambda: client.recv(65_536), b"")) == 100_000


def test_datagrams_go_out_and_answers_come_in(slot: NetworkSlot, outer: Outside) -> None:
    with outer.receive() as server, datagram_socket(inside(slot)) as client:
        client.sendto(b"question", server.getsockname())
        question, sender = server.recvfrom(64)
        server.sendto(b"answer to " + question, sender)
        assert client.recv(64) == b"answer to question"


def test_the_endpoint_is_at_one_address_and_knows_who_calls(
    nat: NatSlots, slot: NetworkSlot
) -> None:
    with inside(slot).entered():
        client = socket.create_connection((nat.router_address, PORT), QUICKLY)
    with client, nat.endpoint.accept()[0] as connection:
        assert connection.getpeername()[0] == slot.address
        connection.sendall(b"HTTP")
        assert client.recv(4) == b"HTTP"


def test_the_endpoint_is_open_to_sandboxes_only(
    nat: NatSlots, outer: Outside, slot: NetworkSlot
) -> None:
    assert connects(inside(slot), nat.router_address, PORT, seconds=QUICKLY)
    assert not connects(None, nat.router_address, PORT)
    assert not connects(outer.namespace, nat.router_address, PORT)


def test_every_address_of_the_host_is_closed(slot: NetworkSlot, outer: Outside) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        addresses = host_addresses()
        assert outer.host in addresses
        assert all(connects(None, address, port) for address in addresses)
        assert [address for address in addresses if connects(inside(slot), address, port)] == []


def test_datagrams_to_the_host_are_dropped(slot: NetworkSlot, outer: Outside) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 0))
        server.settimeout(QUICKLY)
        port = server.getsockname()[1]
        for address in host_addresses():
            with datagram_socket(inside(slot)) as client:
                client.sendto(b"from the sandbox", (address, port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"from the host", ("127.0.0.1", port))
        assert server.recv(64) == b"from the host"


def test_other_ports_of_the_router_are_closed(nat: NatSlots, slot: NetworkSlot) -> None:
    with (
        inside(slot).entered(),
        socket.socket() as client,
        pytest.raises(OSError, match="No route"),
    ):
        client.connect((nat.router_address, PORT + 1))


def test_a_port_that_the_host_forwards_elsewhere_is_closed(
    slot: NetworkSlot, outer: Outside
) -> None:
    rewrite = (
        "chain p { type nat hook prerouting priority dstnat; "
        f"tcp dport 8080 dnat to {outer.address}:8081; }}"
    )
    with outer.listen(port=8081), networks.rules(rewrite):
        assert connects(inside(slot), outer.address, 8081, seconds=QUICKLY)
        assert not connects(inside(slot), outer.host, 8080)


def test_other_sandboxes_are_closed(slot: NetworkSlot, other: NetworkSlot) -> None:
    with inside(other).entered():
        server = socket.create_server(("0.0.0.0", 0))
    with server:
        port = server.getsockname()[1]
        assert connects(inside(other), address_of(other), port, seconds=QUICKLY)
        assert not connects(inside(slot), address_of(other), port)


def test_sandboxes_of_another_node_are_closed(
    slot: NetworkSlot, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        networks.network(tmp_path_factory.mktemp("second")) as second,
        networks.slot_of(second) as theirs,
    ):
        with inside(theirs).entered():
            server = socket.create_server(("0.0.0.0", 0))
        with server:
            assert not connects(inside(slot), address_of(theirs), server.getsockname()[1])
            assert not connects(inside(slot), second.router_address, PORT)


def test_nobody_connects_to_a_sandbox(slot: NetworkSlot, outer: Outside) -> None:
    with inside(slot).entered():
        server = socket.create_server(("0.0.0.0", 0))
    with server:
        port = server.getsockname()[1]
        assert not connects(None, address_of(slot), port)
        assert not connects(outer.namespace, address_of(slot), port)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_of_clouds_are_closed(
    slot: NetworkSlot, outer: Outside, address: str
) -> None:
    with networks.also_at(outer, address), outer.listen(address, 80):
        assert connects(None, address, 80, seconds=QUICKLY)
        assert not connects(inside(slot), address, 80)


@pytest.mark.parametrize("address", ["224.0.0.251", "239.1.2.3", "255.255.255.255", "240.0.0.1"])
def test_multicast_and_reserved_addresses_are_not_forwarded(
    nat: NatSlots, slot: NetworkSlot, address: str
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 5353))
        server.settimeout(QUICKLY)
        with datagram_socket(inside(slot)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
            client.sendto(b"from the sandbox", (address, 5353))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"from the host", ("127.0.0.1", 5353))
        assert server.recv(64) == b"from the host"


def datagram(source: str, target: str, port: int, payload: bytes) -> bytes:
    """Return an IPv4 packet; the kernel fills in the sums."""
    udp = struct.pack("!HHHH", 5000, port, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(target) + udp


def test_false_sources_go_nowhere(
    nat: NatSlots, slot: NetworkSlot, other: NetworkSlot, outer: Outside
) -> None:
    """Even where a sandbox could send raw packets."""
    with inside(slot).entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw, outer.receive() as server:
        port = server.getsockname()[1]
        sources = (address_of(other), nat.router_address, outer.host, "127.0.0.1", "8.8.8.8")
        for source in sources:
            packet = datagram(source, outer.address, port, source.encode())
            raw.sendto(packet, (outer.address, 0))
        raw.sendto(datagram(address_of(slot), outer.address, port, b"true"), (outer.address, 0))
        assert server.recv(64) == b"true"


def test_there_is_no_ipv6_but_on_the_loopback(slot: NetworkSlot) -> None:
    with inside(slot).entered():
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    assert [line.split()[5] for line in lines] == ["lo"]


def test_one_sandbox_cannot_fill_the_hosts_table_of_connections(
    nat: NatSlots, slot: NetworkSlot, other: NetworkSlot, outer: Outside
) -> None:
    with (
        datagram_socket(inside(slot)) as client,
        outer.receive() as server,
        closing(conntrack.tracker()) as tracker,
    ):
        for port in range(10_000, 10_000 + FLOWS_OF_ONE + 500):
            client.sendto(b"x", (outer.address, port))
        assert len(conntrack.tracked(tracker, address_of(slot))) == FLOWS_OF_ONE
        with datagram_socket(inside(other)) as neighbour:
            neighbour.sendto(b"still", server.getsockname())
        assert server.recv(64) == b"still"


@pytest.mark.anyio
async def test_names_are_resolved_through_the_relay(nat: NatSlots, slot: NetworkSlot) -> None:
    loop, question = asyncio.get_running_loop(), dns.query()
    expected = dns.answer(question)
    async with dns.resolver(lambda message: [dns.answer(message)]) as upstream:
        relay = DnsRelay(nat.dns_udp.dup(), nat.dns_tcp.dup(), lambda: [upstream.address])
        async with anyio.create_task_group() as tasks:
            await tasks.start(relay.serve)
            with inside(slot).entered():
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                stream = socket.create_connection((nat.router_address, 53), QUICKLY)
            with client, stream, anyio.fail_after(QUICKLY):
                client.connect((nat.router_address, 53))
                client.send(question)
                assert await loop.sock_recv(client, 512) == expected
                stream.setblocking(False)
                await loop.sock_sendall(stream, framed(question))
                assert await loop.sock_recv(stream, 512) == framed(expected)
            tasks.cancel_scope.cancel()
    assert nat.resolv_conf == f"nameserver {nat.router_address}\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
