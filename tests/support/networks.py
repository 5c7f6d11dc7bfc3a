"""What tests of sandbox networks stand on: an outside to reach, and what a node leaves behind."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lambdabox.isolation.warden import netlink, subnets
from lambdabox.isolation.warden.namespaces import Namespace, new_namespace
from lambdabox.isolation.warden.nat import NatSlots
from lambdabox.isolation.warden.nat_host import NodeNames
from lambdabox.isolation.warden.netlink import Netlink
from lambdabox.isolation.warden.network import NetworkSlot
from support.programs import missing, needed

SUBNET = subnets.parse("198.18.0.0/15")
PORT = 4566
QUICKLY = 5.0
"""Nothing in these tests waits so long unless it is dropped."""
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def require_root() -> None:
    if os.geteuid() != 0:
        missing("network namespaces are made by root")


@contextmanager
def forwarding_kept() -> Iterator[None]:
    """Give the host back its setting, which a node turns on and leaves on."""
    before = _FORWARDING.read_text()
    try:
        yield
    finally:
        _FORWARDING.write_text(before)


def set_forwarding(value: str) -> None:
    _FORWARDING.write_text(value)


@contextmanager
def network(directory: Path, subnet: str = str(SUBNET)) -> Iterator[NatSlots]:
    """Set nat mode up for a node with that data directory."""
    require_root()
    needed("nft")
    with forwarding_kept():
        source = NatSlots(NodeNames(str(directory)), subnets.parse(subnet), port=PORT)
        try:
            yield source
        finally:
            source.close()


@contextmanager
def slot_of(source: NatSlots) -> Iterator[NetworkSlot]:
    slot = source.make()
    try:
        yield slot
    finally:
        source.discard(slot)


@dataclass(frozen=True, slots=True)
class Outside:
    """A machine beyond the host, which has a route back to everything."""

    namespace: Namespace
    host: str
    address: str

    def listen(self, address: str | None = None, port: int = 0) -> socket.socket:
        with self.namespace.entered():
            listener = socket.create_server((address or self.address, port))
        listener.settimeout(QUICKLY)
        return listener

    def receive(self, port: int = 0) -> socket.socket:
        with self.namespace.entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            receiver.bind((self.address, port))
        receiver.settimeout(QUICKLY)
        return receiver


@contextmanager
def outside(host: str = "203.0.113.1", address: str = "203.0.113.2") -> Iterator[Outside]:
    """Connect a namespace to the host, which has `host` there."""
    name = "lbxtest0"
    with ExitStack() as stack:
        route = stack.enter_context(closing(Netlink()))
        with new_namespace() as namespace:
            stack.callback(namespace.close)
        route.request(netlink.new_veth(name, 0, "wan", 0, namespace.descriptor, up=False))
        index = socket.if_nametoindex(name)
        stack.callback(route.request, netlink.delete_link(index))
        route.request(
            netlink.add_address(index, host),
            netlink.set_up(index),
            netlink.add_route(index, address, 32),
        )
        with namespace.entered(), closing(Netlink()) as inside:
            index = socket.if_nametoindex("wan")
            inside.request(
                netlink.set_up(1),
                netlink.add_address(index, address),
                netlink.set_up(index),
                netlink.add_route(index, "0.0.0.0", 0, host),
            )
        yield Outside(namespace, host, address)


@contextmanager
def also_at(there: Outside, address: str) -> Iterator[None]:
    """Give the outside another address, and the host a route to it."""
    with closing(Netlink()) as route:
        route.request(netlink.add_route(socket.if_nametoindex("lbxtest0"), address, 32))
        with there.namespace.entered(), closing(Netlink()) as inside:
            inside.request(netlink.add_address(socket.if_nametoindex("wan"), address))
        yield


@contextmanager
def rules(text: str) -> Iterator[None]:
    """Add the table `ip lbxtest` with these rules to the host's filter."""
    subprocess.run(
        ["nft", "-f", "-"], input=f"table ip lbxtest {{\n{text}\n}}\n", text=True, check=True
    )
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "lbxtest"], check=True)


def connects(namespace: Namespace | None, address: str, port: int, *, seconds: float = 1) -> bool:
    """Whether a connection can be made from the namespace; from the host if there is none."""
    with ExitStack() as stack:
        if namespace is not None:
            stack.enter_context(namespace.entered())
        connection = stack.enter_context(socket.socket())
        connection.settimeout(seconds)
        with suppress(OSError):
            connection.connect((address, port))
            return True
        return False


def datagram_socket(namespace: Namespace) -> socket.socket:
    with namespace.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.settimeout(QUICKLY)
    return sender


def host_addresses() -> set[str]:
    """Every IPv4 address of the host."""
    with closing(Netlink()) as route:
        candidates = {address for address, length in netlink.ipv4_routes(route) if length == 32}
    return {address for address in candidates if _is_own(address)}


def _is_own(address: str) -> bool:
    # Broadcast addresses can be listened on, but not connected to.
    with suppress(OSError), socket.create_server((address, 0)) as server:
        return connects(None, address, server.getsockname()[1])
    return False


@dataclass(frozen=True, slots=True)
class Footprint:
    """What is on the host of all networks."""

    interfaces: frozenset[str]
    routes: frozenset[tuple[str, int]]
    rules: str
    namespaces: frozenset[str]


def footprint() -> Footprint:
    with closing(Netlink()) as route:
        routes = frozenset(netlink.ipv4_routes(route))
    return Footprint(
        frozenset(name for _, name in socket.if_nameindex()),
        routes,
        subprocess.check_output([needed("nft"), "list", "ruleset"], text=True),
        frozenset(_namespaces()),
    )


def _namespaces() -> Iterator[str]:
    """Yield the network namespaces that any process is in or holds open."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for link in (process / "ns" / "net", *(process / "fd").iterdir()):
                with suppress(OSError):
                    if (target := os.readlink(link)).startswith("net:"):
                        yield target
