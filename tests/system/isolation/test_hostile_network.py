"""Functions in nat mode that knock at doors which are not theirs."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from support.attacks import ATTACKER
from support.functions import ECHO, await_active, create, invoke
from support.networks import forwarding_kept, host_addresses
from support.node import Node, running
from support.programs import missing, needed
from support.traces import leaves_nothing, traces_of

KNOCK = """
import concurrent.futures, socket
def knock(door):
    try:
        with socket.create_connection(tuple(door), timeout=2):
            return True
    except OSError:
        return False
def open_doors(doors):
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        return [door for door, is_open in zip(doors, pool.map(knock, doors)) if is_open]
"""


@pytest.fixture(scope="module")
def nat_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    if os.geteuid() != 0:
        missing("networks are made by root")
    needed("nft")
    data = tmp_path_factory.mktemp("nat") / "data"
    with forwarding_kept():
        with running(data, settings={"network": "nat", "isolation": "namespaces"}) as node:
            yield node
        assert leaves_nothing(data), traces_of(data)


@pytest.fixture(scope="module")
def nat_client(nat_node: Node) -> Any:
    client = nat_node.client()
    for name, source in (("attacker", ATTACKER), ("neighbour", ECHO)):
        create(client, name, source, Timeout=30, MemorySize=512)
        await_active(client, name)
    return client


def run(client: Any, source: str) -> Any:
    result = invoke(client, "attacker", source)
    assert result.error is None, result.payload
    return result.value


def test_the_node_is_at_one_address_and_port_only(nat_client: Any) -> None:
    source = f"""{KNOCK}
import os, urllib.parse
def attack():
    url = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
    ports = [22, 25, 80, 111, 139, 443, 445, 631, 2375, 2379, 3306, 4566]
    ports += [5432, 6379, 8080, 8200, 9000, 9001, 9090]
    found = open_doors([(url.hostname, port) for port in ports if port not in (53, url.port)])
    return [found, knock((url.hostname, url.port))]
"""
    assert run(nat_client, source) == [[], True]


def test_ports_of_the_host_are_closed(nat_client: Any, nat_node: Node) -> None:
    port = int(nat_node.url.rpartition(":")[2])
    with closing(socket.create_server(("0.0.0.0", 0))) as admin:
        ports = [port, admin.getsockname()[1]]
        doors = [(address, p) for address in sorted(host_addresses()) for p in ports]
        source = f"{KNOCK}\ndef attack():\n    return open_doors({doors})\n"
        assert run(nat_client, source) == []


def test_metadata_and_private_doors_are_closed(nat_client: Any) -> None:
    hosts = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "0.0.0.0"]
    doors = [(host, port) for host in hosts for port in (80, 443, 1338)]
    source = f"{KNOCK}\ndef attack():\n    return open_doors({doors})\n"
    assert run(nat_client, source) == []


def test_the_neighbours_and_their_runtime_apis_are_closed(nat_client: Any) -> None:
    assert invoke(nat_client, "neighbour", 1).value == 1
    source = f"""{KNOCK}
import os, urllib.parse
def attack():
    first, second, third, _ = os.environ["AWS_ENDPOINT_URL"].split("//")[1].split(":")[0].split(".")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((f"{{first}}.{{second}}.{{third}}.1", 53))
        own = probe.getsockname()[0]
    hosts = [f"{{first}}.{{second}}.{{third}}.{{last}}" for last in range(2, 32)]
    return open_doors([(host, port) for host in hosts if host != own for port in (9001, 80)])
"""
    assert run(nat_client, source) == []


def test_packets_of_ones_own_making_are_refused(nat_client: Any) -> None:
    source = """
import errno, socket
def told(*kind):
    try:
        socket.socket(*kind).close()
    except OSError as exc:
        return errno.errorcode[exc.errno]
def attack():
    kinds = [(socket.AF_INET, socket.SOCK_RAW, 255), (socket.AF_INET, socket.SOCK_RAW, 1),
             (socket.AF_PACKET, socket.SOCK_DGRAM, 0), (socket.AF_PACKET, socket.SOCK_RAW, 3),
             (socket.AF_NETLINK, socket.SOCK_RAW, 12)]
    return [told(*kind) for kind in kinds]
"""
    assert None not in run(nat_client, source)


def test_the_network_cannot_be_changed(nat_client: Any) -> None:
    source = """
import errno, fcntl, socket, struct
def told(call, *arguments):
    try:
        call(*arguments)
    except OSError as exc:
        return errno.errorcode[exc.errno]
def attack():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        down = told(fcntl.ioctl, one, 0x8914, struct.pack("16sH14x", b"eth0", 0))
        address = struct.pack("16sH2s4s8x", b"eth0", 2, b"", b"\\1" * 4)
        name = told(fcntl.ioctl, one, 0x8916, address)
    low = told(socket.create_server, ("127.0.0.1", 9001))
    return [down, name, low]
"""
    down, name, taken = run(nat_client, source)
    assert (down, name, taken) == ("EPERM", "EPERM", "EADDRINUSE")
