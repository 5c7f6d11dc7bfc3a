"""Put the warden together, and tell the node what this machine lets it do."""

import contextlib
import gc
import resource
import socket
from pathlib import Path
from typing import Any

from lambdabox.isolation.guest import messages
from lambdabox.isolation.warden import nat_host, subnets, trial
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
from lambdabox.isolation.warden.server import Warden
from lambdabox.isolation.warden.users import Users, base_of
from lambdabox.isolation.warden.view import PACKAGES_ROOT, View, view_of
from lambdabox.isolation.warden.volumes import Volumes
from lambdabox.isolation.warden.workshop import Workshop

GUEST = str(Path(__file__).parents[1] / "guest")
READY_NETWORKS = 4
MOST_NETWORKS = 64
GARBAGE_THRESHOLD = 10_000


def boot(node: socket.socket, settings: dict[str, Any], *, is_root: bool) -> None:
    """Run the warden until the node is gone."""
    # A thousand sandboxes take several thousand descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        trial.try_everything(is_root=is_root)
        greeting, source, workshop = _prepare(settings, is_root=is_root)
    except (trial.RefusedError, NetworkError, OSError) as exc:
        messages.send(node, {"error": str(exc)})
        return
    with contextlib.suppress(messages.Closed):  # it may have been told to stop meanwhile
        _greet(node, greeting, source)
    if settings["check"]:
        workshop.close()
    else:
        warden = Warden(node, workshop)
        # What was made until now stays; to look through it again and again is a waste.
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        warden.serve()


def _prepare(
    settings: dict[str, Any], *, is_root: bool
) -> tuple[dict[str, Any], SlotSource, Workshop]:
    """Set up all that sandboxes share, and say what is missing. Raises NetworkError, OSError."""
    data = Path(settings["data"])
    lacks: list[str] = []
    if not is_root:
        lacks.append(
            "All sandboxes have the node's own user id towards the host: root gives each its own."
        )
    mode, source = _network(settings, lacks, is_root=is_root)
    cgroups = Cgroups.of(data)
    if cgroups.lacks:
        lacks.append(_without(cgroups.lacks, is_root=is_root))
    volumes = Volumes(data / "volumes", on_disk=is_root)
    if volumes.lacks:
        lacks.append(f"What functions write to /tmp is kept in memory: {volumes.lacks}.")
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
        volumes=volumes,
        users=Users(base_of(data) if is_root else None),
        attacher=Attacher(settings["root"]),
        orders=Orders(data, node_user=base_of(data) if is_root else None),
        view=view,
        packages=PACKAGES_ROOT if settings["packages"] else "",
        is_root=is_root,
    )
    greeting = {
        "ready": True,
        "lacks": lacks,
        # A clone is held by its control group alone, and needs a network that is its own.
        "clones": is_root and not cgroups.lacks and not isinstance(source, HostSlots),
        "network": mode,
        "is_root": is_root,
        "notes": [],
        "router": None,
    }
    return greeting, source, workshop


def _network(
    settings: dict[str, Any], lacks: list[str], *, is_root: bool
) -> tuple[str, SlotSource]:
    """Return the network that is asked for, or the best one there is. Raises NetworkError."""
    mode = settings["network"]
    if mode == "isolated":
        return mode, IsolatedSlots()
    if is_root:
        _sweep(settings["data"], lacks)
    if mode in ("nat", "auto"):
        try:
            return "nat", _nat(settings, is_root=is_root)
        except NetworkError as exc:
            if mode == "nat":
                raise
            lacks.append(f"Functions use the host's network, and reach all that it reaches: {exc}")
    return "host", HostSlots()


def _nat(settings: dict[str, Any], *, is_root: bool) -> SlotSource:
    if not is_root:
        raise NetworkError("a network of their own takes root.")
    subnet = subnets.parse(settings["subnet"])
    if not settings["check"]:
        names = nat_host.NodeNames(settings["data"])
        return NatSlots(names, subnet, port=settings["port"])
    why = nat_host.available()
    if why is not None:
        raise NetworkError(f"a network of their own cannot be set up: {why}.")
    return IsolatedSlots()


def _sweep(data: str, lacks: list[str]) -> None:
    try:
        nat_host.sweep(data)
    except (NetworkError, OSError) as exc:
        lacks.append(f"What an earlier node set up in the host's network cannot be removed: {exc}.")


def _without(controllers: list[str], *, is_root: bool) -> str:
    names = ", ".join(controllers)
    advice = (
        "mount their control groups, writable"
        if is_root
        else "run as root, or in a delegated control group of version 2"
    )
    return f"Functions are not held to their limits on {names}: {advice}."


def _own_resolver(source: SlotSource) -> str:
    if not isinstance(source, HostSlots):
        return ""
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


def _greet(node: socket.socket, greeting: dict[str, Any], source: SlotSource) -> None:
    descriptors = []
    if isinstance(source, NatSlots):
        greeting |= {"notes": list(source.notes), "router": source.router_address}
        descriptors = [end.fileno() for end in (source.endpoint, source.dns_udp, source.dns_tcp)]
    messages.send(node, greeting, descriptors)
