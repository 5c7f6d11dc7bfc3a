"""Setting nat mode up beside what a host already has, and leaving no trace of it."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import networks
from support.networks import Footprint, Outside, datagram_socket, footprint
from support.processes import eventually
from support.programs import needed

from lambdabox.isolation.warden import conntrack, nat_host, netlink, nft, subnets
from lambdabox.isolation.warden.nat import NatSlots
from lambdabox.isolation.warden.nat_host import NodeNames, available, sweep
from lambdabox.isolation.warden.netlink import Netlink
from lambdabox.isolation.warden.network import NetworkError, NetworkPool, NetworkSlot

pytestmark = pytest.mark.alone

NODE = """
import sys, time
from lambdabox.isolation.warden import subnets
from lambdabox.isolation.warden.nat import NatSlots
from lambdabox.isolation.warden.nat_host import NodeNames
source = NatSlots(NodeNames(sys.argv[1]), subnets.parse("198.18.0.0/15"), port=4566)
slots = [source.make() for _ in range(3)]
print(source.router_address, flush=True)
time.sleep(600)
"""
SMALL = "198.19.255.240/28"
"""Room for eleven sandboxes."""


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    networks.require_root()
    needed("nft")
    before = footprint()
    with networks.forwarding_kept():
        yield
    assert_back_to(before)


def assert_back_to(before: Footprint) -> None:
    # The kernel takes namespaces apart in its own time.
    eventually(lambda: footprint() == before, within=20)
    assert footprint() == before


def send_something(slot: NetworkSlot, to: Outside) -> None:
    assert slot.namespace is not None
    with datagram_socket(slot.namespace) as client, to.receive() as server:
        client.sendto(b"hello", server.getsockname())
        assert server.recv(64) == b"hello"


def killed_node(directory: Path) -> None:
    """Run a node's network in a process of its own, and kill that."""
    command = [sys.executable, "-c", NODE, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 60)[0]
        assert process.stdout.readline().startswith("198.1")
        process.send_signal(signal.SIGKILL)


def interface_is_gone(names: NodeNames) -> bool:
    return names.interface not in [name for _, name in socket.if_nameindex()]


def test_close_leaves_nothing(tmp_path: Path) -> None:
    before = footprint()
    with networks.network(tmp_path) as source:
        pool = NetworkPool(source, ready=2, most=4)
        assert pool.refill()
        assert not pool.refill()
        pool.give_back(pool.take())
        assert footprint() != before
        pool.close()
        pool.close()


def test_a_killed_node_leaves_one_table_which_a_sweep_removes(tmp_path: Path) -> None:
    before, names = footprint(), NodeNames(str(tmp_path))
    killed_node(tmp_path)
    assert eventually(lambda: interface_is_gone(names), within=20)
    assert names.table in footprint().rules
    sweep(str(tmp_path))
    assert_back_to(before)


def test_the_next_start_replaces_what_a_killed_node_left(tmp_path: Path) -> None:
    killed_node(tmp_path)
    with networks.network(tmp_path) as source, networks.slot_of(source) as slot:
        assert slot.address


def test_a_sweep_removes_what_nodes_with_lost_directories_left(tmp_path: Path) -> None:
    lost = NodeNames(str(tmp_path / "lost"))
    killed_node(tmp_path / "lost")
    assert eventually(lambda: interface_is_gone(lost), within=20)
    with networks.network(tmp_path / "running") as running:
        sweep(str(tmp_path / "mine"))
        rules = footprint().rules
        assert lost.table not in rules
        assert NodeNames(str(tmp_path / "running")).table in rules
        with networks.slot_of(running) as slot:
            assert slot.address


def test_two_nodes_take_different_blocks(tmp_path: Path) -> None:
    with (
        networks.network(tmp_path / "a", "198.18.0.0/19") as first,
        networks.network(tmp_path / "b", "198.18.0.0/19") as second,
    ):
        assert first.router_address != second.router_address
        with pytest.raises(NetworkError, match=r"routes into every part of 198\.18\.0\.0/19"):
            NatSlots(NodeNames(str(tmp_path / "c")), subnets.parse("198.18.0.0/19"), port=80)


def test_a_failure_on_the_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = footprint()
    with networks.forwarding_kept(), pytest.raises(NetworkError, match="cannot be set up"):
        NatSlots(NodeNames(str(tmp_path)), networks.SUBNET, port=65_536 + 1)
    assert_back_to(before)


