"""Put the warden together, and tell the node what this machine lets it do."""

import resource
import socket
from pathlib import Path
from typing import Any

from lambdabox.isolation.guest import messages
from lambdabox.isolation.warden import nat_host, subnets
from lambdabox.isolation.warden.cgroups import Cgroups
from lambdabox.isolation.warden.nat import NatSlots
from lambdabox.isolation.warden.network import (
    HostSlots,
    IsolatedSlots,
    NetworkError,
    NetworkPool,
    SlotSource,
)
from lambdabox.isolation.warden.orders import Orders
from lambdabox.isolation.warden.sandboxes import Attacher
from lambdabox.isolation.warden.server import Warden, Workshop
from lambdabox.isolation.warden.users import Users, base_of
from lambdabox.isolation.warden.view import PACKAGES_ROOT, View, view_of
from lambdabox.isolation.warden.volumes import Volumes

GUEST = str(Path(__file__).parents[1] / "guest")
READY_NETWORKS = 4
MOST_NETWORKS = 64


def boot(node: socket.socket, settings: dict[str, Any], *, is_root: bool) -> None:
    """Run the warden until the node is gone."""
    data = Path(settings["data"])
    # A thousand sandboxes take several thousand descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lacks: list[str] = []
    try:
        source = _network(settings, lacks, is_root=is_root)
    except NetworkError as exc:
        messages.send(node, {"error": str(exc)})
        return
    cgroups = Cgroups.of(data)
    if cgroups.lacks:
        lacks.append(f"no limits on {', '.join(cgroups.lacks)}: their control groups are not ours")
    if not is_root:
        lacks.append("all sandboxes have the node's own user id outside, for it is not root")
    resolver = source.resolv_conf if isinstance(source, NatSlots) else _own_resolver(source)

    def view(interpreter: str | None) -> View:
        return view_of(
            interpreter=interpreter,
            bootstraps=settings["bootstraps"],
            guest=GUEST,
            packages=settings["packages"],
            resolver=resolver,
        )

    workshop = Workshop(
        cgroups=cgroups,
        network=NetworkPool(source, ready=READY_NETWORKS, most=MOST_NETWORKS),
        volumes=Volumes(),
        users=Users(base_of(data) if is_root else None),
        attacher=Attacher(settings["root"]),
        orders=Orders(data, node_user=base_of(data) if is_root else None),
        view=view,
        packages=PACKAGES_ROOT if settings["packages"] else "",
        is_root=is_root,
    )
    _greet(node, source, lacks)
    Warden(node, workshop).serve()


def _network(settings: dict[str, Any], lacks: list[str], *, is_root: bool) -> SlotSource:
    """Return the network that is asked for, or the best one there is. Raises NetworkError."""
    mode = settings["network"]
    if mode == "isolated":
        return IsolatedSlots()
    if is_root:
        nat_host.sweep(settings["data"])
    if mode in ("nat", "auto"):
        try:
            names = nat_host.NodeNames(settings["data"])
            return NatSlots(names, subnets.parse(settings["subnet"]), port=settings["port"])
        except NetworkError as exc:
            if mode == "nat":
                raise
            lacks.append(f"no network of their own for functions: they use the host's. {exc}")
    return HostSlots()


def _own_resolver(source: SlotSource) -> str:
    if not isinstance(source, HostSlots):
        return ""
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


def _greet(node: socket.socket, source: SlotSource, lacks: list[str]) -> None:
    greeting: dict[str, Any] = {"ready": True, "lacks": lacks, "notes": [], "router": None}
    descriptors = []
    if isinstance(source, NatSlots):
        greeting |= {"notes": list(source.notes), "router": source.router_address}
        descriptors = [end.fileno() for end in (source.endpoint, source.dns_udp, source.dns_tcp)]
    messages.send(node, greeting, descriptors)
