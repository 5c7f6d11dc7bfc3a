"""Forget the connections that the host tracks for an address, before another gets it.

What answers a tracked connection is let in. An entry outlives its sandbox by seconds or
days, and whoever is at the other end can keep it alive, so the next sandbox at the address
would be open to strangers that the last one spoke to.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from lambdabox.isolation.warden.netlink import (
    NETLINK_NETFILTER,
    NLA_F_NESTED,
    Netlink,
    attribute,
    attributes,
)

_SUBSYSTEM = 1 << 8
_GET = _SUBSYSTEM | 1
_DELETE = _SUBSYSTEM | 2
_HEAD = struct.pack("=BBH", socket.AF_INET, 0, 0)
_CTA_TUPLE_ORIG = 1
_CTA_ID = 12
_CTA_ZONE = 18
_CTA_FILTER = 25
_CTA_TUPLE_IP = 1
_CTA_IP_V4_SRC = 1
_CTA_FILTER_ORIG_FLAGS = 1
_CTA_FILTER_REPLY_FLAGS = 2
_FILTER_SOURCE = 1


def forget(tracker: Netlink, address: str) -> None:
    """Forget what `address` has begun. Raises OSError."""
    for entry in tracked(tracker, address):
        body = _HEAD + attribute(_CTA_TUPLE_ORIG | NLA_F_NESTED, entry[_CTA_TUPLE_ORIG])
        for kind in (_CTA_ID, _CTA_ZONE):
            body += attribute(kind, entry[kind]) if kind in entry else b""
        with suppress(FileNotFoundError):  # it has expired meanwhile
            tracker.request((_DELETE, 0, body))


def tracked(tracker: Netlink, address: str) -> list[dict[int, bytes]]:
    """Return the entries that `address` has begun, as the kernel gives them. Raises OSError."""
    source = socket.inet_aton(address)
    entries = (attributes(body[4:]) for body in tracker.dump(_GET, _HEAD + _only_from(source)))
    # Kernels before 5.8 ignore the filter and list everything.
    return [entry for entry in entries if _source_of(entry) == source]


def tracker() -> Netlink:
    """Return a socket for `forget`, for the current namespace."""
    return Netlink(NETLINK_NETFILTER)


def _only_from(source: bytes) -> bytes:
    addresses = attribute(_CTA_TUPLE_IP | NLA_F_NESTED, attribute(_CTA_IP_V4_SRC, source))
    flags = attribute(_CTA_FILTER_ORIG_FLAGS, struct.pack("=I", _FILTER_SOURCE))
    flags += attribute(_CTA_FILTER_REPLY_FLAGS, struct.pack("=I", 0))
    return attribute(_CTA_TUPLE_ORIG | NLA_F_NESTED, addresses) + attribute(
        _CTA_FILTER | NLA_F_NESTED, flags
    )


def _source_of(entry: dict[int, bytes]) -> bytes | None:
    addresses = attributes(entry.get(_CTA_TUPLE_ORIG, b"")).get(_CTA_TUPLE_IP, b"")
    return attributes(addresses).get(_CTA_IP_V4_SRC)
