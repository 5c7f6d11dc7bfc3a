"""Slots of the modes without NAT: what is in them, and that nothing stays when they are reused."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.networks import QUICKLY, datagram_socket, host_addresses, require_root

from lambdabox.isolation.warden.network import (
    HostSlots,
    IsolatedSlots,
    NetworkPool,
    NetworkSlot,
)


@pytest.fixture
def pool() -> Iterator[NetworkPool]:
    require_root()
    before = (os.readlink("/proc/self/ns/net"), len(os.listdir("/proc/self/fd")))
    with closing(NetworkPool(IsolatedSlots(), ready=1, most=3)) as it:
        yield it
    assert (os.readlink("/proc/self/ns/net"), len(os.listdir("/proc/self/fd"))) == before


@pytest.fixture
def slot(pool: NetworkPool) -> Iterator[NetworkSlot]:
    with closing(pool.take()) as it:
        yield it


def accepted(slot: NetworkSlot) -> socket.socket:
    """Accept the connection that the loopback has already delivered."""
    return slot.listener.accept()[0]


def namespace_of(slot: NetworkSlot) -> tuple[int, int]:
    assert slot.namespace is not None
    status = os.fstat(slot.namespace.descriptor)
    return status.st_dev, status.st_ino


def test_the_runtime_api_of_each_slot_is_its_own(pool: NetworkPool, slot: NetworkSlot) -> None:
    with closing(pool.take()) as other, slot.connect(9001), accepted(slot):
        assert slot.api_address == other.api_address == "127.0.0.1:9001"
        with pytest.raises(BlockingIOError):
            other.listener.accept()


def test_the_node_reaches_a_port_of_the_sandbox(slot: NetworkSlot) -> None:
    assert slot.namespace is not None
    with slot.namespace.entered():
        server = socket.create_server(("127.0.0.1", 0))
    with server, slot.connect(server.getsockname()[1]) as near, server.accept()[0] as far:
        far.sendall(b"hello")
        near.settimeout(QUICKLY)
        assert near.recv(5) == b"hello"


def test_a_port_that_nobody_listens_on_is_refused(slot: NetworkSlot) -> None:
    try:
        with slot.connect(9) as connection:
            problem = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except OSError as exc:
        problem = exc.errno or 0
    assert problem == errno.ECONNREFUSED


@pytest.mark.parametrize("port", [-1, 0, 65_536])
def test_what_is_no_port_is_refused(slot: NetworkSlot, port: int) -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        slot.connect(port)


def test_an_isolated_sandbox_reaches_nothing(slot: NetworkSlot) -> None:
    assert slot.namespace is not None
    with socket.create_server(("0.0.0.0", 0)) as server:
        outer = host_addresses() - {"127.0.0.1"}
        assert outer
        for address in (*outer, "192.0.2.9", "169.254.169.254", "224.0.0.1"):
            with (
                datagram_socket(slot.namespace) as sender,
                pytest.raises(OSError, match="Network is unreachable"),
            ):
                sender.sendto(b"hello", (address, server.getsockname()[1]))
        with slot.namespace.entered():
            assert [name for _, name in socket.if_nameindex() if name.startswith("e")] == []
            with socket.socket() as client, pytest.raises(ConnectionRefusedError):
                client.connect(("127.0.0.1", server.getsockname()[1]))


def test_a_slot_without_traces_is_used_again(pool: NetworkPool) -> None:
    slot = pool.take()
    before = namespace_of(slot)
    pool.give_back(slot)
    with closing(pool.take()) as again:
        assert namespace_of(again) == before


def test_connections_queued_by_the_last_user_do_not_reach_the_next(pool: NetworkPool) -> None:
    slot = pool.take()
    before = namespace_of(slot)
    with slot.connect(9001) as queued:
        queued.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pool.give_back(slot)
    with closing(pool.take()) as again:
        with pytest.raises(BlockingIOError):
            again.listener.accept()
        assert namespace_of(again) == before


def test_a_copy_of_the_old_listener_accepts_nothing(pool: NetworkPool) -> None:
    slot = pool.take()
    with slot.listener.dup() as copy:
        pool.give_back(slot)
        with closing(pool.take()) as again, again.connect(9001):
            with pytest.raises(OSError, match="Invalid argument"):
                copy.accept()
            accepted(again).close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_slot_with_a_socket_left_in_it_is_not_used_again(
    pool: NetworkPool, kind: socket.SocketKind, family: socket.AddressFamily
) -> None:
    slot = pool.take()
    assert slot.namespace is not None
    with slot.namespace.entered():
        left = socket.socket(family, kind)
        left.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 5000))
        if kind == socket.SOCK_STREAM:
            left.listen()
    with left:
        pool.give_back(slot)
        assert len(pool) == 0


def test_a_slot_with_a_connection_that_still_closes_is_not_used_again(pool: NetworkPool) -> None:
    slot = pool.take()
    near = slot.connect(9001)
    far = accepted(slot)
    near.close()
    far.close()  # the first to close waits for a minute (TIME_WAIT)
    pool.give_back(slot)
    assert len(pool) == 0


def test_a_slot_that_was_closed_is_not_used_again(pool: NetworkPool) -> None:
    slot = pool.take()
    slot.close()
    pool.give_back(slot)
    assert len(pool) == 0


def test_a_pool_makes_what_is_missing_and_keeps_no_more_than_it_may(pool: NetworkPool) -> None:
    assert not pool.refill()
    assert len(pool) == 1
    slots = [pool.take() for _ in range(5)]
    for slot in slots:
        pool.give_back(slot)
    assert len(pool) == 3
    assert not pool.refill()
    assert len(pool) == 3


def test_host_mode_has_a_listener_of_the_host_for_each() -> None:
    with closing(NetworkPool(HostSlots(), ready=0, most=2)) as pool:
        first, second = pool.take(), pool.take()
        assert first.namespace is None
        assert first.api_address != second.api_address
        host, port = first.api_address.split(":")
        with socket.create_connection((host, int(port)), QUICKLY), accepted(first):
            pass
        pool.give_back(first)
        pool.give_back(second)
        assert len(pool) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), QUICKLY)
