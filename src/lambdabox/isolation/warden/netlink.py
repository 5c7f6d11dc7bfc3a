"""The few netlink requests that networking needs, so that no `ip` program has to be there.

A socket speaks to the namespace it was opened in, wherever its process has gone since.
Requests are built as bytes and sent several at a time: the kernel does them in order.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_REPLACE = 0x100
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11

_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_NEWADDR = 20
_RTM_NEWROUTE = 24
_RTM_GETROUTE = 26
_RTM_NEWNEIGH = 28

_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_LINKINFO = 18
_IFLA_NET_NS_FD = 28
_IFLA_NUM_TX_QUEUES = 31
_IFLA_NUM_RX_QUEUES = 32
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_VETH_INFO_PEER = 1
_IFF_UP = 0x1

_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_NDA_DST = 1
_NDA_LLADDR = 2
_NUD_PERMANENT = 0x80
_RT_TABLE_MAIN = 254
_RTPROT_STATIC = 4
_RT_SCOPE_UNIVERSE = 0
_RT_SCOPE_LINK = 253
_RTN_UNICAST = 1
_RTNH_F_ONLINK = 4

_DUMP_BYTES = 65_536


class Netlink:
    """A netlink socket of the current namespace."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def request(self, *requests: tuple[int, int, bytes]) -> None:
        """Do the requests in order. Raises OSError with the kernel's reason for the first failure.

        The others are done even so.
        """
        first = self._sequence + 1
        self._socket.send(b"".join(self._message(*request) for request in requests))
        failure: OSError | None = None
        while self._sequence >= first:
            for sequence, kind, flags, body in _messages(self._socket.recv(_DUMP_BYTES)):
                if kind == _NLMSG_ERROR and sequence >= first:
                    failure = failure or _failure(flags, body)
                    if sequence == self._sequence:
                        first = self._sequence + 1
        if failure is not None:
            raise failure

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Yield the body of each answer to a dump request. To be read to its end."""
        self._socket.send(self._message(kind, NLM_F_DUMP, body))
        while True:
            for sequence, answer, flags, data in _messages(self._socket.recv(_DUMP_BYTES)):
                if sequence != self._sequence:
                    continue
                if answer == _NLMSG_DONE:
                    return
                if answer == _NLMSG_ERROR:
                    failure = _failure(flags, data)
                    if failure is not None:
                        raise failure
                    return
                yield data

    def close(self) -> None:
        self._socket.close()

    def _message(self, kind: int, flags: int, body: bytes) -> bytes:
        self._sequence += 1
        if flags & NLM_F_DUMP != NLM_F_DUMP:
            flags |= NLM_F_ACK
        head = struct.pack("=IHHII", 16 + len(body), kind, flags | NLM_F_REQUEST, self._sequence, 0)
        return _padded(head + body)


def attribute(kind: int, value: bytes) -> bytes:
    return _padded(struct.pack("=HH", 4 + len(value), kind) + value)


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes in `data` by type; of those that repeat, the last."""
    found = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def new_veth(
    name: str, index: int, peer: str, peer_index: int, peer_namespace: int, *,
    up: bool, addresses: tuple[bytes, bytes] | None = None,
) -> tuple[int, int, bytes]:  # fmt: skip
    """Make a pair of interfaces, one end in another namespace (a descriptor).

    Indexes of 0 let the kernel choose. `up` is for the first end: the other cannot be brought
    up before the pair is complete. `addresses` are the hardware addresses of both ends.
    """
    own, other = addresses or (b"", b"")
    peer_body = _link(peer_index, up=False) + _interface(peer, other)
    peer_body += attribute(_IFLA_NET_NS_FD, struct.pack("=i", peer_namespace))
    data = attribute(_IFLA_INFO_DATA | NLA_F_NESTED, attribute(_VETH_INFO_PEER, peer_body))
    info = attribute(_IFLA_INFO_KIND, b"veth") + data
    body = _link(index, up=up) + _interface(name, own)
    body += attribute(_IFLA_LINKINFO | NLA_F_NESTED, info)
    return _RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body


def set_up(index: int) -> tuple[int, int, bytes]:
    return _RTM_NEWLINK, 0, _link(index, up=True)


def delete_link(index: int) -> tuple[int, int, bytes]:
    return _RTM_DELLINK, 0, _link(index, up=False)


def add_address(index: int, address: str) -> tuple[int, int, bytes]:
    """Give the interface an address of its own, without a network around it."""
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, _RT_SCOPE_UNIVERSE, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return _RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body


def add_route(
    index: int, destination: str, length: int, gateway: str | None = None
) -> tuple[int, int, bytes]:
    """Send what is for `destination`/`length` to the interface, or to a gateway behind it."""
    scope = _RT_SCOPE_UNIVERSE if gateway else _RT_SCOPE_LINK
    flags = _RTNH_F_ONLINK if gateway else 0
    body = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, length, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope,
        _RTN_UNICAST, flags,
    )  # fmt: skip
    if length:
        body += attribute(_RTA_DST, socket.inet_aton(destination))
    if gateway:
        body += attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
    body += attribute(_RTA_OIF, struct.pack("=I", index))
    return _RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body


def add_neighbour(index: int, address: str, hardware: bytes) -> tuple[int, int, bytes]:
    """Make known for good who has `address`, so that nobody asks and the table cannot overflow."""
    body = struct.pack("=BBHiHBB", socket.AF_INET, 0, 0, index, _NUD_PERMANENT, 0, 0)
    body += attribute(_NDA_DST, socket.inet_aton(address)) + attribute(_NDA_LLADDR, hardware)
    return _RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body


def ipv4_routes(route: Netlink) -> Iterator[tuple[str, int]]:
    """Yield the destinations that the namespace has routes to, local addresses included."""
    for body in route.dump(_RTM_GETROUTE, struct.pack("=B11x", socket.AF_INET)):
        destination = attributes(body[12:]).get(_RTA_DST, bytes(4))
        yield socket.inet_ntoa(destination), body[1]


def _link(index: int, *, up: bool) -> bytes:
    flags = _IFF_UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _interface(name: str, hardware: bytes) -> bytes:
    body = attribute(_IFLA_IFNAME, name.encode() + b"\0")
    # As many queues as processors would be the default, and memory for each.
    body += attribute(_IFLA_NUM_TX_QUEUES, struct.pack("=I", 1))
    body += attribute(_IFLA_NUM_RX_QUEUES, struct.pack("=I", 1))
    return body + (attribute(_IFLA_ADDRESS, hardware) if hardware else b"")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, offset)
        if length < 16:
            return
        yield sequence, kind, flags, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _failure(flags: int, body: bytes) -> OSError | None:
    number = -int(struct.unpack_from("=i", body)[0])
    if number == 0:
        return None
    reason = os.strerror(number)
    if flags & _NLM_F_ACK_TLVS and flags & _NLM_F_CAPPED:
        said = attributes(body[20:]).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0")
        reason += f" ({said.decode(errors='replace')})" if said else ""
    return OSError(number, f"netlink: {reason}")
