"""Decide who gets into the console.

It shows and changes everything on the node, so it is never open by accident: only to the
machine it runs on, and only while nothing says otherwise. Everybody else needs the token of
the settings, and where there is none, nobody else gets in.
"""

import ipaddress
from collections.abc import Collection
from enum import Enum, auto

from lambdabox.domain.values import dataclass
from lambdabox.gateway.destination import host_name

_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain"})


class Verdict(Enum):
    WELCOME = auto()
    NEEDS_LOGIN = auto()
    NOT_SET_UP = auto()
    """Nobody from there gets in, because no token is set."""
    WRONG_HOST = auto()
    """The name in the Host header is a stranger's, who may have made it lead to this machine."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """What is known of who asks."""

    host: str
    """The Host header."""
    client: str
    """The address that the connection came from."""
    is_forwarded: bool
    """Whether a proxy says that it asks for somebody else."""
    has_logged_in: bool


@dataclass(frozen=True, slots=True)
class AccessRules:
    bind_host: str
    token: str | None
    hosts: Collection[str] = ()
    """Names beside the node's own under which browsers may reach it."""

    def judge(self, visitor: Visitor) -> Verdict:
        name = host_name(visitor.host)
        if not self._is_known(name):
            return Verdict.WRONG_HOST
        if visitor.has_logged_in:
            return Verdict.WELCOME
        if self.token:
            return Verdict.NEEDS_LOGIN
        is_local = (
            is_loopback(self.bind_host)
            and is_loopback(visitor.client)
            and is_loopback(name)
            and not visitor.is_forwarded
        )
        return Verdict.WELCOME if is_local else Verdict.NOT_SET_UP

    def _is_known(self, name: str) -> bool:
        # An address cannot be made to lead elsewhere; a name can, by whoever owns its domain.
        return (
            is_loopback(name)
            or _is_address(name)
            or name == self.bind_host.lower()
            or name in self.hosts
        )


def is_loopback(host: str) -> bool:
    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
