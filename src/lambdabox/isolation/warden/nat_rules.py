"""The packet filter of nat mode, as text for nft.

Two tables stand between a sandbox and everything else. The router's decides what any sandbox
may reach at all; it keeps no state, so nothing in it can pass from one sandbox to the next.
The host's keeps sandboxes away from the host itself and lets in only what answers them.
"""

from __future__ import annotations

UPLINK = "up"
SLOT_PREFIX = "s"
_ROUTER_TABLE = "lambdabox"
FLOWS_OF_ONE = 2_048
"""How many connections the host tracks for one sandbox, which has 1,024 descriptors."""

# This network, loopback, link-local (where clouds keep credentials), multicast and reserved;
# then the clouds' metadata services that are elsewhere: Alibaba, Azure, Oracle.
_CLOSED = (
    "0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3, "
    "100.100.100.200, 168.63.129.16, 192.0.0.192"
)
_REFUSE = "reject with icmp type admin-prohibited"


def without_table(table: str) -> str:
    """Delete a table, whether it is there or not."""
    return f"table ip {table} {{}}\ndelete table ip {table}\n"


def router_rules(address: str, block: str, ports: tuple[int, ...]) -> str:
    """Sandboxes reach the router's own `ports`, and through the uplink what is not closed.

    Sources need no rule here: the router's strict reverse path filter drops false ones.
    """
    tcp = ", ".join(str(port) for port in ports)
    return f"""
table ip {_ROUTER_TABLE} {{
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname "{SLOT_PREFIX}*" ip daddr {address} tcp dport {{ {tcp} }} accept
        iifname "{SLOT_PREFIX}*" ip daddr {address} udp dport 53 accept
        iifname "{SLOT_PREFIX}*" {_REFUSE}
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        iifname "{UPLINK}" oifname "{SLOT_PREFIX}*" accept
        ip daddr {{ {block}, {_CLOSED} }} {_REFUSE}
        iifname "{SLOT_PREFIX}*" oifname "{UPLINK}" accept
    }}
}}
"""


def host_rules(table: str, interface: str, block: str) -> str:
    """Replace the node's table on the host.

    The first chain comes before any address is rewritten, so that a port which the host
    forwards elsewhere (as container engines do) is as closed as the host's own.
    """
    return f"""{without_table(table)}
table ip {table} {{
    set flows {{
        type ipv4_addr; size 65536; flags dynamic;
    }}
    chain prerouting {{
        type filter hook prerouting priority mangle; policy accept;
        iifname != "{interface}" return
        ip saddr != {block} drop
        fib daddr type {{ local, broadcast, multicast }} {_REFUSE}
    }}
    chain input {{
        type filter hook input priority filter - 10; policy accept;
        iifname "{interface}" drop
    }}
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        oifname "{interface}" ct state established,related accept
        oifname "{interface}" drop
        iifname != "{interface}" return
        ip daddr {{ {block}, {_CLOSED} }} {_REFUSE}
        ct state invalid drop
        ct state new add @flows {{ ip saddr ct count over {FLOWS_OF_ONE} }} {_REFUSE}
        tcp flags syn tcp option maxseg size set rt mtu
    }}
    chain output {{
        type filter hook output priority filter - 10; policy accept;
        oifname != "{interface}" return
        ip protocol icmp accept
        ct state established,related accept
        drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {block} oifname != "{interface}" masquerade
    }}
}}
"""