def test_a_slot_that_sent_nothing_is_used_again(tmp_path: Path) -> None:
    with networks.network(tmp_path) as source:
        pool = NetworkPool(source, ready=0, most=4)
        slot = pool.take()
        pool.give_back(slot)
        assert pool.take() is slot
        slot.close()


def test_a_slot_that_sent_anything_is_not_used_again(tmp_path: Path) -> None:
    with networks.outside() as outer, networks.network(tmp_path) as source:
        pool = NetworkPool(source, ready=0, most=4)
        slot = pool.take()
        send_something(slot, outer)
        pool.give_back(slot)
        assert len(pool) == 0
        with networks.slot_of(source) as following:
            assert following.address != slot.address


def test_an_address_that_is_used_again_has_no_tracked_connections(tmp_path: Path) -> None:
    with (
        networks.outside() as outer,
        networks.network(tmp_path, SMALL) as source,
        closing(conntrack.tracker()) as tracker,
    ):
        slots = [source.make() for _ in range(11)]
        first = slots[0].address
        assert first is not None
        send_something(slots[0], outer)
        assert conntrack.tracked(tracker, first)
        for slot in slots:
            source.discard(slot)
        with networks.slot_of(source) as again:
            assert again.address == first
            assert not conntrack.tracked(tracker, first)
            send_something(again, outer)


def test_only_the_connections_of_that_address_are_forgotten(tmp_path: Path) -> None:
    with (
        networks.outside() as outer,
        networks.network(tmp_path) as source,
        closing(conntrack.tracker()) as tracker,
        networks.slot_of(source) as one,
        networks.slot_of(source) as other,
    ):
        assert one.address
        assert other.address
        send_something(one, outer)
        send_something(other, outer)
        conntrack.forget(tracker, one.address)
        assert not conntrack.tracked(tracker, one.address)
        assert conntrack.tracked(tracker, other.address)


def test_a_full_subnet_says_so(tmp_path: Path) -> None:
    with networks.network(tmp_path, SMALL) as source:
        slots = [source.make() for _ in range(11)]
        with pytest.raises(NetworkError, match=r"All 11 sandbox addresses in 198\.19\.255\.240/28"):
            source.make()
        for slot in slots:
            source.discard(slot)


def test_forwarding_is_turned_on_and_that_is_said(tmp_path: Path) -> None:
    networks.set_forwarding("0")
    with networks.network(tmp_path / "a") as first, networks.network(tmp_path / "b") as second:
        assert "net.ipv4.ip_forward was 0" in " ".join(first.notes)
        assert not second.notes


def test_a_filter_of_others_that_drops_forwarded_packets_is_told_of(tmp_path: Path) -> None:
    networks.set_forwarding("1")
    drop = "chain f { type filter hook forward priority 0; policy drop; }"
    with networks.rules(drop), networks.network(tmp_path) as source:
        [note] = source.notes
    assert "nft table ip lbxtest" in note
    assert NodeNames(str(tmp_path)).interface in note


def test_nat_is_available_here_and_asking_changes_nothing() -> None:
    before = (footprint(), os.readlink("/proc/self/ns/net"))
    networks.set_forwarding("0")
    assert available() is None
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
    assert (footprint(), os.readlink("/proc/self/ns/net")) == before


def test_without_root_nat_is_not_available_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert available() == "it needs root, and this process runs as uid 1000"


def test_without_nft_nat_is_not_available_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nft, "_DIRECTORIES", (str(tmp_path),))
    assert "apt-get install nftables" in str(available())
    sweep(str(tmp_path))  # a node that cannot have NAT starts all the same


def test_what_nft_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nat_host, "host_rules", lambda *_: "table ip lbxtest { nonsense; }")
    assert "nonsense" in str(available())


def test_the_kernels_reason_is_told() -> None:
    with closing(Netlink()) as route, pytest.raises(OSError, match=r"No such device \(.+\)"):
        route.request(netlink.add_address(987_654, "192.0.2.254"))


def test_requests_after_one_that_fails_are_done_too() -> None:
    with closing(Netlink()) as route:
        with pytest.raises(OSError, match="No such device"):
            route.request(netlink.delete_link(987_654), netlink.set_up(1))
        route.request(netlink.set_up(1))
        assert list(netlink.ipv4_routes(route))
