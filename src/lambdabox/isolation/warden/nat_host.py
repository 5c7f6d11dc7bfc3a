"""What nat mode needs of the host: one interface, one route, one nft table, forwarding.

The interface is one end of a pair into the router's namespace, and goes when that does. The
table stays after a SIGKILL; it speaks of an interface that is gone, so it does nothing, and
`sweep` or the next start removes it.
"""

from __future__ import annotations

import binascii
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

from lambdabox.isolation.warden import netlink, nft
from lambdabox.isolation.warden.namespaces import Namespace, new_namespace, write_sysctl
from lambdabox.isolation.warden.nat_rules import UPLINK, host_rules, router_rules, without_table
from lambdabox.isolation.warden.netlink import Netlink
from lambdabox.isolation.warden.network import NetworkError
from lambdabox.isolation.warden.subnets import Subnet, free_blocks

ROUTER, HOST = 1, 2
"""Which addresses of the block the router and the host have on the pair between them."""
_INTERFACE_PREFIX = "lbx-"
_TABLE_PREFIX = "lambdabox_"
_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
_CANNOT = (errno.EPERM, errno.EACCES, errno.EROFS)


class NodeNames:
    """What a node's things are called on the host, which it may share with other nodes."""

    __slots__ = ("interface", "seed", "table")

    def __init__(self, data_directory: str) -> None:
        self.seed = binascii.crc32(os.fsencode(os.path.realpath(data_directory)))
        self.interface = f"{_INTERFACE_PREFIX}{self.seed:08x}"
        self.table = f"{_TABLE_PREFIX}{self.seed:08x}"


class HostSide:
    """The host's end of the pair to `router`, and the block of addresses behind it.

    Raises OSError or NetworkError, and leaves nothing behind then.
    """

    def __init__(self, names: NodeNames, subnet: Subnet, router: Namespace) -> None:
        self._names = names
        self._route = Netlink()
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._index = self._connect(router)
            self.block = self._choose_block(subnet)
            self.notes = (*_turn_on_forwarding(), *_filters_in_the_way(names))
            on_failure.pop_all()

    def close(self) -> None:
        """Remove what the node has on the host. May be called twice."""
        # Sockets that others hold still keep the router's namespace, but not its way out.
        with suppress(OSError):
            _delete_interface(self._route, self._names.interface)
        self._route.close()
        with suppress(NetworkError):
            nft.load(without_table(self._names.table))

    def _connect(self, router: Namespace) -> int:
        """Make the pair, still down, in place of one that a killed node left."""
        name = self._names.interface
        _delete_interface(self._route, name)
        self._route.request(netlink.new_veth(name, 0, UPLINK, 0, router.descriptor, up=False))
        write_sysctl(f"ipv6/conf/{name}/disable_ipv6", 1, missing_ok=True)
        return socket.if_nametoindex(name)

    def _choose_block(self, subnet: Subnet) -> Subnet:
        """Send a block that the host has no other route to, to the router."""
        routes = list(netlink.ipv4_routes(self._route))
        for block in free_blocks(subnet, routes, self._names.seed):
            # The filter comes first, so that the interface is never up without it.
            nft.load(host_rules(self._names.table, self._names.interface, str(block)))
            with suppress(FileExistsError):  # another node has taken it meanwhile
                self._route.request(netlink.set_up(self._index))
                self._route.request(
                    netlink.add_route(
                        self._index, block.address(0), block.length, block.address(ROUTER)
                    )
                )
                self._route.request(netlink.add_address(self._index, block.address(HOST)))
                return block
        raise NetworkError(
            f"the host has routes into every part of {subnet}; "
            "name a subnet for sandboxes that nothing else uses"
        )


def available() -> str | None:
    """Return why nat mode cannot be set up here; None if it can. Changes nothing on the host.

    Tries it, in a namespace that is thrown away. For a thread that may change namespaces.
    """
    if os.geteuid() != 0:
        return f"it needs root, and this process runs as uid {os.geteuid()}"
    if nft.program() is None:
        return nft.MISSING
    if not os.access(_FORWARDING, os.W_OK):
        return f"{_FORWARDING} cannot be written, as in a container that is not privileged"
    try:
        _try_in_a_namespace()
    except OSError as exc:
        if exc.errno in _CANNOT:
            return f"it needs the capabilities CAP_SYS_ADMIN and CAP_NET_ADMIN ({exc.strerror})"
        return f"the kernel cannot make namespaces and veth pairs ({exc.strerror})"
    except NetworkError as exc:
        return f"the kernel lacks what the packet filter needs: {exc}"
    return None


def sweep(data_directory: str) -> None:
    """Remove what a killed node left on the host: this one, and those that do not run any more.

    Raises NetworkError or OSError if that cannot be done.
    """
    own = NodeNames(data_directory)
    with closing(Netlink()) as route:
        _delete_interface(route, own.interface)
    if nft.program() is None:
        return
    running = {name for _, name in socket.if_nameindex() if name.startswith(_INTERFACE_PREFIX)}
    # A node makes its interface before its table, so a table without one is a leftover.
    leftover = [
        table
        for table in _tables()
        if table.startswith(_TABLE_PREFIX)
        and _INTERFACE_PREFIX + table.removeprefix(_TABLE_PREFIX) not in running
    ]
    if leftover:
        nft.load("".join(without_table(table) for table in leftover))


def _try_in_a_namespace() -> None:
    names, block = NodeNames("probe"), Subnet(0xC612_0000, 20)
    with ExitStack() as stack, new_namespace() as namespace:
        stack.callback(namespace.close)
        route = stack.enter_context(closing(Netlink()))
        route.request(
            netlink.new_veth(names.interface, 0, UPLINK, 0, namespace.descriptor, up=False)
        )
        nft.load(host_rules(names.table, names.interface, str(block)))
        nft.load(router_rules(block.address(ROUTER), str(block), (53,)))
        write_sysctl("ipv4/ip_forward", 1)


def _tables() -> list[str]:
    """Return the names of the host's tables for IPv4."""
    lines = (line.split() for line in nft.listing("tables", "ip").splitlines())
    return [words[2] for words in lines if words[:2] == ["table", "ip"]]


def _delete_interface(route: Netlink, name: str) -> None:
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return  # there is none
    route.request(netlink.delete_link(index))


def _turn_on_forwarding() -> Iterator[str]:
    """Let the host forward packets. It stays so: others may rely on it by the time we stop."""
    with open(_FORWARDING, encoding="ascii") as file:
        if file.read().strip() != "0":
            return
    write_sysctl("ipv4/ip_forward", 1)
    yield (
        "The host did not forward packets (net.ipv4.ip_forward was 0). It does now, so that "
        "sandboxes reach the outside, and will go on when the node stops."
    )


def _filters_in_the_way(names: NodeNames) -> Iterator[str]:
    """Tell of other programs' filters that drop what is forwarded, which no rule of ours undoes."""
    table = ""
    for line in nft.listing("chains").splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif (
            "hook forward" in line and "policy drop" in line and table.startswith(("ip ", "inet "))
        ):
            yield (
                f"Another program's packet filter (nft table {table}) drops forwarded packets "
                "unless told otherwise, so sandboxes may not reach the outside. Let it accept "
                f"what comes in from {names.interface}, and answers going out to it."
            )
