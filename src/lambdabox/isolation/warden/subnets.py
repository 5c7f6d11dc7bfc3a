"""IPv4 subnets, and which part of one a node takes for its sandboxes.

Several nodes share a machine and a setting, so each takes a block of its own: first the one
its data directory points to, else the next that the machine has no route to.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

BLOCK_BITS = 20
"""A block of 4,096 addresses: more than one node has sandboxes."""
_SMALLEST_BITS = 28
_WIDEST_BITS = 8
"""Wider routes say where everything goes, as default routes and those of VPNs do."""


class Subnet:
    """`length` leading bits of the address `first`."""

    __slots__ = ("first", "length")

    def __init__(self, first: int, length: int) -> None:
        self.first = first
        self.length = length

    @property
    def size(self) -> int:
        return 1 << (32 - self.length)

    def address(self, number: int) -> str:
        if not 0 <= number < self.size:
            raise ValueError(f"{self} has no address number {number}")
        return socket.inet_ntoa((self.first + number).to_bytes(4, "big"))

    def number(self, address: str) -> int:
        return int.from_bytes(socket.inet_aton(address), "big") - self.first

    def overlaps(self, other: Subnet) -> bool:
        shift = 32 - min(self.length, other.length)
        return self.first >> shift == other.first >> shift

    def blocks(self, seed: int) -> Iterator[Subnet]:
        """Yield every block of this subnet once, from the one that `seed` points to."""
        bits = max(self.length, BLOCK_BITS)
        count = 1 << (bits - self.length)
        for turn in range(count):
            yield Subnet(self.first + (seed + turn) % count * (1 << (32 - bits)), bits)

    def __str__(self) -> str:
        return f"{socket.inet_ntoa(self.first.to_bytes(4, 'big'))}/{self.length}"


def parse(text: str) -> Subnet:
    """Return the subnet written as 198.18.0.0/15. Raises ValueError that says what would do."""
    address, _, length = text.partition("/")
    try:
        packed = socket.inet_pton(socket.AF_INET, address)
    except OSError as exc:
        raise ValueError("give an IPv4 subnet such as 198.18.0.0/15") from exc
    is_number = length.isascii() and length.isdecimal() and len(length) <= 2
    if not (is_number and _WIDEST_BITS <= int(length) <= _SMALLEST_BITS):
        raise ValueError(f"a subnet ends in its length, from /{_WIDEST_BITS} to /{_SMALLEST_BITS}")
    subnet = Subnet(int.from_bytes(packed, "big"), int(length))
    if subnet.first % subnet.size:
        raise ValueError(f"{address} is not the first address of a subnet of length /{length}")
    return subnet


def free_blocks(subnet: Subnet, routes: Iterable[tuple[str, int]], seed: int) -> Iterator[Subnet]:
    """Yield the blocks of `subnet` that no route (destination, length) is for."""
    taken = [
        Subnet(int.from_bytes(socket.inet_aton(destination), "big"), length)
        for destination, length in routes
        if length >= _WIDEST_BITS
    ]
    return (
        block for block in subnet.blocks(seed) if not any(block.overlaps(each) for each in taken)
    )
