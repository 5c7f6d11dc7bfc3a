"""Put the warden together, and say what this machine lets it do."""

import socket
from pathlib import Path
from typing import Any

from lambdabox.isolation.guest import messages
from lambdabox.isolation.warden.cgroups import Cgroups
from lambdabox.isolation.warden.network import IsolatedSlots, NetworkPool
from lambdabox.isolation.warden.sandboxes import Attacher
from lambdabox.isolation.warden.server import Warden, Workshop
from lambdabox.isolation.warden.users import Users, base_of
from lambdabox.isolation.warden.view import PACKAGES_ROOT, View, view_of
from lambdabox.isolation.warden.volumes import Volumes

GUEST = str(Path(__file__).parents[1] / "guest")


def boot(node: socket.socket, settings: dict[str, Any], *, is_root: bool) -> None:
    """Run the warden until the node is gone."""
    data = Path(settings["data"])

    def view(interpreter: str | None) -> View:
        return view_of(
            interpreter=interpreter,
            bootstraps=settings["bootstraps"],
            guest=GUEST,
            packages=settings["packages"],
            resolver="",
        )

    workshop = Workshop(
        cgroups=Cgroups(),
        network=NetworkPool(IsolatedSlots(), ready=2, most=64),
        volumes=Volumes(),
        users=Users(base_of(data) if is_root else None),
        attacher=Attacher(settings["root"]),
        view=view,
        packages=PACKAGES_ROOT if settings["packages"] else "",
        is_root=is_root,
    )
    messages.send(node, {"ready": True, "lacks": []})
    Warden(node, workshop).serve()
