"""nat mode: sandboxes reach the outside, their node's endpoint and its DNS, and nothing else.

Every sandbox has a veth pair of its own to a router, a namespace which one more pair connects
to the host; packets are routed, so no sandbox sees another's. The endpoint and the DNS listen
inside the router, so the host opens no port to sandboxes at all. Namespaces and pairs vanish
with the last descriptor of them, however the warden ends.
"""

from __future__ import annotations

import socket
from collections import deque
from contextlib import ExitStack, suppress

from lambdabox.isolation.warden import conntrack, netlink, nft
from lambdabox.isolation.warden.namespaces import Namespace, new_namespace, write_sysctl
from lambdabox.isolation.warden.nat_host import HOST, ROUTER, HostSide, NodeNames
from lambdabox.isolation.warden.nat_rules import SLOT_PREFIX, UPLINK, router_rules
from lambdabox.isolation.warden.netlink import Netlink
from lambdabox.isolation.warden.network import (
    API_PORT,
    LOOPBACK,
    NetworkError,
    NetworkSlot,
    SlotSource,
    is_renewed,
    listen,
)
from lambdabox.isolation.warden.subnets import Subnet

DNS_PORT = 53
_ENDPOINT_BACKLOG = 2_048
_FIRST_SLOT = 4
_INSIDE = "eth0"
_LO_INDEX = 1
# Far from the numbers of interfaces that the kernel adds to every namespace by itself.
_INSIDE_INDEX = 4_096
_FIRST_SLOT_INDEX = 8_192
# Every pair has the same two, which nobody but its two ends sees.
_ROUTER_HARDWARE = bytes.fromhex("020000000001")
_SLOT_HARDWARE = bytes.fromhex("020000000002")
_SYSCTLS = (
    ("ipv4/ip_forward", 1),
    # Drop what does not come from the one address of the sandbox that sends it.
    ("ipv4/conf/all/rp_filter", 1),
    ("ipv4/conf/default/rp_filter", 1),
    ("ipv4/conf/all/send_redirects", 0),
    ("ipv4/conf/default/send_redirects", 0),
    # A connection whose sandbox is gone must not keep the router for minutes.
    ("ipv4/tcp_orphan_retries", 1),
    ("ipv4/tcp_fin_timeout", 5),
)


class NatSlots(SlotSource):
    """The router of one node, and the slots connected to it.

    `endpoint` (TCP) is for the node's HTTP server, `dns_udp` and `dns_tcp` for a relay to the
    host's resolvers: all in the router, at `router_address`. `notes` are for the operator to
    read. Raises NetworkError, and leaves nothing behind then.
    """

    def __init__(self, names: NodeNames, subnet: Subnet, *, port: int) -> None:
        if port == DNS_PORT:
            raise NetworkError(f"Port {DNS_PORT} is taken by sandboxes' DNS: name another --port.")
        self._next = _FIRST_SLOT
        self._used: deque[int] = deque()
        with ExitStack() as stack:
            try:
                self._set_up(stack, names, subnet, port)
            except (OSError, NetworkError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else exc
                raise NetworkError(f"The network of sandboxes cannot be set up: {reason}.") from exc
            self._closing = stack.pop_all()

    @property
    def resolv_conf(self) -> str:
        """The /etc/resolv.conf of sandboxes."""
        return f"nameserver {self.router_address}\n"

    def furnish(self, namespace: Namespace) -> NetworkSlot:
        number = self._free_number()
        try:
            self._connect(number, namespace)
            listener = listen(LOOPBACK, API_PORT)
        except OSError:
            self._used.append(number)
            raise
        return NetworkSlot(namespace, listener, self._block.address(number))

    def renew(self, slot: NetworkSlot) -> bool:
        """A slot from which anything was sent is not used again, nor its address soon."""
        return is_renewed(slot, _INSIDE)

    def discard(self, slot: NetworkSlot) -> None:
        slot.close()
        if slot.address is not None:
            self._used.append(self._block.number(slot.address))

    def close(self) -> None:
        self._closing.close()

    def _set_up(self, stack: ExitStack, names: NodeNames, subnet: Subnet, port: int) -> None:
        self._tracker = conntrack.tracker()
        stack.callback(self._tracker.close)
        router = _new_router()
        stack.callback(router.close)
        host = HostSide(names, subnet, router)
        stack.callback(host.close)
        self.notes, self._block = host.notes, host.block
        self.router_address = self._block.address(ROUTER)
        with router.entered():
            self._router = Netlink()
            stack.callback(self._router.close)
            nft.load(router_rules(self.router_address, str(self._block), (DNS_PORT, port)))
            uplink = socket.if_nametoindex(UPLINK)
            self._router.request(
                netlink.set_up(_LO_INDEX),
                netlink.add_address(uplink, self.router_address),
                netlink.set_up(uplink),
                netlink.add_route(uplink, "0.0.0.0", 0, self._block.address(HOST)),
            )
            self.endpoint = stack.enter_context(
                listen(self.router_address, port, _ENDPOINT_BACKLOG)
            )
            self.dns_tcp = stack.enter_context(listen(self.router_address, DNS_PORT))
            self.dns_udp = stack.enter_context(_bind_udp(self.router_address, DNS_PORT))

    def _connect(self, number: int, namespace: Namespace) -> None:
        """Connect the current namespace, which is `namespace`, to the router."""
        index, address = _FIRST_SLOT_INDEX + number, self._block.address(number)
        write_sysctl("ipv6/conf/default/disable_ipv6", 1, missing_ok=True)
        self._router.request(
            netlink.new_veth(
                f"{SLOT_PREFIX}{number}", index, _INSIDE, _INSIDE_INDEX, namespace.descriptor,
                up=True, addresses=(_ROUTER_HARDWARE, _SLOT_HARDWARE),
            ),
            netlink.add_route(index, address, 32),
            netlink.add_neighbour(index, address, _SLOT_HARDWARE),
        )  # fmt: skip
        inside = Netlink()
        try:
            inside.request(
                netlink.set_up(_LO_INDEX),
                netlink.add_address(_INSIDE_INDEX, address),
                netlink.set_up(_INSIDE_INDEX),
                netlink.add_route(_INSIDE_INDEX, "0.0.0.0", 0, self.router_address),
                netlink.add_neighbour(_INSIDE_INDEX, self.router_address, _ROUTER_HARDWARE),
            )
        finally:
            inside.close()

    def _free_number(self) -> int:
        """Return the number of an address that is new, or else the one unused for longest."""
        if self._next < self._block.size - 1:
            self._next += 1
            return self._next - 1
        if not self._used:
            raise NetworkError(
                f"All {self._block.size - 1 - _FIRST_SLOT} sandbox addresses in {self._block} are "
                "in use. Name a larger subnet, or allow fewer environments at once."
            )
        number = self._used.popleft()
        # A connection that would not end may still keep the last user's namespace.
        with suppress(OSError):
            self._router.request(netlink.delete_link(_FIRST_SLOT_INDEX + number))
        conntrack.forget(self._tracker, self._block.address(number))
        return number


def _new_router() -> Namespace:
    with new_namespace() as router:
        for scope in ("all", "default"):
            write_sysctl(f"ipv6/conf/{scope}/disable_ipv6", 1, missing_ok=True)
        for name, value in _SYSCTLS:
            write_sysctl(name, value)
    return router


def _bind_udp(address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
